"""How much room a program needs for pairs: planned, and made where it proves short."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from equipot import errors
from equipot.inference import device_neighbors, neighbors
from equipot.md.forces import Room
from equipot.md.systems import Start
from equipot.typing import AnyArray

HEADROOM = 1.05
"""Room for pairs beyond those that there are, or are likely."""

GRAIN = 64
"""Sizes are multiples of this."""

_LIKELY = 1.15  # a lattice may have fewer pairs than its liquid
_MOST_IMAGES = 1000  # of a cell that collapses


def plan(
    starts: Sequence[Start],
    cutoff: float,
    skin: float,
    least: int = 1,
    capacities: tuple[int, int] | None = None,
) -> Room:
    """Plans the room that systems need.

    Args:
      starts: The systems.
      cutoff: Å.
      skin: Å by which lists are wider.
      least: Pairs that always have room.
      capacities: Room for the pairs of the lists, and for those within the cutoff; None counts.

    Raises:
      DataError: If two atoms are at the same place, a cell is singular, or a number is not finite.
    """
    if capacities is None:
        counts = np.sum([_num_pairs(start, cutoff, skin) for start in starts], axis=0)
        list_size, size = (_rounded(max(HEADROOM * float(count), float(least))) for count in counts)
    else:
        list_size, size = capacities
    cells, pbcs = [start.cell for start in starts], [start.pbc for start in starts]
    search = device_neighbors.plan(cells, pbcs, cutoff + skin, list_size)
    return Room(cutoff=cutoff, skin=skin, plan=search, capacity=size)


def grown(
    before: Room, starts: Sequence[Start], needed: AnyArray, cells: AnyArray, where: str
) -> Room:
    """Room for what steps needed, and for images of cells that shrank.

    Args:
      before: What was short.
      starts: The systems.
      needed: The most pairs there were: of the lists, and within the cutoff.
      cells: Å, as they were when room was short, [systems, 3, 3].
      where: For the message.

    Raises:
      NonFiniteError: If no room suffices.
    """
    list_size, size = (
        _rounded(HEADROOM * count) if count > room else room
        for count, room in zip(
            np.asarray(needed).tolist(), (before.plan.capacity, before.capacity), strict=True
        )
    )
    pbcs = [start.pbc for start in starts]
    search = device_neighbors.plan(list(np.asarray(cells)), pbcs, before.plan.cutoff, list_size)
    reach = tuple(max(pair) for pair in zip(search.reach, before.plan.reach, strict=True))
    search = dataclasses.replace(search, reach=reach)
    room = dataclasses.replace(before, plan=search, capacity=size)
    first = num_images([start.cell for start in starts], pbcs, before.plan.cutoff)
    most = max(_MOST_IMAGES, 2 * first, before.plan.num_images)
    if room == before or search.num_images > most:
        raise errors.NonFiniteError(
            f"{where}: a cell has shrunk so far that the neighbors of its atoms cannot be found; a"
            " potential that knows such structures, or shorter steps of dynamics, may help"
        )
    return room


def num_images(cells: Sequence[np.ndarray], pbcs: Sequence[np.ndarray], reach: float) -> int:
    """Number of images of each pair that a search of some cells examines.

    Args:
      cells: Å, [3, 3] each.
      pbcs: Which directions are periodic, [3] each.
      reach: Å, of the search.
    """
    return device_neighbors.plan(cells, pbcs, reach, 0).num_images


def _num_pairs(start: Start, cutoff: float, skin: float) -> np.ndarray:
    """Pairs to make room for: in the lists, and within the cutoff."""
    found = neighbors.NeighborCache(cutoff, skin).find(start.positions, start.cell, start.pbc)
    counts = np.array([len(found.found.senders), found.num_pairs], np.float64)
    if not start.pbc.all():
        return counts
    density = len(start.positions) / abs(np.linalg.det(start.cell))
    even = 2 / 3 * np.pi * density * len(start.positions)
    likely = even * np.array([cutoff + skin, cutoff]) ** 3
    return np.maximum(counts, np.minimum(likely, _LIKELY * counts))


def _rounded(count: float) -> int:
    return GRAIN * int(np.ceil(count / GRAIN))
