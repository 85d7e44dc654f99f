"""Neighbor lists on a device: a search of fixed shapes inside ``jit``, for simulations there.

Systems lie side by side in an array [systems, atoms], each with padding after its own atoms. A
``Plan``, made on the host, holds what is static: how many images of the cells are examined, and for
how many pairs there is room. ``search`` compares all atoms of a system with all its images, some
rows at a time, and reports when the room or the images no longer suffice; the host must then make a
new plan. The lists hold the same pairs as those of ``equipot.store.neighbors``, each once, but in a
different order.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import no_type_check

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax

from equipot.typing import AnyArray, Array, Bool, Float, Int

_BLOCK = 2**18  # distances that are compared at a time


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """The static part of a search.

    Attributes:
      cutoff: Å.
      reach: Images on either side, beyond the nearest one, in each direction.
      capacity: Room for so many pairs, of all systems together.
    """

    cutoff: float
    reach: tuple[int, int, int]
    capacity: int

    @property
    def num_images(self) -> int:
        """Number of images of each pair that are examined."""
        return int(np.prod([2 * r + 1 for r in self.reach]))


@no_type_check
@struct.dataclass
class Pairs:
    """The pairs found, system after system, and padding: from the node after all atoms to itself.

    Attributes:
      senders: Either atom of each pair, int32: its place among the atoms of all systems.
      receivers: The other one, int32.
      cell_shifts: Lattice shifts of the receivers, int32; (1, 0, 0) in padding.
      num_pairs: Number of pairs there are, even if it exceeds the capacity.
      overflow: Whether pairs are missing, either because there is no room or because a cell has
        shrunk so far that more images are needed than are examined.
    """

    senders: Int[AnyArray, " capacity"]
    receivers: Int[AnyArray, " capacity"]
    cell_shifts: Int[AnyArray, "capacity 3"]
    num_pairs: Int[AnyArray, ""]
    overflow: Bool[AnyArray, ""]


def plan(
    cells: Sequence[np.ndarray], pbcs: Sequence[np.ndarray], cutoff: float, capacity: int
) -> Plan:
    """Plans searches for some systems, on the host.

    Args:
      cells: Lattice vectors in rows, Å, [3, 3]; a skewed one works, a reduced one has fewer images.
      pbcs: Which directions are periodic, [3].
      cutoff: Å, positive.
      capacity: Number of pairs to make room for.
    """
    reach = np.zeros(3, int)
    for cell, pbc in zip(cells, pbcs, strict=True):
        if pbc.any():
            faces = np.linalg.norm(np.linalg.pinv(np.asarray(cell, np.float64)[pbc]), axis=0)
            needed = np.floor(cutoff * faces * (1.0 + 1e-5) + 0.5).astype(int)
            reach[pbc] = np.maximum(reach[pbc], needed)
    return Plan(cutoff=float(cutoff), reach=tuple(reach.tolist()), capacity=capacity)


def complete(cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """The cell with unit vectors, at right angles to all others, where it is not periodic.

    Args:
      cell: Lattice vectors in rows, Å, [3, 3].
      pbc: Which directions are periodic, [3].
    """
    whole = np.where(pbc[:, None], cell, 0.0).astype(np.float64)
    free = np.linalg.svd(whole)[2][int(np.count_nonzero(pbc)) :]
    whole[~np.asarray(pbc, bool)] = free
    return whole


def search(
    plan: Plan,
    positions: Float[AnyArray, "systems atoms 3"],
    cells: Float[AnyArray, "systems 3 3"],
    pbc: Bool[AnyArray, "systems 3"],
    present: Bool[AnyArray, "systems atoms"],
) -> Pairs:
    """Finds the pairs of atoms closer than the cutoff; a pure function, to be compiled.

    A pair's vector is that of ``equipot.graphs.geometry.edge_vectors``. If rounding puts a distance
    on the other side of the cutoff, no harm is done, because every model vanishes there.

    Args:
      plan: What is static.
      positions: Å, finite; atoms may lie outside the cell.
      cells: Lattice vectors in rows, Å, that span a volume, see ``complete``.
      pbc: Which directions are periodic.
      present: Which atoms there are; the others are padding.
    """
    num_systems, num_atoms = present.shape
    inverses = inverse(cells)
    whole = jnp.where(pbc[:, None], jnp.floor(_product(positions, inverses)), 0.0)
    inside = positions - _product(whole, cells)
    senders, receivers, codes, count = _compare(plan, inside, cells, inverses, pbc, present)
    filled = jnp.arange(plan.capacity, dtype=jnp.int32) < count
    last = num_systems * num_atoms
    moved = whole.reshape(-1, 3)[senders] - whole.reshape(-1, 3)[receivers]
    shifts = _decoded(codes, plan.reach) + moved.astype(jnp.int32)
    heights = 1.0 / jnp.sqrt(jnp.sum(inverses**2, axis=1))
    needed = jnp.where(pbc, jnp.floor(plan.cutoff / heights + 0.5), 0.0)
    shrunk = (needed > jnp.asarray(plan.reach, cells.dtype)[None]).any()
    padding = jnp.asarray([1, 0, 0], jnp.int32)
    return Pairs(
        senders=jnp.where(filled, senders, last),
        receivers=jnp.where(filled, receivers, last),
        cell_shifts=jnp.where(filled[:, None], shifts, padding[None]),
        num_pairs=count,
        overflow=(count > plan.capacity) | shrunk,
    )


def _compare(
    plan: Plan,
    inside: Float[AnyArray, "systems atoms 3"],
    cells: Float[AnyArray, "systems 3 3"],
    inverses: Float[AnyArray, "systems 3 3"],
    pbc: Bool[AnyArray, "systems 3"],
    present: Bool[AnyArray, "systems atoms"],
) -> tuple[Array, Array, Array, Array]:
    """Both atoms of each pair, its coded shift, and the number of pairs."""
    num_systems, num_atoms = present.shape
    images = _images(plan.reach)
    num_rows = max(1, min(num_systems * num_atoms, _BLOCK // (num_atoms * len(images))))
    lattices = jnp.where(pbc[:, :, None], cells, 0.0)
    fractions = _product(inside, inverses)
    allowed = (jnp.asarray(images == 0)[None] | pbc[:, None]).all(-1)  # [systems, images]
    steps = jnp.asarray(images, cells.dtype)[None]
    far = _product(jnp.broadcast_to(steps, (num_systems, *images.shape)), lattices)

    def compare_rows(carry: tuple, first: Int[Array, ""]) -> tuple[tuple, None]:
        rows = first + jnp.arange(num_rows, dtype=jnp.int32)
        system, own = jnp.divmod(jnp.minimum(rows, num_systems * num_atoms - 1), num_atoms)
        vectors = inside[system] - inside[system, own][:, None]
        nearest = jnp.round(fractions[system] - fractions[system, own][:, None])
        nearest = jnp.where(pbc[system][:, None], -nearest, 0.0)
        vectors += _product(nearest, lattices[system])
        lengths = sum((vectors[:, None, :, k] + far[system][:, :, None, k]) ** 2 for k in range(3))
        there = (rows < num_systems * num_atoms) & present[system, own]
        mask = (lengths < plan.cutoff**2) & _once(own, images, num_atoms)
        mask &= there[:, None, None] & allowed[system][:, :, None] & present[system][:, None]
        shifts = nearest.astype(jnp.int32)[:, None] + jnp.asarray(images, jnp.int32)[None, :, None]
        others = (system * num_atoms)[:, None] + jnp.arange(num_atoms, dtype=jnp.int32)[None]
        found = (
            jnp.broadcast_to(rows[:, None, None], mask.shape),
            jnp.broadcast_to(others[:, None], mask.shape),
            _coded(shifts, plan.reach),
        )
        *lists, count = carry
        places = count + jnp.cumsum(mask.ravel(), dtype=jnp.int32) - 1
        places = jnp.where(mask.ravel(), places, plan.capacity)
        lists = [
            old.at[places].set(new.ravel(), mode="drop")
            for old, new in zip(lists, found, strict=True)
        ]
        return (*lists, count + mask.sum(dtype=jnp.int32)), None

    empty = jnp.zeros(plan.capacity, jnp.int32)
    start = empty, empty, empty, jnp.zeros((), jnp.int32)
    firsts = jnp.arange(0, num_systems * num_atoms, num_rows, dtype=jnp.int32)
    return lax.scan(compare_rows, start, firsts)[0]


def _once(
    rows: Int[Array, " rows"], images: np.ndarray, num_atoms: int
) -> Bool[Array, "rows images atoms"]:
    """Which of all pairs count: only one of two that are mirror images of each other."""
    others = jnp.arange(num_atoms, dtype=jnp.int32)
    # An atom's own images: those whose first nonzero shift is positive.
    forward = np.array([tuple(image) > (0, 0, 0) for image in images.tolist()])
    itself = rows[:, None, None] == others[None, None, :]
    later = rows[:, None, None] < others[None, None, :]
    return later | (itself & jnp.asarray(forward)[None, :, None])


def _images(reach: tuple[int, int, int]) -> np.ndarray:
    """Shifts beyond the nearest image, [images, 3]."""
    return np.array(list(itertools.product(*(range(-r, r + 1) for r in reach))), np.int32)


def _coded(shifts: Int[Array, "*pairs 3"], reach: tuple[int, int, int]) -> Int[Array, "*pairs"]:
    """Three small integers as one."""
    code = jnp.zeros(shifts.shape[:-1], jnp.int32)
    for k, r in enumerate(reach):
        code = code * (2 * r + 3) + shifts[..., k] + (r + 1)
    return code


def _decoded(code: Int[Array, " pairs"], reach: tuple[int, int, int]) -> Int[Array, "pairs 3"]:
    shifts = []
    for r in reversed(reach):
        code, shift = jnp.divmod(code, 2 * r + 3)
        shifts.append(shift - (r + 1))
    return jnp.stack(shifts[::-1], axis=-1)


def _product(
    rows: Float[AnyArray, "systems rows 3"], matrices: Float[AnyArray, "systems 3 3"]
) -> Float[Array, "systems rows 3"]:
    """``rows @ matrices`` as a sum, so that no device rounds it as a matrix product."""
    x, y, z = (rows[..., k, None] * matrices[:, None, k] for k in range(3))
    return jnp.asarray(x + y + z)


def inverse(cells: Float[AnyArray, "systems 3 3"]) -> Float[Array, "systems 3 3"]:
    """Matrices from positions to fractions of the lattice vectors, without a linear solver.

    Args:
      cells: Lattice vectors in rows, Å, that span a volume.
    """
    duals = [jnp.cross(cells[:, (k + 1) % 3], cells[:, (k + 2) % 3]) for k in range(3)]
    columns = [
        dual / jnp.sum(dual * cells[:, k], axis=1, keepdims=True) for k, dual in enumerate(duals)
    ]
    return jnp.stack(columns, axis=2)
