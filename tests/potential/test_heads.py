"""Several levels of theory in one potential: each structure gets the numbers of its own."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from flax import linen as nn

from equipot import EquipotCalculator, errors, testing
from equipot.graphs import batching
from equipot.models import mace, output, registry
from equipot.models.context import ModelContext
from equipot.potential import artefact, evaluate, references
from equipot.potential import potential as potentials
from equipot.potential.config import PotentialConfig
from equipot.potential.potential import Potential, PotentialSpec
from equipot.testing import structures
from tests.contracts import toy

HEADS = ("dft", "xtb")
SPEC = PotentialSpec(
    model_name="mace",
    model_config=mace.Config(
        cutoff=3.0,
        num_layers=2,
        lmax=1,
        message_lmax=0,
        num_channels=2,
        correlation=1,
        num_radial_basis=2,
        radial_widths=(4,),
        readout_width=3,
    ),
    species_table=(1, 8),
    atomic_energies=(-13.6, -2041.8, -10.7, -102.6),
    avg_num_neighbors=10.0,
    dtype="float64",
    anchor_isolated=True,
    heads=HEADS,
)
PAIR = structures.pair(1.1, 1, 8)


@functools.cache
def two_heads():
    return Potential(spec=SPEC, params=testing.random_params(SPEC))


class TwoToys(nn.Module):
    """The toy model twice, with parameters of its own for each head."""

    config: toy.Config
    context: ModelContext = dataclasses.replace(toy.CONTEXT, num_heads=len(HEADS))

    @nn.compact
    def __call__(self, *arguments):
        found = [toy.Model(config=self.config)(*arguments).energies for _ in HEADS]
        return output.finish(self, jnp.concatenate(found, axis=-1), {})


def of_head(structure, head):
    return dataclasses.replace(structure, head=head)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return artefact.save(tmp_path_factory.mktemp("heads") / "two.equipot", two_heads())


@pytest.mark.wide
@pytest.mark.parametrize("anchor_isolated", [True, False])
def test_each_head_is_the_potential_that_has_its_parameters_alone(anchor_isolated):
    config = toy.Config()
    shared = PotentialSpec(
        model_name="toy",
        model_config=config,
        species_table=(1, 6, 8),
        atomic_energies=(0.0,) * 3,
        avg_num_neighbors=12.0,
        dtype="float64",
        anchor_isolated=anchor_isolated,
    )
    both = dataclasses.replace(shared, heads=HEADS, atomic_energies=(0.0,) * 6)
    params = testing.random_params(both, model=TwoToys(config))
    batch_of = [structures.cluster(3.0, (1, 6, 8)), structures.fragment(3.0, (1, 6, 8))]
    named = [of_head(s, head) for s, head in zip(batch_of, HEADS[::-1], strict=True)]
    graphs = [
        batching.build_graph(s, 3.0, both.species_table, both.references, HEADS) for s in named
    ]
    assert [graph.head for graph in graphs] == [1, 0]
    with jax.enable_x64(True):
        batch = jax.device_put(batching.collate(graphs, testing.BUDGET, 3.0, "float64"))
        vectors = jax.random.normal(jax.random.key(0), (testing.BUDGET.edges, 3), "float64")
        found = potentials.make_energy(both, TwoToys(config))(params, vectors, batch)
        first = 0
        for graph in graphs:
            own = {
                "model": params["model"][f"Model_{graph.head}"],
                "scale": params["scale"][graph.head],
                "shift": params["shift"][graph.head],
            }
            alone = potentials.make_energy(shared, toy.Model(config=config))(own, vectors, batch)
            nodes = slice(first, first + graph.num_nodes)
            testing.assert_close(found[nodes], alone[nodes], testing.F64_EXACT, "energies")
            first = nodes.stop


def test_heads_share_a_batch_and_an_isolated_atom_has_the_reference_energy_of_its_head():
    atom = structures.atom(8)
    chosen = [of_head(s, head) for head in HEADS for s in (atom, PAIR)]
    alone_dft, dft, alone_xtb, xtb = evaluate.evaluate(two_heads(), chosen, 4)
    assert (alone_dft.energy, alone_xtb.energy) == (-2041.8, -102.6)
    interactions = dft.energy + 13.6 + 2041.8, xtb.energy + 10.7 + 102.6
    assert abs(interactions[0] - interactions[1]) > 1e-3
    assert np.abs(dft.forces - xtb.forces).max() > 1e-3


@pytest.mark.parametrize(("head", "received"), [("", "none"), ("ccsd", "'ccsd'")])
def test_a_structure_must_say_which_head_it_asks_for(head, received):
    with pytest.raises(errors.DataError, match=f"heads dft, xtb, received {received}; name it"):
        evaluate.evaluate(two_heads(), [of_head(PAIR, head)])


def test_heads_survive_the_artefact(saved):
    found = artefact.read(saved).potential
    assert found.spec == SPEC
    assert found.params["scale"].shape == (2, 2)


def test_calculator_runs_one_head(saved):
    atoms = Atoms("HO", PAIR.positions)
    atoms.calc = EquipotCalculator(saved, head="xtb")
    expected = evaluate.evaluate(two_heads(), [of_head(PAIR, "xtb")], 2)[0].energy
    assert atoms.get_potential_energy() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("head", "received"), [(None, "none"), ("dtf", r"'dtf'\. Did you mean 'dft'")]
)
def test_calculator_must_be_told_which_head(saved, head, received):
    with pytest.raises(
        errors.ConfigError,
        match=f"head: expected one of dft, xtb, the levels .* received {received}",
    ):
        EquipotCalculator(saved, head=head)


def test_a_model_with_one_head_refuses_several():
    _, config = registry.config_from_mapping({"name": "schnet"})
    context = ModelContext(species_table=(1, 8), avg_num_neighbors=10.0, num_heads=2)
    with pytest.raises(errors.ConfigError, match="schnet has one head, but the data have 2 levels"):
        registry.build_model("schnet", config, context)


def test_references_are_fitted_for_each_head_alone():
    labelled = [
        dataclasses.replace(PAIR, energy=energy, energy_weight=1.0, head=head)
        for energy, head in ((-10.0, "dft"), (-10.0, "dft"), (-4.0, "xtb"))
    ]
    isolated = {"xtb": {1: -1.0, 8: -2.0}}
    found = references.compute_references_by_head(
        labelled, (1, 8), isolated, PotentialConfig(scale=1.0), HEADS
    )
    np.testing.assert_allclose(found.atomic_energies, [[-5.0, -5.0], [-1.0, -2.0]])
    np.testing.assert_allclose(found.shift, [[0.0, 0.0], [-0.5, -0.5]])
    assert any(note.startswith("dft: Least-squares") for note in found.notes)
    assert any(note.startswith("xtb: Reference energies (isolated)") for note in found.notes)


def test_an_element_without_a_reference_energy_is_named_with_its_head():
    chosen = PotentialConfig(reference_energies="isolated")
    with pytest.raises(errors.ConfigError, match=r"xtb: .* no energy for O in frames"):
        references.compute_references_by_head(
            [], (1, 8), {"dft": {1: -1.0, 8: -2.0}, "xtb": {1: -1.0}}, chosen, HEADS
        )
