"""What a simulation begins with: a state without forces, bounds, and lists that are given room."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from equipot.data.distance_range import TOLERANCE
from equipot.inference.device_neighbors import Pairs
from equipot.md import systems
from equipot.md.forces import Bounds, Lists, Room
from equipot.md.program import State
from equipot.md.systems import Start
from equipot.potential.bound import Bound
from equipot.store import neighbors as host_neighbors


def before(
    room: Room,
    step: int,
    positions: np.ndarray,
    velocities: np.ndarray,
    cells: np.ndarray,
) -> State:
    """Systems whose forces and lists are not known yet."""
    count = len(positions)
    lists = no_lists(room, positions, cells)
    return State(
        step=np.asarray(step, np.int64),
        positions=positions,
        velocities=velocities,
        cells=cells,
        energies=np.zeros(count),
        forces=np.zeros_like(positions),
        virials=np.zeros((count, 3, 3)),
        lists=lists,
        num_searches=np.asarray(0, np.int32),
        needed=np.zeros(2, np.int32),
        overflow=np.asarray(False),
        is_finite=np.asarray(True),
        num_outside=np.asarray(0, np.int32),
        outside_step=np.asarray(0, np.int64),
        outside_positions=positions,
        outside_cells=cells,
    )


def no_lists(room: Room, positions: np.ndarray, cells: np.ndarray) -> Lists:
    """Lists that hold no pair yet, but have the room."""
    count, size, _ = positions.shape
    capacity = room.plan.capacity
    pairs = Pairs(
        senders=np.full(capacity, count * size, np.int32),
        receivers=np.full(capacity, count * size, np.int32),
        cell_shifts=np.tile(np.array([1, 0, 0], np.int32), (capacity, 1)),
        num_pairs=np.asarray(0, np.int32),
        overflow=np.asarray(False),
    )
    return Lists(
        pairs=pairs,
        positions=positions,
        cells=cells,
        whole=np.zeros_like(positions),
        center=np.zeros((count, 1, 3)),
    )


def of_probe(room: Room, start: Start, count: int, size: int) -> State:
    """The probe in the place of the first system, with its pairs; the others have none."""
    placed = host_neighbors.placed_list(start.positions, start.cell, start.pbc, room.cutoff)
    positions = systems.padded([start.positions - placed.offsets] * count, size)
    cells = np.stack([placed.cell] * count)
    state = before(room, 0, positions, np.zeros_like(positions), cells)
    pairs: Any = state.lists.pairs
    for name in ("senders", "receivers", "cell_shifts"):
        getattr(pairs, name)[: len(placed.senders)] = getattr(placed, name)
    return state


def refitted(lists: Lists, capacity: int) -> Lists:
    """The same lists with more room."""
    pairs = lists.pairs
    more = capacity - len(pairs.senders)
    last = jnp.full(more, lists.positions.shape[0] * lists.positions.shape[1], jnp.int32)
    padding = jnp.tile(jnp.asarray([[1, 0, 0]], jnp.int32), (more, 1))
    wider = dataclasses.replace(
        pairs,
        senders=jnp.concatenate([pairs.senders, last]),
        receivers=jnp.concatenate([pairs.receivers, last]),
        cell_shifts=jnp.concatenate([pairs.cell_shifts, padding]),
    )
    return dataclasses.replace(lists, pairs=wider)


def bounds_of(bound: Bound) -> Bounds:
    """The distances of training by species, as ``out_of_range.find`` judges by them."""
    table = bound.spec.species_table
    nearest, farthest = np.zeros((len(table), len(table))), np.zeros(len(table))
    span = bound.potential.distance_range
    for i, a in enumerate(table):
        if span is None or a not in span.elements:
            continue
        longest = span.longest.get(a, np.inf)
        farthest[i] = np.inf if a in span.isolated else min(longest + TOLERANCE, span.radius)
        for j, b in enumerate(table):
            if b in span.elements:
                pair = min(a, b), max(a, b)
                nearest[i, j] = span.shortest.get(pair, span.radius) - TOLERANCE
    return Bounds(nearest=nearest, farthest=farthest)
