"""Which structures share a batch: plans a fixed budget from the sizes alone, and fills it.

Sizes are an integer table [structures, 2] of nodes and edges (pairs, each counted once). A bin is a
tuple of indices into it whose structures together fit one budget; a step is one bin per device.
Packing is a pure function of the sizes and the order and drops nothing. All batches have the same
shape, so the program compiles once.
"""

import dataclasses
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from equipot import errors
from equipot.store import host_graph

OPEN_BINS = 16
"""Number of bins open at a time; more bins pack tighter, fewer follow the order more closely."""

GRAPH_SLACK = 1.5
"""Room for more graphs than average if sizes vary; an empty graph costs next to nothing."""

Count: TypeAlias = int | np.integer
Bin: TypeAlias = tuple[int, ...]
Step: TypeAlias = tuple[Bin, ...]


@dataclasses.dataclass(frozen=True)
class Budget:
    """Padded totals of a batch; one node and one graph of them are reserved for padding.

    Edges are pairs of atoms, each counted once.
    """

    nodes: int
    edges: int
    graphs: int

    def holds(self, nodes: Count, edges: Count, graphs: Count = 1) -> bool:
        """Says whether real structures with these totals fit beside the reserved padding."""
        return bool(nodes < self.nodes and edges <= self.edges and graphs < self.graphs)


@dataclasses.dataclass(frozen=True)
class PaddingWaste:
    """Fractions of the padded nodes, edges and graphs that are padding, in [0, 1]."""

    nodes: float
    edges: float
    graphs: float

    def __str__(self) -> str:
        """One line for a log."""
        return f"padding: {self.nodes:.1%} of nodes, {self.edges:.1%} of edges"


def size_table(graphs: Sequence[host_graph.HostGraph]) -> np.ndarray:
    """Nodes and edges of every graph, int64, [structures, 2]."""
    return np.array([(g.num_nodes, g.num_edges) for g in graphs], np.int64).reshape(-1, 2)


def plan_budget(graphs: Sequence[host_graph.HostGraph], batch_size: int) -> Budget:
    """Plans the budget of a batch that holds ``batch_size`` structures; see ``plan_sizes``."""
    return plan_sizes(size_table(graphs), batch_size)


def plan_sizes(sizes: np.ndarray, batch_size: int) -> Budget:
    """Plans the budget of a batch from the size table alone.

    If all structures have one size, the budget has room for exactly ``batch_size`` of the densest
    of them. Otherwise it holds ``batch_size`` structures of average size, or more if necessary to
    hold the largest: nodes and edges keep the average ratio, so that bins fill up in both.

    Args:
      sizes: Nodes and edges, [structures, 2], at least one row.
      batch_size: Structures in a batch, positive; an average if sizes vary.

    Raises:
      DataError: If there are no structures or the batch size is not positive.
    """
    if len(sizes) == 0 or batch_size < 1:
        raise errors.DataError(
            f"expected structures and a positive batch size, received {len(sizes)} structures and "
            f"batch size {batch_size}"
        )
    count = min(batch_size, len(sizes))
    largest, mean = sizes.max(axis=0), sizes.mean(axis=0)
    if (sizes[:, 0] == largest[0]).all():
        edges = _round_up_pairs(count * int(largest[1]))
        return Budget(count * int(largest[0]) + 1, edges, count + 1)
    average = max(count, *(largest / np.maximum(mean, 1e-9)))
    nodes = round_up(int(np.ceil(average * mean[0])))
    edges = _round_up_pairs(average * mean[1])
    graphs = min(int(np.ceil(GRAPH_SLACK * average)), len(sizes))
    return Budget(nodes + 1, edges, graphs + 1)


def round_up(count: int, parts: int = 64) -> int:
    """Rounds up to one of at most ``parts`` sizes per factor of two, and to a multiple of 8."""
    step = max(8, 1 << max(count.bit_length() - parts.bit_length(), 0))
    return max(-(-count // step), 1) * step


def _round_up_pairs(count: int | float) -> int:
    """As directed edges, two for each pair: runs of earlier versions keep their batches."""
    return round_up(int(np.ceil(2 * count))) // 2


def bucket(num_nodes: int, num_edges: int, growth: float = 1.25) -> Budget:
    """The budget of one structure on a ladder of sizes: similar sizes share a compiled shape.

    Args:
      num_nodes: Atoms.
      num_edges: Pairs.
      growth: Ratio of neighboring rungs, above 1; larger means fewer shapes and more padding.
    """
    return Budget(_rung(num_nodes + 1, growth), _rung(num_edges, growth), 2)


def pack(
    sizes: np.ndarray, order: np.ndarray, budget: Budget, names: Sequence[str] | None = None
) -> list[Bin]:
    """Puts the structures into bins, first fit in the given order over a few open bins.

    Args:
      sizes: Nodes and edges, [structures, 2].
      order: Indices into the sizes, each once.
      budget: What a bin may hold.
      names: Sources of the structures, for messages.

    Returns:
      Bins that hold each index of ``order`` exactly once.

    Raises:
      GraphTooLargeError: If one structure exceeds the budget on its own.
    """
    check_sizes(sizes, budget, names)
    many = budget.graphs - 1
    nodes, edges = many * sizes.max(axis=0, initial=0)
    if budget.holds(nodes, edges, many):
        return [tuple(order[i : i + many].tolist()) for i in range(0, len(order), many)]
    return _first_fit(sizes, order, budget)


def group(
    bins: Sequence[Bin], sizes: np.ndarray, budget: Budget, num_devices: int = 1
) -> list[Step]:
    """Gives each device one bin per step, with the edges of a step spread evenly if they fit.

    If the last step has too few bins, it is filled up, with empty bins if necessary.
    """
    if num_devices == 1:
        return [(b,) for b in bins]
    steps = [tuple(bins[i : i + num_devices]) for i in range(0, len(bins), num_devices)]
    return [_balanced(step, sizes, budget, num_devices) for step in steps]


def check_sizes(sizes: np.ndarray, budget: Budget, names: Sequence[str] | None = None) -> None:
    """Raises a GraphTooLargeError for the first structure that exceeds the budget on its own."""
    too_large = (sizes[:, 0] >= budget.nodes) | (sizes[:, 1] > budget.edges) | (budget.graphs < 2)
    if too_large.any():
        index = int(np.argmax(too_large))
        where = names[index] if names is not None else f"structure {index}"
        raise errors.GraphTooLargeError(
            f"{where}: {sizes[index, 0]:,} nodes and {sizes[index, 1]:,} pairs, expected at most "
            f"{budget.nodes - 1:,} and {budget.edges:,}, the budget of a batch; plan the budget "
            "with this structure, lower the cutoff, or remove the structure"
        )


def padding_waste(
    sizes: np.ndarray, steps: Sequence[Step], budget: Budget | Sequence[Budget]
) -> PaddingWaste:
    """The share of padding in all batches of the given steps; the reserved node and graph count.

    Args:
      sizes: Nodes and edges, [structures, 2].
      steps: Which structures share a batch.
      budget: The shape of all batches, or that of each step.
    """
    budgets = [budget] * len(steps) if isinstance(budget, Budget) else budget
    shapes = [own for own, step in zip(budgets, steps, strict=True) for _ in step]
    chosen = [i for step in steps for b in step for i in b]
    nodes, edges = sizes[chosen].sum(axis=0)
    return PaddingWaste(
        nodes=1.0 - float(nodes) / max(sum(own.nodes for own in shapes), 1),
        edges=1.0 - float(edges) / max(sum(own.edges for own in shapes), 1),
        graphs=1.0 - len(chosen) / max(sum(own.graphs for own in shapes), 1),
    )


def compiled_shapes(*budgets: Budget) -> int:
    """Number of shapes that are compiled when a program runs on batches of these budgets."""
    return len(set(budgets))


def _first_fit(sizes: np.ndarray, order: np.ndarray, budget: Budget) -> list[Bin]:
    """First fit over at most OPEN_BINS bins; the fullest is closed when another one is needed."""
    table = sizes.tolist()
    closed: list[Bin] = []
    opened: list[list] = []
    for index in order.tolist():
        nodes, edges = table[index]
        for entry in opened:
            if budget.holds(entry[0] + nodes, entry[1] + edges, len(entry[2]) + 1):
                break
        else:
            if len(opened) == OPEN_BINS:
                fullest = max(range(OPEN_BINS), key=lambda k: _fill(opened[k], budget))
                closed.append(tuple(opened.pop(fullest)[2]))
            entry = [0, 0, []]
            opened.append(entry)
        entry[0] += nodes
        entry[1] += edges
        entry[2].append(index)
    return closed + [tuple(entry[2]) for entry in opened]


def _fill(entry: list, budget: Budget) -> float:
    return max(entry[0] / budget.nodes, entry[1] / budget.edges, len(entry[2]) / budget.graphs)


def _balanced(step: Step, sizes: np.ndarray, budget: Budget, num_devices: int) -> Step:
    """Redeals the structures of a step, if they fit."""
    dealt = deal([i for b in step for i in b], sizes, budget, num_devices)
    return step + ((),) * (num_devices - len(step)) if dealt is None else dealt


def deal(
    structures: Sequence[int], sizes: np.ndarray, budget: Budget, num_devices: int
) -> Step | None:
    """Deals structures, densest first, each to the bin with the fewest edges.

    Returns:
      A bin for each device; None where one would exceed the budget.
    """
    members = sorted(structures, key=lambda i: (-int(sizes[i, 1]), i))
    dealt: list[list[int]] = [[] for _ in range(num_devices)]
    loads = np.zeros((num_devices, 3), np.int64)
    for index in members:
        size = np.array([*sizes[index], 1])
        fits = [k for k in range(num_devices) if budget.holds(*(loads[k] + size).tolist())]
        if not fits:
            return None
        target = min(fits, key=lambda k: (loads[k, 1], loads[k, 2], k))
        dealt[target].append(index)
        loads[target] += size
    return tuple(tuple(b) for b in dealt)


def _rung(count: int, growth: float) -> int:
    """The smallest multiple of 8 on a geometric ladder that is at least ``count``."""
    rung = 8
    while rung < count:
        rung = max(rung + 8, -(-int(rung * growth) // 8) * 8)
    return rung
