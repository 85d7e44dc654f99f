"""Relaxation of many structures on the device: as one ends, the next takes its place.

Structures of similar size share a program, in which each has a slot. The device takes some steps of
all slots; then the host takes out what has ended and fills the slots anew.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms, units

from equipot import errors
from equipot.calculators.relaxation import RelaxationConfig, RelaxationReport
from equipot.inference.out_of_range import Finding, find_anew
from equipot.md import atoms, beginning, fire, forces, rooms, systems
from equipot.md.fire import Relaxing, Target
from equipot.md.simulation import Snapshot
from equipot.md.systems import Start
from equipot.potential import artefact, evaluate, precision, summands
from equipot.potential.bound import Bound
from equipot.potential.potential import PotentialSpec

MOST_ATOMS = 4096
"""Of all slots together, padding included; a larger structure has a program for itself."""

_AT_A_TIME = 25  # steps between looks at what has ended


def relax(
    structures: Sequence[Atoms],
    bound: Bound,
    config: RelaxationConfig,
    *,
    head: int = 0,
    skin: float = 0.5,
    stored: artefact.Artefact | None = None,
    on_end: Callable[[int, RelaxationReport, Sequence[Finding]], None] | None = None,
) -> list[RelaxationReport]:
    """Relaxes all structures, in place, by FIRE as ASE has it.

    With ``config.cell`` cells relax together with the atoms. The trajectory of the settings is not
    written: the structures, with energies, forces and stress, are what is left.

    Args:
      structures: What to relax.
      bound: The potential.
      config: Settings; the optimizer must be "fire".
      head: Index of the level of theory.
      skin: Å by which lists of pairs are wider than the cutoff.
      stored: The file of the potential, whose probe is checked first.
      on_end: Called when a structure has ended, with its place, its report, and what in it is then
        outside of the distances of training.

    Returns:
      One report for each structure. One whose energy or forces become infinite or no numbers, or
      whose cell collapses, stays as it was, and its report has no energy.

    Raises:
      ConfigError: If the optimizer is another, a cell is to relax that is not periodic in all
        directions, or a constraint cannot be kept.
      DataError: If two atoms are at the same place, a cell is singular, or a number is not finite.
      UnknownElementError: If the potential does not know an element.
      ArtefactError: If the stored probe is not reproduced.
    """
    if config.optimizer != "fire":
        raise errors.ConfigError(
            f"optimizer: expected fire for many structures, received {config.optimizer!r}"
        )
    for i, own in enumerate(structures):
        if config.cell and not own.pbc.all():
            raise errors.ConfigError(
                f"cell: structure {i}: expected one that is periodic in all three directions,"
                f" received pbc = {own.pbc.tolist()}; relax the atoms alone, or give a cell"
            )
    atoms.check(structures, bound.spec.cutoff)
    _check_each(structures, bound.spec)
    if stored is not None:
        stored.check(evaluate.evaluate(bound.potential, [stored.probe.structure])[0], bound.spec)
    classes: dict[int, list[int]] = {}
    for i, own in enumerate(structures):
        classes.setdefault(math.ceil(math.log2(max(len(own), 1))), []).append(i)
    reports: dict[int, RelaxationReport] = {}
    for members in classes.values():
        slots = _Slots(structures, members, bound, config, head, skin)
        for index, report in slots.run():
            reports[index], own = report, structures[index]
            if on_end is not None:
                there = own.positions, np.asarray(own.cell), own.pbc
                span, cutoff = bound.potential.distance_range, bound.spec.cutoff
                on_end(index, report, find_anew(span, own.numbers, *there, cutoff))
    return [reports[i] for i in range(len(structures))]


def _check_each(structures: Sequence[Atoms], spec: PotentialSpec) -> None:
    """Refuses what would stop only when a structure gets its slot."""
    for i, own in enumerate(structures):
        try:
            systems.species_of(own.positions, own.numbers, spec)
            atoms.fixed_atoms(own)
        except errors.EquipotError as failure:
            raise type(failure)(f"structure {i}: {failure}") from failure


class _Slots:
    """Structures of similar size that share a program."""

    def __init__(
        self,
        structures: Sequence[Atoms],
        members: Sequence[int],
        bound: Bound,
        config: RelaxationConfig,
        head: int,
        skin: float,
    ) -> None:
        self._structures, self._bound, self._head = structures, bound, head
        self._target = Target(
            fmax=config.fmax,
            max_steps=config.max_steps,
            cell=config.cell,
            pressure=config.pressure * units.GPa,
        )
        self._size = max(len(structures[i]) for i in members)
        count = min(len(members), max(1, MOST_ATOMS // max(self._size, 1)))
        self._owners, self._queue = list(members[:count]), list(members[count:])
        self._is_open = [True] * count
        self._starts = [self._start(i) for i in self._owners]
        self._before: dict[int, tuple[float, float]] = {}
        with precision.of("float64"):
            self._bounds = jax.device_put(beginning.bounds_of(bound), bound.device)
        self._room = rooms.plan(self._starts, bound.spec.cutoff, skin)

    def run(self) -> Any:
        """Yields the place and the report of each structure as it ends."""
        state = self._fresh(self._starts)
        is_new = True
        while any(self._is_open):
            state = self._take(state, 0 if is_new else _AT_A_TIME, is_new)
            if is_new:
                self._note(state)
            with precision.of("float64"):
                ended = np.asarray(fire.has_ended(self._target, state))
            done = [k for k, is_open in enumerate(self._is_open) if is_open and ended[k]]
            snapshot = _snapshot(state) if done else None
            for k in done:
                yield self._owners[k], self._report(k, state, snapshot)
            state, is_new = self._refilled(state, done)

    def _take(self, state: Relaxing, num_steps: int, is_new: bool) -> Relaxing:
        """Steps, repeated with more room where it was short."""
        while True:
            with precision.of("float64"):
                relax = _compiled(self._bound.spec, self._bound.platform, self._room, self._target)
                own = systems.build(self._starts, self._bound.spec, self._head, self._size)
                arguments = own, self._bounds, state, jnp.int32(num_steps), jnp.asarray(is_new)
                new = relax(self._bound.params, *arguments)
                if not bool(new.overflow):
                    return new
                cells = np.asarray(new.deformed)
                try:
                    self._room = rooms.grown(
                        self._room, self._starts, new.needed, cells, "a relaxation"
                    )
                except errors.NonFiniteError:
                    if np.asarray(state.abandoned).all():
                        raise
                    state = self._without_smallest(state, cells)
                lists = beginning.refitted(state.lists, self._room.plan.capacity)
                state = dataclasses.replace(state, lists=lists)

    def _without_smallest(self, state: Relaxing, cells: np.ndarray) -> Relaxing:
        """Gives up the system whose cell has collapsed, so that the others go on.

        Args:
          state: Before the steps in which it did.
          cells: Å, after them, [slots, 3, 3].
        """
        reach = self._room.plan.cutoff
        pairs = list(zip(cells, self._starts, strict=True))
        needed = [rooms.num_images([cell], [start.pbc], reach) for cell, start in pairs]
        first = [rooms.num_images([start.cell], [start.pbc], reach) for _, start in pairs]
        abandoned = np.array(state.abandoned)
        has_shrunk = ~abandoned & (np.array(needed) > first)
        abandoned[int(np.argmax(np.where(has_shrunk, needed, ~abandoned)))] = True
        return dataclasses.replace(state, abandoned=abandoned)

    def _start(self, index: int) -> Start:
        return atoms.start_of(self._structures[index], index, 0.0, conserves=False)

    def _fresh(self, starts: Sequence[Start]) -> Relaxing:
        origin = systems.padded([start.positions for start in starts], self._size)
        cells = systems.cells_of(starts)
        return fire.begin(beginning.no_lists(self._room, origin, cells), origin, cells)

    def _refilled(self, state: Relaxing, done: Sequence[int]) -> tuple[Relaxing, bool]:
        """Puts structures that wait into slots whose own have ended."""
        filled = []
        for k in done:
            self._is_open[k] = bool(self._queue)
            if self._queue:
                self._owners[k] = self._queue.pop(0)
                self._starts[k] = self._start(self._owners[k])
                filled.append(k)
        if not filled:
            return state, False
        fresh = self._fresh(self._starts)

        def renewed(old: Any, new: Any) -> Any:
            mixed = np.array(old)
            mixed[filled] = new[filled]
            return mixed

        shared = ("lists", "needed", "overflow")
        names = [f.name for f in dataclasses.fields(Relaxing) if f.name not in shared]
        parts = {name: renewed(getattr(state, name), getattr(fresh, name)) for name in names}
        return dataclasses.replace(fresh, **parts), True

    def _note(self, state: Relaxing) -> None:
        """Remembers energies and volumes of structures that have not moved yet."""
        energies, steps = np.asarray(state.energies), np.asarray(state.num_steps)
        for k in np.flatnonzero(steps == 0).tolist():
            own = self._structures[self._owners[k]]
            self._before.setdefault(self._owners[k], (float(energies[k]), _volume(own)))

    def _report(self, slot: int, state: Relaxing, snapshot: Any) -> RelaxationReport:
        index, num_steps = self._owners[slot], int(np.asarray(state.num_steps)[slot])
        own = self._structures[index]
        before, volume = self._before[index]
        is_finite = (
            np.isfinite(snapshot.energies[slot]) and np.isfinite(snapshot.forces[slot]).all()
        )
        if not is_finite or np.asarray(state.abandoned)[slot]:
            return RelaxationReport(  # the structure stays as it was, and the others go on
                converged=False,
                num_steps=num_steps,
                energy_before=before,
                energy_after=math.nan,
                largest_force=math.nan,
                volume_before=volume,
                volume_after=volume,
            )
        atoms.update(own, snapshot, slot)
        held = atoms.fixed_atoms(own)
        lengths = np.linalg.norm(snapshot.forces[slot, : len(own)], axis=1)[~held]
        return RelaxationReport(
            converged=float(np.asarray(state.largest)[slot]) < self._target.fmax,
            num_steps=num_steps,
            energy_before=before,
            energy_after=float(snapshot.energies[slot]),
            largest_force=float(lengths.max(initial=0.0)),
            volume_before=volume,
            volume_after=_volume(own),
        )


@functools.lru_cache(maxsize=8)
def _compiled(
    spec: PotentialSpec, platform: str, room: forces.Room, target: Target
) -> Callable[..., Relaxing]:
    predict = summands.make_predict(spec, (), platform)
    evaluate = forces.make_evaluate(predict, room, spec.dtype, is_watched=False)
    return jax.jit(fire.make_relax(evaluate, room, target))


def _snapshot(state: Relaxing) -> Snapshot:
    with precision.of("float64"):
        positions = np.asarray(state.positions)
        return Snapshot(
            step=0,
            positions=positions,
            velocities=np.zeros_like(positions),
            cells=np.asarray(state.deformed),
            energies=np.asarray(state.energies),
            forces=np.asarray(state.forces),
            virials=np.asarray(state.virials),
        )


def _volume(own: Atoms) -> float:
    return float(own.get_volume()) if own.pbc.all() else 0.0
