"""Sums of potentials: terms added to the energy of a model, each with its own cutoff and pairs.

A summand has a ``cutoff`` in Å and makes a function of the pairs up to it, padding apart:

    make_energy(species_table, directed=False) -> energy
    energy(edge_vectors, species, senders, receivers, exchange) -> energy of each atom, eV

It sees all pairs of the structure at once and may pass over them several times: a coordination
number is a first sum over pairs, and an energy that depends on it a second. Between the passes it
calls ``exchange`` on what atoms tell each other (``equipot.graphs.pairs``). Energy and force vanish
at the cutoff, and an atom without pairs adds nothing. Forces and stress are derivatives that are
taken for it. A summand is a constant: hashable, equal to one with the same settings, and picklable;
a frozen dataclass is all that.

The repulsion of a potential (``repulsion.py``) is one, which takes the model's pairs.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from equipot import errors
from equipot.e3.kernels import platforms
from equipot.graphs.graph import Graph
from equipot.potential import derivatives
from equipot.potential import potential as potentials
from equipot.potential.derivatives import Prediction
from equipot.potential.potential import PotentialSpec
from equipot.typing import Array, PyTree


@runtime_checkable
class Summand(Protocol):
    """What can be added to a potential."""

    @property
    def cutoff(self) -> float:
        """Radius in Å of the pairs it is given."""
        ...

    def make_energy(
        self, species_table: tuple[int, ...], *, directed: bool = False
    ) -> Callable[..., Array]:
        """Returns ``energy(edge_vectors, species, senders, receivers, exchange)``, eV."""
        ...


def check(plus: Sequence[Any]) -> tuple[Summand, ...]:
    """Returns the summands, and refuses anything else.

    Args:
      plus: Summands.

    Raises:
      ConfigError: At one that is none.
    """
    for summand in plus:
        if isinstance(summand, type) or not isinstance(summand, Summand):
            raise errors.ConfigError(
                "plus: expected summands, objects with a cutoff in Å and a function make_energy,"
                f" received {summand!r}; see equipot.potential.summands"
            )
        cutoff: Any = summand.cutoff
        if not isinstance(cutoff, int | float) or not 0.0 < cutoff < math.inf:
            raise errors.ConfigError(
                f"plus: expected a cutoff in Å, positive, received {cutoff!r} of {summand!r}"
            )
        if getattr(type(summand), "__hash__", None) is None:
            raise errors.ConfigError(
                f"plus: expected summands that can be hashed, received {summand!r}; make its class"
                " a frozen dataclass"
            )
    return tuple(plus)


def make_predict(
    spec: PotentialSpec, plus: tuple[Summand, ...], platform: str | None = None
) -> Callable[..., Prediction]:
    """Returns ``predict(params, graph, *graphs)``: the sum of a potential and its summands.

    The first graph has the model's pairs, the others those of each summand; their atoms are the
    same, in the same places.

    Args:
      spec: Of the potential.
      plus: What is added.
      platform: Whose form of the algorithms it takes; None for that of the default device.
    """
    of_model = potentials.make_predict(spec, platform=platform)
    if not plus:
        return of_model
    of_each = [
        derivatives.differentiate(
            _of_graph(summand.make_energy(spec.species_table)), spec.matmul_precision
        )
        for summand in plus
    ]

    def predict(params: PyTree, graph: Graph, *graphs: Graph) -> Prediction:
        whole = of_model(params, graph)
        with platforms.traced_for(platform):
            for predict_one, own in zip(of_each, graphs, strict=True):
                whole = _sum(whole, predict_one(params, own))
        return whole

    return predict


def _of_graph(energy: Callable[..., Array]) -> Callable[[PyTree, Array, Graph], Array]:
    def of_graph(params: PyTree, edge_vectors: Array, graph: Graph) -> Array:
        return energy(edge_vectors, graph.nodes.species, graph.senders, graph.receivers)

    return of_graph


def _sum(first: Prediction, second: Prediction) -> Prediction:
    """Of atoms as many as both have room for: what is left out is padding."""
    count = min(len(first.node_energy), len(second.node_energy))
    return dataclasses.replace(
        first,
        node_energy=first.node_energy[:count] + second.node_energy[:count],
        energy=first.energy + second.energy,
        forces=first.forces[:count] + second.forces[:count],
        stress=first.stress + second.stress,
    )
