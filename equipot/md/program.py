"""The compiled part of a simulation: as many steps as are asked for, until something stops them.

``advance`` is one program, whatever the number of steps. It makes new lists of pairs when atoms
have moved too far, and stops where room is short, where a number is not finite, or, if strict,
where a distance is outside of those of training. Random numbers depend on the seed and the step
alone, so that a step that is repeated is the same.
"""

import dataclasses
import enum
import functools
from collections.abc import Callable
from typing import Any, no_type_check

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from equipot.md import ensembles, forces
from equipot.md.ensembles import Ensemble, Motion
from equipot.md.forces import Bounds, Lists, Room
from equipot.md.systems import Systems
from equipot.potential import summands
from equipot.potential.potential import PotentialSpec
from equipot.typing import AnyArray, Array, Bool, Float, Int, PyTree

_MOST_PROGRAMS = 8


class First(enum.IntEnum):
    """What comes before the first step.

    Attributes:
      NOTHING: Forces and lists are at hand.
      SEARCH: Lists and forces are made anew.
      EVALUATE: Forces are made anew, by the lists that there are.
      AGAIN: Lists and forces are made anew, of a step that has been looked at.
    """

    NOTHING = 0
    SEARCH = 1
    EVALUATE = 2
    AGAIN = 3


@no_type_check
@struct.dataclass
class State:
    """Systems after a step.

    Attributes:
      step: Its number.
      positions: Å.
      velocities: sqrt(eV/amu), ASE's unit.
      cells: Å; they span a volume, whatever is periodic.
      energies: eV, potential.
      forces: eV/Å.
      virials: Σ r ⊗ ∂E/∂r, eV.
      lists: Of pairs.
      num_searches: How often these were made.
      needed: The most pairs so far: of the lists, and within the cutoff.
      overflow: Whether there was no room for them: nothing else here then means anything.
      is_finite: Whether positions, energies and forces are. Atoms that are nowhere have no
        neighbors, and energies and forces that look right.
      num_outside: Steps outside of the distances of training, since this was set to 0.
      outside_step: The first of them.
      outside_positions: Positions then, Å.
      outside_cells: Cells then, Å.
    """

    step: Int[AnyArray, ""]
    positions: Float[AnyArray, "systems atoms 3"]
    velocities: Float[AnyArray, "systems atoms 3"]
    cells: Float[AnyArray, "systems 3 3"]
    energies: Float[AnyArray, " systems"]
    forces: Float[AnyArray, "systems atoms 3"]
    virials: Float[AnyArray, "systems 3 3"]
    lists: Lists
    num_searches: Int[AnyArray, ""]
    needed: Int[AnyArray, "2"]
    overflow: Bool[AnyArray, ""]
    is_finite: Bool[AnyArray, ""]
    num_outside: Int[AnyArray, ""]
    outside_step: Int[AnyArray, ""]
    outside_positions: Float[AnyArray, "systems atoms 3"]
    outside_cells: Float[AnyArray, "systems 3 3"]


Advance = Callable[[PyTree, Systems, Bounds, State, Array, Array, Array], State]
"""``advance(params, systems, bounds, state, key, num_steps, first)``."""


@functools.lru_cache(maxsize=_MOST_PROGRAMS)
def compiled(
    spec: PotentialSpec,
    platform: str,
    room: Room,
    ensemble: Ensemble,
    *,
    is_watched: bool,
    is_strict: bool,
) -> Advance:
    """The program of all simulations with these sizes and this ensemble.

    Args:
      spec: Of the potential.
      platform: Whose form of the algorithms is compiled.
      room: Static sizes.
      ensemble: What is kept constant.
      is_watched: Whether distances are compared with those of training.
      is_strict: Whether it stops at one outside of them.
    """
    predict = summands.make_predict(spec, (), platform)
    evaluate = forces.make_evaluate(predict, room, spec.dtype, is_watched=is_watched)
    return jax.jit(make_advance(evaluate, room, ensemble, is_strict=is_strict))


def make_advance(
    evaluate: forces.Evaluate, room: Room, ensemble: Ensemble, *, is_strict: bool = False
) -> Advance:
    """Returns ``advance``, to be traced where float64 is enabled."""

    def advance(
        params: PyTree,
        systems: Systems,
        bounds: Bounds,
        state: State,
        key: Array,
        num_steps: Int[Array, ""],
        first: Int[Array, ""],
    ) -> State:
        num_turns = num_steps + jnp.where(first > 0, 1, 0)
        state = dataclasses.replace(state, overflow=jnp.zeros((), bool))

        def goes_on(carry: tuple[Array, State]) -> Array:
            turn, now = carry
            stopped = now.overflow | ~now.is_finite | (is_strict & (now.num_outside > 0))
            return (turn < num_turns) & ~stopped

        def take(carry: tuple[Array, State]) -> tuple[Array, State]:
            turn, now = carry
            is_still = (turn == 0) & (first > 0)
            moved = functools.partial(_moved, ensemble)
            positions, velocities, cells = lax.cond(is_still, _still, moved, systems, now, key)
            is_again = is_still & (first == First.AGAIN)
            searched = is_again | (is_still & (first == First.SEARCH))
            stale = forces.is_stale(room, positions, cells, now.lists, systems.present)
            anew = searched | (stale & ~is_still)
            lists = lax.cond(
                anew,
                lambda: forces.search(room, systems, positions, cells),
                lambda: now.lists,
            )
            found = evaluate(params, systems, bounds, positions, cells, lists)
            kicked = ensembles.kick(ensemble, systems, velocities, found.forces)
            velocities = jnp.where(is_still, now.velocities, kicked)
            step = now.step + jnp.where(is_still, 0, 1)
            new = dataclasses.replace(
                now,
                step=step,
                positions=positions,
                velocities=velocities,
                cells=cells,
                energies=found.energies,
                forces=found.forces,
                virials=found.virials,
                lists=lists,
                num_searches=now.num_searches + anew.astype(jnp.int32),
                needed=jnp.maximum(now.needed, jnp.stack([lists.pairs.num_pairs, found.num_pairs])),
                overflow=lists.pairs.overflow | (found.num_pairs > room.capacity),
                is_finite=_all_finite(positions, found.energies, found.forces),
            )
            return turn + 1, _watched(new, found.is_outside & ~is_again)

        return lax.while_loop(goes_on, take, (jnp.zeros_like(num_turns), state))[1]

    return advance


def _still(systems: Systems, now: State, key: Array) -> tuple[AnyArray, AnyArray, AnyArray]:
    return now.positions, now.velocities, now.cells


def _moved(
    ensemble: Ensemble, systems: Systems, now: State, key: Array
) -> tuple[AnyArray, AnyArray, AnyArray]:
    velocities = ensembles.kick(ensemble, systems, now.velocities, now.forces)
    motion = Motion(positions=now.positions, velocities=velocities, cells=now.cells)
    own = jax.random.fold_in(key, now.step)
    new = ensembles.drift(ensemble, systems, motion, now.virials, own)
    return new.positions, new.velocities, new.cells


def _all_finite(*arrays: AnyArray) -> Bool[Array, ""]:
    return jnp.stack([jnp.isfinite(array).all() for array in arrays]).all()


def _watched(state: State, is_outside: Array) -> State:
    """Counts steps outside of training, and keeps how atoms lay at the first."""
    is_first = is_outside & (state.num_outside == 0)

    def kept(new: Any, old: Any) -> Array:
        return jnp.where(is_first, new, old)

    return dataclasses.replace(
        state,
        num_outside=state.num_outside + is_outside.astype(jnp.int32),
        outside_step=kept(state.step, state.outside_step),
        outside_positions=kept(state.positions, state.outside_positions),
        outside_cells=kept(state.cells, state.outside_cells),
    )
