"""Batches of a number of edges: structures are dealt out so that all bins are about equally full.

Where ``packing`` counts structures, here edges are counted. How many bins an epoch needs follows
from the size table alone, and so do the one to three shapes that they are padded to; the order
decides which structures meet. As in ``packing``, edges are pairs, each counted once, and nothing is
dropped.
"""

import dataclasses
import heapq
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from equipot import errors
from equipot.store import packing
from equipot.store.packing import Bin, Budget, Step

MOST_SHAPES = 3
"""Shapes of one plan at most, each of which is one more program to compile."""

WORTH_A_SHAPE = 0.05
"""Share of the padded edges that another shape must save."""

PAIRS_PER_ATOM = 2
"""An atom counts as so many pairs at least: atoms without neighbors take memory, too."""

_SPREAD = 0.5  # of the logarithm of sizes: the largest go first, but not always in the same order
_TRIED = 4  # bins with the most room, of which the one is taken that stays emptiest
_TRIES = 5  # to deal all structures to as many bins as are planned
_DRAWS = 3  # orders that a plan is made from
_SAMPLE = 10_000  # structures that a plan is made from
_FULL = 0.98  # of a bin at most, on average: what is left makes room for another order
_MARGIN = 1.01  # of the fullest bin of these orders, and of their number
_CANDIDATES = 48  # fills that a shape may end at


@dataclasses.dataclass(frozen=True)
class EdgePlan:
    """How many bins an epoch has, and the shapes that they are padded to.

    Attributes:
      budgets: One to three, each at least as large as the one before in every total.
      num_bins: Bins of an epoch.
      together: Bins that share a shape: those of all devices in a step.
    """

    budgets: tuple[Budget, ...]
    num_bins: int
    together: int = 1

    def shapes(self, sizes: np.ndarray, steps: Sequence[Step]) -> list[Budget]:
        """The smallest shape for each of the steps that holds all of its bins."""
        loads = _fullest(sizes, steps)
        room = np.array([(own.nodes - 1, own.edges, own.graphs - 1) for own in self.budgets])
        fits = (loads[:, None] <= room).all(axis=2)
        if not np.any(fits, axis=1).all():
            raise AssertionError("a bin is larger than every shape of its plan")
        return [self.budgets[k] for k in fits.argmax(axis=1).tolist()]


def plan_edges(
    sizes: np.ndarray,
    batch_edges: int,
    together: int = 1,
    names: Sequence[str] | None = None,
) -> EdgePlan:
    """Plans bins of at most so many pairs, as few and as evenly filled as the sizes allow.

    A bin also holds at most half as many atoms as pairs, or as many as the largest structure. If
    the structures fill a whole number of bins badly, the bins are made smaller, not emptier.

    Args:
      sizes: Nodes and edges, [structures, 2], at least one row.
      batch_edges: Pairs in a bin at most.
      together: Bins that share a shape, in numbers of which bins come.
      names: Sources of the structures, for messages.

    Raises:
      DataError: If there are no structures.
      GraphTooLargeError: If a structure has more pairs on its own.
    """
    if len(sizes) == 0:
        raise errors.DataError("expected structures to plan batches for, received none")
    _check_largest(sizes, batch_edges, names)
    limit = _limit(sizes, batch_edges)
    rng = np.random.default_rng(0)
    share = sizes
    if len(sizes) > _SAMPLE:
        share = sizes[rng.choice(len(sizes), _SAMPLE, replace=False)]
    num_bins, drawn = _fewest(share, limit, together, rng)
    steps = [_grouped(bins, share, together) for bins in drawn]
    if len(share) < len(sizes):
        num_bins = _multiple(math.ceil(num_bins * len(sizes) / len(share)), together)
    return EdgePlan(_shapes(share, steps, limit, sizes.max(axis=0)), num_bins, together)


def deal(sizes: np.ndarray, order: np.ndarray, plan: EdgePlan, seed: Sequence[int]) -> list[Step]:
    """Deals the structures out, as often as the order has them; a pure function of its arguments.

    The largest come first, each to a bin with much room, so that bins end up about equally full and
    the small ones even out the rest. How sizes are ranked is blurred at random: which structures
    meet in a bin differs from one order to the next.

    Args:
      sizes: Nodes and edges, [structures, 2].
      order: Indices into the sizes, each once, or as often as drawn for an epoch.
      plan: Of the same sizes.
      seed: Of what is random here.

    Returns:
      Steps of ``plan.together`` bins, which may be empty in the last ones.

    Raises:
      GraphTooLargeError: If one structure exceeds the largest shape on its own.
    """
    packing.check_sizes(sizes, plan.budgets[-1])
    rng = np.random.default_rng(tuple(seed))
    tries = (_dealt(sizes, order, plan.budgets[-1], plan.num_bins, rng) for _ in range(_TRIES))
    bins = next(tries)
    while len(bins) > _MARGIN * plan.num_bins and (other := next(tries, None)) is not None:
        bins = min(bins, other, key=len)
    steps = _grouped(bins, sizes, plan.together)
    return [steps[k] for k in rng.permutation(len(steps))]


def _check_largest(sizes: np.ndarray, batch_edges: int, names: Sequence[str] | None) -> None:
    largest = int(sizes[:, 1].argmax())
    if sizes[largest, 1] > batch_edges:
        where = names[largest] if names is not None else f"structure {largest}"
        raise errors.GraphTooLargeError(
            f"trainer.batch_edges: {where} has {2 * sizes[largest, 1]:,} edges, expected at most"
            f" {2 * batch_edges:,}; set it to {2 * sizes[largest, 1]} or more, lower the cutoff, or"
            " remove the structure"
        )


def _limit(sizes: np.ndarray, batch_edges: int) -> Budget:
    """What no bin may exceed."""
    nodes = max(int(sizes[:, 0].max()), batch_edges // PAIRS_PER_ATOM)
    return Budget(nodes + 1, max(batch_edges, 1), len(sizes) + 1)


def _fewest(
    sizes: np.ndarray, limit: Budget, together: int, rng: np.random.Generator
) -> tuple[int, list[list[Bin]]]:
    """The smallest number of bins that hold everything in several orders, and these bins."""
    full = float((sizes.sum(axis=0) / (limit.nodes - 1, limit.edges)).max())
    full = full if full < 1 / (1 - _FULL) else full / _FULL  # few bins are tried without room
    count = _multiple(max(math.ceil(full), 1), together)
    while True:
        orders = [rng.permutation(len(sizes)) for _ in range(_DRAWS)]
        drawn = [_dealt(sizes, order, limit, count, rng) for order in orders]
        most = max(map(len, drawn))
        if most <= count:
            return count, drawn
        count = _multiple(most, together)


def _multiple(count: int, together: int) -> int:
    return -(-count // together) * together


def _dealt(
    sizes: np.ndarray, order: np.ndarray, limit: Budget, count: int, rng: np.random.Generator
) -> list[Bin]:
    """``count`` bins, or more if the structures do not fit; some may be empty."""
    mean = np.maximum(sizes[order].sum(axis=0) / count, 1e-9)
    blur = np.exp(_SPREAD * rng.standard_normal(len(sizes)))
    rank = (sizes / mean).max(axis=1) * blur
    order = order[np.argsort(-rank[order], kind="stable")]
    bins: list[list[int]] = [[] for _ in range(count)]
    heap = [(0.0, k, 0, 0) for k in range(count)]  # the emptiest first: fill, bin, nodes, edges
    per_node, per_edge = (1 / mean).tolist()
    for index, (nodes, edges) in zip(order.tolist(), sizes[order].tolist(), strict=True):
        tried = [heapq.heappop(heap) for _ in range(min(_TRIED, len(heap)))]
        best, chosen = math.inf, -1
        for place, (_, k, n, e) in enumerate(tried):
            n, e = n + nodes, e + edges
            fill = max(n * per_node, e * per_edge)
            if fill < best and n < limit.nodes and e <= limit.edges:
                if len(bins[k]) + 1 < limit.graphs:
                    best, chosen = fill, place
        if chosen < 0:
            tried.append((0.0, len(bins), 0, 0))
            bins.append([])
        _, k, n, e = tried[chosen]
        n, e = n + nodes, e + edges
        tried[chosen] = (max(n * per_node, e * per_edge), k, n, e)
        bins[k].append(index)
        for entry in tried:
            heapq.heappush(heap, entry)
    return [tuple(own) for own in bins]


def _grouped(bins: Sequence[Bin], sizes: np.ndarray, together: int) -> list[Step]:
    """Bins of similar fill, and so of one shape, together; filled up with empty ones."""
    loads = _loads(sizes, bins)
    fullest = np.lexsort((-loads[:, 0], -loads[:, 1])).tolist()
    sorted_bins = [bins[k] for k in fullest] + [()] * (-len(bins) % together)
    return [tuple(sorted_bins[i : i + together]) for i in range(0, len(sorted_bins), together)]


def _loads(sizes: np.ndarray, bins: Sequence[Bin]) -> np.ndarray:
    """Nodes, edges and structures of each bin, [bins, 3]."""
    graphs = np.array([len(own) for own in bins], np.int64)
    members = np.fromiter(itertools.chain.from_iterable(bins), np.int64, graphs.sum())
    owner = np.repeat(np.arange(len(bins)), graphs)
    totals = [np.bincount(owner, sizes[members, k], len(bins)).astype(np.int64) for k in (0, 1)]
    return np.stack([*totals, graphs], axis=1)


def _fullest(sizes: np.ndarray, steps: Sequence[Step]) -> np.ndarray:
    """The largest totals of the bins of each step, [steps, 3]."""
    loads = _loads(sizes, [own for step in steps for own in step])
    return loads.reshape(len(steps), -1, 3).max(axis=1)


def _shapes(
    sizes: np.ndarray, drawn: Sequence[Sequence[Step]], limit: Budget, largest: np.ndarray
) -> tuple[Budget, ...]:
    """The fewest shapes that waste little on these steps, the smallest first."""
    loads = _fullest(sizes, [step for steps in drawn for step in steps])
    loads = loads[np.argsort(loads[:, 1], kind="stable")]
    is_uniform = bool((sizes == sizes[0]).all() and (largest == sizes[0]).all())
    tops = np.maximum.accumulate(loads)
    tops[-1] = np.maximum(tops[-1], (*largest, 1))
    candidates = np.unique(np.linspace(0, len(tops) - 1, _CANDIDATES).astype(int)).tolist()
    budgets = {k: _padded(tops[k], limit, is_uniform) for k in candidates}
    best, least = (budgets[candidates[-1]],), math.inf
    for number in range(MOST_SHAPES):
        choices = itertools.combinations(candidates[:-1], number)
        found = [(_cost(own, budgets, len(tops)), own) for own in choices]
        cost, chosen = min(found, default=(math.inf, ()))
        if cost < (1 - WORTH_A_SHAPE) * least:
            least = cost
            best = tuple(dict.fromkeys(budgets[k] for k in (*chosen, candidates[-1])))
    return best


def _cost(chosen: Sequence[int], budgets: Mapping[int, Budget], count: int) -> int:
    """Padded edges, and atoms for what they count, if each step takes the smallest shape."""
    ends = [-1, *chosen, count - 1]
    return sum(
        (end - start) * (budgets[end].edges + PAIRS_PER_ATOM * budgets[end].nodes)
        for start, end in itertools.pairwise(ends)
    )


def _padded(top: np.ndarray, limit: Budget, is_exact: bool) -> Budget:
    """A shape for these totals, with some room for other orders."""
    nodes, edges, graphs = top.tolist()
    if is_exact:
        return Budget(nodes + 1, max(edges, 1), graphs + 1)
    nodes, edges = (packing.round_up(math.ceil(_MARGIN * own)) for own in (nodes, edges))
    graphs = min(math.ceil(packing.GRAPH_SLACK * graphs), limit.graphs - 1)
    return Budget(nodes + 1, min(edges, limit.edges), graphs + 1)
