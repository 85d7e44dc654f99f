"""Energies, forces and virials on the device, by a list of pairs that lasts for many steps.

The list is as much wider than the cutoff as the skin. At each step the pairs within the cutoff are
gathered from it, and the potential sees those alone. Positions are kept in float64; the potential
gets them moved back next to the origin, so that its own precision resolves them.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, no_type_check

import jax.numpy as jnp
from flax import struct

from equipot.graphs.graph import Edges, Globals, Graph, Nodes
from equipot.inference import device_neighbors
from equipot.inference.device_neighbors import Pairs, Plan
from equipot.md.systems import Systems
from equipot.typing import AnyArray, Array, Bool, Float, Int, PyTree


@dataclasses.dataclass(frozen=True, kw_only=True)
class Room:
    """The static sizes of a program.

    Attributes:
      cutoff: Å, of the potential.
      skin: Å by which lists are wider.
      plan: Of the search for the lists.
      capacity: Room for so many pairs within the cutoff.
    """

    cutoff: float
    skin: float
    plan: Plan
    capacity: int


@no_type_check
@struct.dataclass
class Lists:
    """Pairs, and where the atoms were when these were searched.

    Attributes:
      pairs: Nearer than the cutoff and the skin together, as the atoms lay then.
      positions: Å, then.
      cells: Å, then.
      whole: Lattice vectors to subtract from the positions so that they lie in the cell.
      center: Å, to subtract where no direction is periodic.
    """

    pairs: Pairs
    positions: Float[AnyArray, "systems atoms 3"]
    cells: Float[AnyArray, "systems 3 3"]
    whole: Float[AnyArray, "systems atoms 3"]
    center: Float[AnyArray, "systems 1 3"]


@no_type_check
@struct.dataclass
class Found:
    """What a potential says of systems.

    Attributes:
      energies: With reference energies, eV.
      forces: eV/Å; zero in padding.
      virials: Σ r ⊗ ∂E/∂r over pairs, eV: the stress times the volume.
      num_pairs: Pairs within the cutoff, even if there is no room for them.
      is_outside: Whether a distance is outside of those of training.
    """

    energies: Float[Array, " systems"]
    forces: Float[Array, "systems atoms 3"]
    virials: Float[Array, "systems 3 3"]
    num_pairs: Int[Array, ""]
    is_outside: Bool[Array, ""]


@no_type_check
@struct.dataclass
class Bounds:
    """Distances of training, for the check of each step.

    Attributes:
      nearest: Of two species, Å.
      farthest: Of an atom of a species from its nearest atom, Å; infinite for species that may be
        alone, 0 for those that training lacked, which are always outside.
    """

    nearest: Float[AnyArray, "species species"]
    farthest: Float[AnyArray, " species"]


Evaluate = Callable[[PyTree, Systems, Bounds, AnyArray, AnyArray, Lists], Found]
"""``evaluate(params, systems, bounds, positions, cells, lists)``."""


def search(room: Room, systems: Systems, positions: AnyArray, cells: AnyArray) -> Lists:
    """Makes the lists for the atoms as they lie."""
    pairs = device_neighbors.search(room.plan, positions, cells, systems.pbc, systems.present)
    periodic = systems.pbc[:, None].astype(positions.dtype)
    whole = jnp.floor(_fractions(positions, cells)) * periodic
    count = jnp.sum(systems.present, axis=1, dtype=jnp.int32).astype(positions.dtype)
    there = jnp.where(systems.present[..., None], positions, 0.0)
    mean = jnp.sum(there, axis=1) / count[:, None]
    is_free = ~jnp.any(systems.pbc, axis=1, keepdims=True)
    center = jnp.where(is_free, mean, 0.0)[:, None]
    return Lists(pairs=pairs, positions=positions, cells=cells, whole=whole, center=center)


def is_stale(
    room: Room, positions: AnyArray, cells: AnyArray, lists: Lists, present: AnyArray
) -> Bool[Array, ""]:
    """Whether a pair may have come within the cutoff that is not in the lists.

    With the cell a distance changes by at most its own share of the strain, and with the atoms by
    twice the largest displacement beyond that strain.
    """
    deformation = jnp.einsum("sij,sjk->sik", device_neighbors.inverse(lists.cells), cells)
    strain = jnp.sqrt(jnp.sum((deformation - jnp.eye(3)[None]) ** 2, axis=(1, 2)))
    strained = jnp.einsum("sai,sij->saj", lists.positions, deformation)
    squares = jnp.where(present, jnp.sum((positions - strained) ** 2, axis=-1), 0.0)
    moved = jnp.sqrt(jnp.max(squares, axis=1))
    return jnp.any(2.0 * moved + strain * room.plan.cutoff > room.skin)


def make_evaluate(
    predict: Callable[[PyTree, Graph], Any], room: Room, dtype: str, *, is_watched: bool
) -> Evaluate:
    """Returns ``evaluate``, a pure function to be traced where float64 is enabled.

    Args:
      predict: As ``equipot.potential.summands.make_predict`` gives it.
      room: Static sizes.
      dtype: Of the potential.
      is_watched: Whether distances are compared with those of training.
    """

    def evaluate(
        params: PyTree,
        systems: Systems,
        bounds: Bounds,
        positions: Float[AnyArray, "systems atoms 3"],
        cells: Float[AnyArray, "systems 3 3"],
        lists: Lists,
    ) -> Found:
        shape = systems.present.shape
        lattices = jnp.where(systems.pbc[:, :, None], cells, 0.0)
        near = positions - jnp.einsum("sai,sij->saj", lists.whole, lattices) - lists.center
        near = jnp.where(systems.present[..., None], near, 0.0).reshape(-1, 3)
        near = jnp.concatenate([near, jnp.zeros((1, 3), near.dtype)])
        shifts, squares = _measure(lists, near, lattices)
        inside = jnp.less(squares, room.cutoff**2)
        pairs = _gathered(room, lists.pairs, shifts, inside, shape)
        graph = _graph(room, systems, near, lattices, pairs, dtype)
        found = predict(params, graph)
        node_energy = found.node_energy[:-1].reshape(shape).astype(jnp.float64)
        energies = jnp.sum(jnp.where(systems.present, node_energy, 0.0), axis=1)
        forces = found.forces[:-1].reshape(*shape, 3).astype(jnp.float64)
        volumes = graph.globals.volume[:-1, None, None]
        return Found(
            energies=energies + systems.references,
            forces=jnp.where(systems.present[..., None], forces, 0.0),
            virials=(found.stress[:-1] * volumes).astype(jnp.float64),
            num_pairs=jnp.asarray(pairs.num_pairs),
            is_outside=(
                _is_outside(systems, bounds, lists.pairs, squares)
                if is_watched
                else jnp.zeros((), bool)
            ),
        )

    return evaluate


def volumes_of(cells: Float[AnyArray, "systems 3 3"]) -> Float[Array, " systems"]:
    """Å³."""
    return jnp.abs(jnp.sum(cells[:, 0] * jnp.cross(cells[:, 1], cells[:, 2]), axis=1))


def _measure(
    lists: Lists, near: Float[Array, "nodes 3"], lattices: Float[Array, "systems 3 3"]
) -> tuple[Int[Array, "pairs 3"], Float[Array, " pairs"]]:
    """Lattice shifts to go with the positions given, and squared lengths; infinite in padding."""
    pairs = lists.pairs
    num_atoms = lists.positions.shape[1]
    last = len(near) - 1
    whole = jnp.concatenate([lists.whole.reshape(-1, 3), jnp.zeros((1, 3))]).astype(jnp.int32)
    shifts = pairs.cell_shifts + whole[pairs.receivers] - whole[pairs.senders]
    owner = jnp.minimum(pairs.senders // num_atoms, len(lattices) - 1)
    vectors = near[pairs.receivers] - near[pairs.senders]
    for k in range(3):
        vectors += shifts[:, k, None].astype(near.dtype) * lattices[owner, k]
    squares = jnp.sum(vectors**2, axis=1)
    return jnp.asarray(shifts), jnp.where(pairs.senders < last, squares, jnp.inf)


def _gathered(
    room: Room, pairs: Pairs, shifts: Array, inside: Array, shape: tuple[int, ...]
) -> Pairs:
    """The pairs that are inside, one after another, and padding."""
    count = jnp.sum(inside, dtype=jnp.int32)
    (chosen,) = jnp.nonzero(inside, size=room.capacity, fill_value=len(inside) - 1)
    filled = jnp.arange(room.capacity, dtype=jnp.int32) < count
    last = shape[0] * shape[1]
    padding = jnp.asarray([1, 0, 0], jnp.int32)
    return Pairs(
        senders=jnp.where(filled, pairs.senders[chosen], last),
        receivers=jnp.where(filled, pairs.receivers[chosen], last),
        cell_shifts=jnp.where(filled[:, None], shifts[chosen], padding[None]),
        num_pairs=count,
        overflow=count > room.capacity,
    )


def _graph(
    room: Room, systems: Systems, near: Array, lattices: Array, pairs: Pairs, dtype: str
) -> Graph:
    """The graph that a potential takes: each system's atoms, padding included, then one node."""
    num_systems, num_atoms = systems.present.shape
    owner = jnp.minimum(pairs.senders // num_atoms, num_systems)
    n_edge = jnp.zeros(num_systems + 1, jnp.int32).at[owner].add(1)
    is_solid = systems.pbc.all(axis=1)
    volumes = jnp.where(is_solid, volumes_of(lattices), 1.0)
    padding = 2.0 * room.cutoff * jnp.eye(3)
    return Graph(
        nodes=Nodes(
            positions=near.astype(dtype),
            species=jnp.concatenate([systems.species.reshape(-1), jnp.zeros(1, jnp.int32)]),
            offsets=jnp.zeros(near.shape, dtype),
        ),
        edges=Edges(cell_shifts=pairs.cell_shifts),
        senders=pairs.senders,
        receivers=pairs.receivers,
        globals=Globals(
            cell=jnp.concatenate([lattices, padding[None]]).astype(dtype),
            volume=jnp.concatenate([volumes, jnp.ones(1)]).astype(dtype),
            head=jnp.concatenate([systems.head, jnp.zeros(1, jnp.int32)]),
            charge=jnp.zeros(num_systems + 1, dtype),
        ),
        n_node=jnp.asarray([num_atoms] * num_systems + [1], jnp.int32),
        n_edge=n_edge,
    )


def _is_outside(
    systems: Systems, bounds: Bounds, pairs: Pairs, squares: Float[Array, " pairs"]
) -> Bool[Array, ""]:
    """Whether two atoms are too close, or an atom is too far from all others."""
    species = jnp.concatenate([systems.species.reshape(-1), jnp.zeros(1, jnp.int32)])
    kinds = species[pairs.senders], species[pairs.receivers]
    close = squares < bounds.nearest[kinds] ** 2
    kept = jnp.isinf(bounds.farthest)[species]
    for ends, kind in zip((pairs.senders, pairs.receivers), kinds, strict=True):
        kept = kept.at[ends].max(squares <= bounds.farthest[kind] ** 2)
    stray = systems.present.reshape(-1) & ~kept[:-1]
    return jnp.any(close) | jnp.any(stray)


def _fractions(positions: AnyArray, cells: AnyArray) -> Array:
    """In units of the lattice vectors."""
    return jnp.einsum("sai,sij->saj", positions, device_neighbors.inverse(cells))
