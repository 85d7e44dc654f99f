"""A potential under audit: its functions in two precisions, and what it states of itself."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from equipot.audit.evaluator import Evaluator
from equipot.calculators.ase import EquipotCalculator
from equipot.data.distance_range import DistanceRange
from equipot.graphs.graph import Graph
from equipot.inference import engine
from equipot.potential import evaluate, isolated
from equipot.potential import potential as potentials
from equipot.potential.bound import Bound
from equipot.potential.potential import Potential
from equipot.testing import Subject
from equipot.typing import Array, PyTree


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Audited:
    """What the lines of the audit ask.

    Attributes:
      name: For people.
      subject: In float64, for the contracts.
      exact: Evaluates in float64.
      single: Evaluates in float32.
      dtype: The precision that it is run in.
      stated: Interaction energy in eV that it states for an atom of each species alone, [species].
      distance_range: The distances of its training set; None where they are not known.
      make_calculator: Gives an ASE calculator in a precision.
      potential: As saved; None where there is no file.
      head: Name of the level of theory that is asked for; empty where there is one.
    """

    name: str
    subject: Subject
    exact: Evaluator
    single: Evaluator
    dtype: str
    stated: np.ndarray
    distance_range: DistanceRange | None
    make_calculator: Callable[[str], Any]
    potential: Potential | None = None
    head: str = ""

    @property
    def cutoff(self) -> float:
        """Å."""
        return self.exact.cutoff

    @property
    def species_table(self) -> tuple[int, ...]:
        """Atomic numbers, ascending."""
        return self.exact.species_table

    @property
    def own(self) -> Evaluator:
        """Evaluates in the precision that it is run in."""
        return self.exact if self.dtype == "float64" else self.single


def of_potential(potential: Potential, name: str, head: str | None = None) -> Audited:
    """Prepares a saved potential; little is compiled yet.

    Args:
      potential: The potential.
      name: For people.
      head: Level of theory; required if the potential has several.

    Raises:
      ConfigError: If the head is none of the potential's.
    """
    index = engine.head_index(potential.spec.heads, head)
    exact = evaluate.cast(potential, "float64")
    alone = isolated.isolated_energies(exact)[index] - exact.spec.references[index]
    return Audited(
        name=name,
        subject=_subject(exact, index),
        exact=_evaluator(exact, index),
        single=_evaluator(evaluate.cast(potential, "float32"), index),
        dtype=potential.spec.dtype,
        stated=alone,
        distance_range=potential.distance_range,
        make_calculator=lambda dtype: EquipotCalculator(potential, dtype=dtype, head=head),
        potential=potential,
        head=head or "",
    )


def _evaluator(potential: Potential, head: int) -> Evaluator:
    bound = Bound(potential)
    return Evaluator(
        predict=bound.predict,
        params=bound.params,
        dtype=bound.dtype,
        cutoff=bound.spec.cutoff,
        species_table=bound.spec.species_table,
        head=head,
        quantities=bound.spec.quantities,
    )


def _subject(potential: Potential, head: int) -> Subject:
    """The potential as the contracts take it, with one level of theory alone."""
    spec = potential.spec
    energy = potentials.make_energy(spec)
    directed_energy = potentials.make_energy(spec, directed=True)
    directed_atoms = potentials.make_atoms(spec, directed=True)
    predict = potentials.make_predict(spec)

    def of_head(graph: Graph) -> Graph:
        heads = np.full(graph.globals.head.shape, head, np.int32)
        return graph._replace(globals=dataclasses.replace(graph.globals, head=heads))

    def with_head(function: Callable) -> Callable:
        def call(params: PyTree, vectors: Array, graph: Graph, *more: Any) -> Any:
            return function(params, vectors, of_head(graph), *more)

        return call

    return Subject(
        energy=with_head(energy),
        directed_energy=with_head(directed_energy),
        directed_atoms=with_head(directed_atoms),
        predict=lambda params, graph: predict(params, of_head(graph)),
        params=potential.params,
        cutoff=spec.cutoff,
        species_table=spec.species_table,
        anchored=spec.anchor_isolated,
        inverts=getattr(spec.model_config, "symmetry", "o3") == "o3",
        quantities=spec.quantities,
        optimize=False,
    )
