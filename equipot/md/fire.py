"""Relaxation on the device: FIRE, for many systems at a time, and their cells if asked.

A system's coordinates are those of its atoms before a deformation F of the cell, and the nine
numbers of F times the number of atoms. With forces f on all of these, velocities v and P = f · v,

    v ← (1 − α) v + α |v| f / |f|   where P > 0; v ← 0 elsewhere
    v ← v + Δt f,   x ← x + Δt v, by at most a longest step

and Δt grows while P > 0. A system that has converged stays where it is.

References: Bitzek, Koskinen, Gähler, Moseler and Gumbsch 2006, Phys. Rev. Lett. 97, 170201. Tadmor,
Smith, Bernstein and Kaxiras 1999, Phys. Rev. B 59, 235 (cells).
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import no_type_check

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax

from equipot.inference import device_neighbors
from equipot.md import forces
from equipot.md.forces import Bounds, Lists, Room, volumes_of
from equipot.md.systems import Systems
from equipot.typing import AnyArray, Array, Bool, Float, Int, PyTree

FIRST_STEP, LONGEST_TIME, LONGEST_STEP = 0.1, 1.0, 0.2  # the units of ASE's FIRE; Å for the last
_MIN_STEPS, _GROWTH, _CUT, _FIRST_MIXING, _MIXING_CUT = 5, 1.1, 0.5, 0.1, 0.99


@no_type_check
@struct.dataclass
class Relaxing:
    """Systems on their way to a minimum.

    Attributes:
      origin: Positions before the deformation, Å.
      cells: Before it, Å; they span a volume, whatever is periodic.
      deformation: F: positions and cells are multiplied with its transpose.
      velocities: Of the atoms, and in three more rows of F.
      times: Δt.
      mixings: α.
      uphill: Steps since P was last negative.
      num_steps: Steps taken.
      energies: eV.
      forces: eV/Å.
      virials: Σ r ⊗ ∂E/∂r, eV.
      largest: Largest force on an atom, or on a row of F, eV/Å.
      abandoned: Which have been given up, because no room suffices for them.
      lists: Of pairs.
      needed: The most pairs so far: of the lists, and within the cutoff.
      overflow: Whether there was no room for them.
    """

    origin: Float[AnyArray, "systems atoms 3"]
    cells: Float[AnyArray, "systems 3 3"]
    deformation: Float[AnyArray, "systems 3 3"]
    velocities: Float[AnyArray, "systems rows 3"]
    times: Float[AnyArray, " systems"]
    mixings: Float[AnyArray, " systems"]
    uphill: Int[AnyArray, " systems"]
    num_steps: Int[AnyArray, " systems"]
    energies: Float[AnyArray, " systems"]
    forces: Float[AnyArray, "systems atoms 3"]
    virials: Float[AnyArray, "systems 3 3"]
    largest: Float[AnyArray, " systems"]
    abandoned: Bool[AnyArray, " systems"]
    lists: Lists
    needed: Int[AnyArray, "2"]
    overflow: Bool[AnyArray, ""]

    @property
    def positions(self) -> Float[Array, "systems atoms 3"]:
        """Å."""
        return jnp.einsum("sai,sji->saj", self.origin, self.deformation)

    @property
    def deformed(self) -> Float[Array, "systems 3 3"]:
        """Cells as they are now, Å."""
        return jnp.einsum("sai,sji->saj", self.cells, self.deformation)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """Where a relaxation ends.

    Attributes:
      fmax: Largest force allowed, eV/Å.
      max_steps: Steps after which a system is given up.
      cell: Whether cells relax.
      pressure: On them, eV/Å³.
    """

    fmax: float
    max_steps: int
    cell: bool = False
    pressure: float = 0.0


def begin(lists: Lists, origin: np.ndarray, cells: np.ndarray) -> Relaxing:
    """Systems at their start, whose forces are not known yet.

    Args:
      lists: Of the right size.
      origin: Positions, Å, [systems, atoms, 3].
      cells: Å, [systems, 3, 3].
    """
    count, size, _ = origin.shape
    return Relaxing(
        origin=origin,
        cells=cells,
        deformation=np.tile(np.eye(3), (count, 1, 1)),
        velocities=np.zeros((count, size + 3, 3)),
        times=np.full(count, FIRST_STEP),
        mixings=np.full(count, _FIRST_MIXING),
        uphill=np.zeros(count, np.int32),
        num_steps=np.zeros(count, np.int32),
        energies=np.zeros(count),
        forces=np.zeros_like(origin),
        virials=np.zeros((count, 3, 3)),
        largest=np.zeros(count),
        abandoned=np.zeros(count, bool),
        lists=lists,
        needed=np.zeros(2, np.int32),
        overflow=np.asarray(False),
    )


def make_relax(evaluate: forces.Evaluate, room: Room, target: Target) -> Callable[..., Relaxing]:
    """Returns ``relax(params, systems, bounds, state, num_steps, is_new)``.

    It takes steps until all systems have ended, or so many were taken, or room is short. Where
    systems are new, lists and forces are made first.
    """

    def relax(
        params: PyTree,
        systems: Systems,
        bounds: Bounds,
        state: Relaxing,
        num_steps: Int[Array, ""],
        is_new: Bool[Array, ""],
    ) -> Relaxing:
        num_turns = num_steps + is_new.astype(jnp.int32)
        state = dataclasses.replace(state, overflow=jnp.zeros((), bool))

        def goes_on(carry: tuple[Array, Relaxing]) -> Array:
            turn, now = carry
            busy = jnp.any(~has_ended(target, now))
            first = is_new & (turn == 0)
            return (turn < num_turns) & ~now.overflow & (busy | first)

        def take(carry: tuple[Array, Relaxing]) -> tuple[Array, Relaxing]:
            turn, now = carry
            first = is_new & (turn == 0)
            step = functools.partial(_step, target)
            moved = lax.cond(first, _still, step, systems, now)
            positions, cells = moved.positions, moved.deformed
            stale = forces.is_stale(room, positions, cells, now.lists, systems.present)
            lists = lax.cond(
                first | stale,
                lambda: forces.search(room, systems, positions, cells),
                lambda: now.lists,
            )
            found = evaluate(params, systems, bounds, positions, cells, lists)
            new = dataclasses.replace(
                moved,
                energies=found.energies,
                forces=found.forces,
                virials=found.virials,
                lists=lists,
                needed=jnp.maximum(now.needed, jnp.stack([lists.pairs.num_pairs, found.num_pairs])),
                overflow=lists.pairs.overflow | (found.num_pairs > room.capacity),
            )
            pull = generalized_forces(target, systems, new)
            largest = jnp.sqrt(jnp.max(jnp.sum(pull**2, axis=-1), axis=1))
            return turn + 1, dataclasses.replace(new, largest=largest)

        return lax.while_loop(goes_on, take, (jnp.zeros_like(num_turns), state))[1]

    return relax


def has_ended(target: Target, state: Relaxing) -> Bool[Array, " systems"]:
    """Which systems have converged, were given up, or are not finite."""
    moves = (jnp.asarray(state.largest) >= target.fmax) & jnp.isfinite(state.energies)
    return ~moves | (state.num_steps >= target.max_steps) | state.abandoned


def generalized_forces(
    target: Target, systems: Systems, state: Relaxing
) -> Float[Array, "systems rows 3"]:
    """Forces on atoms before the deformation, and, in three more rows, on F over atoms."""
    count = jnp.sum(systems.present, axis=1, dtype=jnp.int32)[:, None, None]
    on_atoms = jnp.einsum("sai,sij->saj", state.forces, state.deformation)
    on_atoms = jnp.where(systems.movable[..., None], on_atoms, 0.0)
    if not target.cell:
        return jnp.concatenate([on_atoms, jnp.zeros_like(state.deformation)], axis=1)
    volumes = volumes_of(state.deformed)[:, None, None]
    pull = -(state.virials + target.pressure * volumes * jnp.eye(3)[None])
    inverse = device_neighbors.inverse(state.deformation)
    on_cells = jnp.einsum("sij,skj->sik", pull, inverse)
    return jnp.concatenate([on_atoms, on_cells / count.astype(on_cells.dtype)], axis=1)


def _still(systems: Systems, now: Relaxing) -> Relaxing:
    return now


def _step(target: Target, systems: Systems, now: Relaxing) -> Relaxing:
    """One step of all systems that have not ended."""
    pull = generalized_forces(target, systems, now)
    power = _sum(pull * now.velocities)
    is_downhill = (power > 0) | (now.num_steps == 0)
    speed, strength = jnp.sqrt(_sum(now.velocities**2)), jnp.sqrt(_sum(pull**2))
    mixing = now.mixings[:, None, None]
    along = pull * (speed / jnp.where(strength > 0, strength, 1.0))[:, None, None]
    mixed = (1.0 - mixing) * now.velocities + mixing * along
    velocities = jnp.where(is_downhill[:, None, None], mixed, 0.0)
    is_fast = is_downhill & (now.uphill > _MIN_STEPS) & (now.num_steps > 0)
    times = jnp.where(is_fast, jnp.minimum(now.times * _GROWTH, LONGEST_TIME), now.times)
    times = jnp.where(is_downhill, times, now.times * _CUT)
    mixings = jnp.where(is_fast, now.mixings * _MIXING_CUT, now.mixings)
    mixings = jnp.where(is_downhill, mixings, _FIRST_MIXING)
    uphill = jnp.where(is_downhill & (now.num_steps > 0), now.uphill + 1, 0)
    velocities = velocities + times[:, None, None] * pull
    moves = times[:, None, None] * velocities
    length = jnp.sqrt(_sum(moves**2))
    moves = moves * jnp.minimum(1.0, LONGEST_STEP / jnp.maximum(length, 1e-300))[:, None, None]
    ended = has_ended(target, now)
    count = jnp.sum(systems.present, axis=1, dtype=jnp.int32).astype(moves.dtype)
    size = systems.present.shape[1]

    def kept(new: AnyArray, old: AnyArray) -> Array:
        return jnp.where(ended.reshape(-1, *[1] * (new.ndim - 1)), old, new)

    return dataclasses.replace(
        now,
        origin=kept(now.origin + moves[:, :size], now.origin),
        deformation=kept(now.deformation + moves[:, size:] / count[:, None, None], now.deformation),
        velocities=kept(velocities, now.velocities),
        times=kept(times, now.times),
        mixings=kept(mixings, now.mixings),
        uphill=kept(uphill, now.uphill),
        num_steps=kept(now.num_steps + 1, now.num_steps),
    )


def _sum(values: Float[AnyArray, "systems rows 3"]) -> Float[Array, " systems"]:
    return jnp.sum(values, axis=(1, 2))
