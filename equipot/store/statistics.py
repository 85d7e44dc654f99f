"""Numbers needed to make a model, computed from the training split."""

from collections.abc import Sequence

from equipot import errors
from equipot.data import columns
from equipot.data import structure as structures_
from equipot.store import host_graph


def species_table(structures: Sequence[structures_.Structure]) -> tuple[int, ...]:
    """The atomic numbers that occur, in increasing order.

    Raises:
      DataError: If there are no structures.
    """
    if not structures:
        raise errors.DataError(
            "expected at least one structure to find the elements in, received none"
        )
    return tuple(structures_.elements(structures))


def heads(structures: Sequence[structures_.Structure]) -> tuple[str, ...]:
    """The levels of theory that occur, sorted by name; a single placeholder if none is named."""
    return tuple(sorted(columns.heads(structures) - {""})) or host_graph.ONE_HEAD


def average_num_neighbors(graphs: Sequence[host_graph.HostGraph]) -> float:
    """Mean number of neighbors of an atom, over all graphs; 1 if there are none at all."""
    nodes = sum(g.num_nodes for g in graphs)
    pairs = sum(g.num_edges for g in graphs)
    return 2 * pairs / nodes if pairs else 1.0
