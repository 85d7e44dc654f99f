"""Potentials to audit that no file holds: models broken on purpose, and a Morse potential."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from equipot.audit.audited import Audited
from equipot.audit.evaluator import Evaluator
from equipot.data.distance_range import DistanceRange
from equipot.data.structure import Structure
from equipot.e3.functions import radial
from equipot.graphs import pairs
from equipot.potential import potential as potentials
from equipot.testing import Subject

SPECIES_TABLE = (6, 8)
DEPTH, STEEPNESS, BOND = 0.4, 2.0, 1.4  # eV, 1/Å, Å: of every pair of the Morse potential
SPAN = DistanceRange(
    radius=3.0,
    shortest={(6, 6): 1.2, (6, 8): 1.2, (8, 8): 1.2},
    longest={6: 1.8, 8: 1.8},
    isolated={},
)


def audited(subject, span=SPAN):
    """A subject as the audit takes it; reference energies are zero."""

    def evaluator(dtype):
        params = jax.tree.map(lambda x: np.asarray(x, dtype), subject.params)
        return Evaluator(
            predict=jax.jit(subject.predict),
            params=params,
            dtype=dtype,
            cutoff=subject.cutoff,
            species_table=subject.species_table,
        )

    exact = evaluator("float64")
    return Audited(
        name="a subject",
        subject=subject,
        exact=exact,
        single=evaluator("float32"),
        dtype="float64",
        stated=subject.stated_alone,
        distance_range=span,
        make_calculator=lambda dtype: OfEvaluator(exact),
    )


class OfEvaluator(Calculator):
    """Any evaluator in ASE."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, evaluator):
        super().__init__()
        self.evaluator = evaluator

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        structure = Structure(
            positions=self.atoms.get_positions(),
            atomic_numbers=self.atoms.numbers,
            cell=np.asarray(self.atoms.cell),
            pbc=np.asarray(self.atoms.pbc),
        )
        [found] = self.evaluator([structure])
        self.results = {
            "energy": found.energy,
            "free_energy": found.energy,
            "forces": found.forces,
            "stress": found.stress.ravel()[[0, 4, 8, 5, 2, 1]],
        }


def morse(more=None):
    """A Morse potential between all pairs, smooth at the cutoff.

    Args:
      more: ``more(r)``, energies in eV that pairs have in addition.
    """
    cutoff = 3.0

    def energy(params, vectors, graph):
        ends = jnp.asarray(graph.senders), jnp.asarray(graph.receivers)
        vectors, _, receivers = pairs.both_ways(vectors, *ends)
        r = radial.safe_norm(vectors)
        well = DEPTH * ((1.0 - jnp.exp(-STEEPNESS * (r - BOND))) ** 2 - 1.0)
        own = well * radial.polynomial_cutoff(r, cutoff, 6)
        if more is not None:
            own = own + jnp.where(r < cutoff, more(r), 0.0)
        total = jax.ops.segment_sum(0.5 * own, receivers, len(graph.nodes.species))
        return params["one"] * total

    def directed(params, vectors, graph, exchange):
        raise NotImplementedError

    return Subject(
        energy=energy,
        directed_energy=directed,
        predict=potentials.differentiate(energy, "highest"),
        params={"one": np.ones(())},
        cutoff=cutoff,
        species_table=SPECIES_TABLE,
        anchored=True,
        optimize=False,
    )


@functools.cache
def right():
    """The Morse potential, which has no fault."""
    return audited(morse())


@functools.cache
def with_a_hole():
    """Pairs of the Morse potential fall by 30 eV below 0.9 Å, which training does not have."""
    return audited(morse(lambda r: -30.0 * jax.nn.sigmoid((0.85 - r) / 0.03)))


def crystal_frame(cells=2, spacing=1.4, pbc=True, group="300"):
    """A rattled crystal of carbon and oxygen, as a frame of data."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), -1).reshape(-1, 3)
    return Structure(
        positions=spacing * grid + rng.normal(scale=0.02, size=grid.shape),
        atomic_numbers=np.where(grid.sum(axis=1) % 2, 8, 6),
        cell=spacing * cells * np.eye(3) if pbc else np.zeros((3, 3)),
        pbc=np.full(3, pbc),
        source="a frame",
        group=group,
    )


def with_prediction(subject, change):
    """A subject whose predictions are changed."""
    predict = subject.predict
    return dataclasses.replace(
        subject, predict=lambda params, graph: change(predict(params, graph))
    )
