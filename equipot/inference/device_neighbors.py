"""Neighbor lists on a device: a search of fixed shapes inside ``jit``, for simulations there.

A ``Plan``, made on the host for one system, holds what is static: how many images of the cell are
examined, and for how many pairs there is room. ``search`` compares all atoms with all images, some
rows at a time, and reports when the room or the images no longer suffice; the host must then make a
new plan. The lists hold the same pairs as those of ``equipot.store.neighbors``, each once, but in a
different order.
"""

import dataclasses
import itertools
from typing import no_type_check

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax

from equipot import errors
from equipot.store import neighbors
from equipot.typing import Array, Bool, Float, Int

HEADROOM = 1.1
"""Room for pairs beyond those that a system has when its search is planned."""

_BLOCK = 2**18  # distances that are compared at a time
_MOST = 2**31 - 1  # what an index of int32 reaches


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """The static part of a search.

    Attributes:
      cutoff: Å.
      pbc: Which directions are periodic.
      reach: Images on either side, beyond the nearest one, in each direction.
      num_atoms: Atoms, the first of the nodes; the node after them is padding.
      capacity: Room for so many pairs.
    """

    cutoff: float
    pbc: tuple[bool, bool, bool]
    reach: tuple[int, int, int]
    num_atoms: int
    capacity: int

    def __post_init__(self) -> None:
        if self.num_atoms**2 * self.num_images > _MOST:
            raise errors.ConfigError(
                f"a search on a device compares at most {_MOST:.0e} pairs of images, received"
                f" {self.num_atoms} atoms and {self.num_images} images; search on the host, with"
                " equipot.inference.neighbors"
            )

    @property
    def num_images(self) -> int:
        """Number of images of each pair that are examined."""
        return int(np.prod([2 * r + 1 for r in self.reach]))


@no_type_check
@struct.dataclass
class Pairs:
    """The pairs found, padded: padding edges run from the first padding node to itself.

    Attributes:
      senders: Either atom of each pair, int32.
      receivers: The other one, int32.
      cell_shifts: Lattice shifts of the receivers, int32; (1, 0, 0) in padding.
      num_pairs: Number of pairs in the system, even if it exceeds the capacity.
      overflow: Whether pairs are missing, either because there is no room or because the cell has
        shrunk so far that more images are needed than are examined.
    """

    senders: Int[Array, " capacity"]
    receivers: Int[Array, " capacity"]
    cell_shifts: Int[Array, "capacity 3"]
    num_pairs: Int[Array, ""]
    overflow: Bool[Array, ""]


def plan(
    positions: np.ndarray,
    cell: np.ndarray,
    pbc: np.ndarray,
    cutoff: float,
    capacity: int | None = None,
) -> Plan:
    """Plans searches for a system, on the host.

    Args:
      positions: Å, [atoms, 3].
      cell: Lattice vectors in rows, Å, [3, 3]; a skewed one works, a reduced one has fewer images.
      pbc: Which directions are periodic, [3].
      cutoff: Å, positive.
      capacity: Number of pairs to make room for; None counts the present ones and adds some.

    Raises:
      DataError: As ``equipot.store.neighbors`` does.
      ConfigError: If there are too many atoms.
    """
    if capacity is None:
        found = len(neighbors.placed_list(positions, cell, pbc, cutoff).senders)
        capacity = max(round(HEADROOM * found), 8)
    reach = np.zeros(3, int)
    if pbc.any():
        faces = np.linalg.norm(np.linalg.pinv(np.asarray(cell, np.float64)[pbc]), axis=0)
        reach[pbc] = np.floor(cutoff * faces * (1.0 + 1e-5) + 0.5)
    return Plan(
        cutoff=float(cutoff),
        pbc=(bool(pbc[0]), bool(pbc[1]), bool(pbc[2])),
        reach=(int(reach[0]), int(reach[1]), int(reach[2])),
        num_atoms=len(positions),
        capacity=capacity,
    )


def search(plan: Plan, positions: Float[Array, "nodes 3"], cell: Float[Array, "3 3"]) -> Pairs:
    """Finds the pairs of atoms closer than the cutoff; a pure function, to be compiled.

    A pair's vector is that of ``equipot.graphs.geometry.edge_vectors``. If rounding puts a distance
    on the other side of the cutoff, no harm is done, because every model vanishes there.

    Args:
      plan: What is static.
      positions: Å, finite; atoms may lie outside the cell, padding may follow them.
      cell: Lattice vectors in rows, Å; rows of directions that are not periodic may be anything.
    """
    inverse = _inverse(cell, plan.pbc)
    atoms = positions[: plan.num_atoms]
    whole = jnp.floor(_product(atoms, inverse))
    inside = atoms - _product(whole, _periodic(cell, plan.pbc))
    slots, codes, count = _compare(plan, inside, cell, inverse)
    filled = jnp.arange(plan.capacity, dtype=jnp.int32) < count
    first, rest = jnp.divmod(slots, plan.num_images * plan.num_atoms)
    second = rest % plan.num_atoms
    moved = whole[first] - whole[second]
    shifts = _decoded(codes, plan.reach) + moved.astype(jnp.int32)
    padding = jnp.asarray([1, 0, 0], jnp.int32)
    heights = 1.0 / jnp.sqrt(jnp.sum(inverse**2, axis=0))
    needed = jnp.where(np.array(plan.pbc), jnp.floor(plan.cutoff / heights + 0.5), 0.0)
    shrunk = (needed > jnp.asarray(plan.reach, cell.dtype)).any()
    return Pairs(
        senders=jnp.where(filled, first, plan.num_atoms),
        receivers=jnp.where(filled, second, plan.num_atoms),
        cell_shifts=jnp.where(filled[:, None], shifts, padding[None]),
        num_pairs=count,
        overflow=(count > plan.capacity) | shrunk,
    )


def _compare(
    plan: Plan,
    inside: Float[Array, "atoms 3"],
    cell: Float[Array, "3 3"],
    inverse: Float[Array, "3 3"],
) -> tuple[Int[Array, " capacity"], Int[Array, " capacity"], Int[Array, ""]]:
    """Index of each pair among all rows, images and atoms, its coded shift, and their number."""
    num_atoms, images = plan.num_atoms, _images(plan.reach)
    num_rows = max(1, min(num_atoms, _BLOCK // (num_atoms * len(images))))
    lattice = _periodic(cell, plan.pbc)
    fractions = _product(inside, inverse)
    per_row = len(images) * num_atoms

    def compare_rows(carry: tuple, first: Int[Array, ""]) -> tuple[tuple, None]:
        slots, codes, count = carry
        rows = first + jnp.arange(num_rows, dtype=jnp.int32)
        own = jnp.minimum(rows, num_atoms - 1)
        nearest = -jnp.round(fractions[None] - fractions[own][:, None])
        vectors = inside[None] - inside[own][:, None] + _product(nearest, lattice)
        far = _product(jnp.asarray(images, cell.dtype), lattice)
        lengths = sum((vectors[:, None, :, k] + far[None, :, None, k]) ** 2 for k in range(3))
        mask = (lengths < plan.cutoff**2) & _once(rows, images, num_atoms)
        shifts = nearest.astype(jnp.int32)[:, None] + jnp.asarray(images, jnp.int32)[None, :, None]
        places = count + jnp.cumsum(mask.ravel(), dtype=jnp.int32) - 1
        places = jnp.where(mask.ravel(), places, plan.capacity)
        index = first * per_row + jnp.arange(num_rows * per_row, dtype=jnp.int32)
        slots = slots.at[places].set(index, mode="drop")
        codes = codes.at[places].set(_coded(shifts, plan.reach).ravel(), mode="drop")
        return (slots, codes, count + mask.sum(dtype=jnp.int32)), None

    empty = jnp.zeros(plan.capacity, jnp.int32)
    start = empty, empty, jnp.zeros((), jnp.int32)
    firsts = jnp.arange(0, num_atoms, num_rows, dtype=jnp.int32)
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
    there = (rows < num_atoms)[:, None, None]
    return there & (later | (itself & jnp.asarray(forward)[None, :, None]))


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


def _periodic(cell: Float[Array, "3 3"], pbc: tuple[bool, bool, bool]) -> Float[Array, "3 3"]:
    """The cell, zero in directions that are not periodic."""
    return jnp.where(np.array(pbc)[:, None], cell, jnp.zeros_like(cell))


def _product(rows: Float[Array, "*rows 3"], matrix: Float[Array, "3 3"]) -> Float[Array, "*rows 3"]:
    """``rows @ matrix`` as a sum, so that no device rounds it as a matrix product."""
    wide = matrix.reshape((3,) + (1,) * (rows.ndim - 1) + (3,))
    x, y, z = (rows[..., k, None] * wide[k] for k in range(3))
    return x + y + z


def _inverse(cell: Float[Array, "3 3"], pbc: tuple[bool, bool, bool]) -> Float[Array, "3 3"]:
    """Matrix from positions to fractions of the periodic lattice vectors, zero in the others."""
    vectors = [cell[k] for k in range(3) if pbc[k]]
    if len(vectors) == 1:
        axes = jnp.eye(3, dtype=cell.dtype)
        vectors.append(jnp.cross(vectors[0], axes[jnp.argmin(jnp.abs(vectors[0]))]))
    if len(vectors) == 2:
        vectors.append(jnp.cross(vectors[0], vectors[1]))
    if not vectors:
        return jnp.zeros_like(cell)
    duals = [jnp.cross(vectors[(k + 1) % 3], vectors[(k + 2) % 3]) for k in range(3)]
    duals = [dual / jnp.sum(dual * own) for dual, own in zip(duals, vectors, strict=True)]
    periodic = iter(duals)
    columns = [next(periodic) if pbc[k] else jnp.zeros_like(cell[k]) for k in range(3)]
    return jnp.stack(columns, axis=1)
