"""A simulation on a device, seen from the host: it advances, and says where everything is.

Where room for pairs is short, more is made and the steps are repeated from the state before them.
"""

import contextlib
import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from equipot import errors
from equipot.inference import out_of_range
from equipot.md import beginning, program, rooms, systems
from equipot.md.ensembles import Ensemble
from equipot.md.program import First, State
from equipot.md.systems import Start
from equipot.potential import artefact, evaluate, precision, probe
from equipot.potential.bound import Bound


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Snapshot:
    """Systems after a step, on the host, padded to the largest.

    Attributes:
      step: Its number.
      positions: Å, [systems, atoms, 3].
      velocities: sqrt(eV/amu), [systems, atoms, 3].
      cells: Å, [systems, 3, 3]; unit vectors where a direction is not periodic.
      energies: eV, potential, [systems].
      forces: eV/Å, [systems, atoms, 3].
      virials: The stress times the volume, eV, [systems, 3, 3].
    """

    step: int
    positions: np.ndarray
    velocities: np.ndarray
    cells: np.ndarray
    energies: np.ndarray
    forces: np.ndarray
    virials: np.ndarray


class Simulation:
    """Systems that move on a device.

    Attributes:
      starts: The systems as they began.
      num_growths: How often room was made.
    """

    def __init__(
        self,
        bound: Bound,
        starts: Sequence[Start],
        ensemble: Ensemble,
        *,
        velocities: Sequence[np.ndarray] | None = None,
        skin: float = 0.5,
        head: int = 0,
        seed: int = 0,
        is_strict: bool = False,
        stored: artefact.Artefact | None = None,
        step: int = 0,
        capacities: tuple[int, int] | None = None,
    ) -> None:
        """Puts the systems on the device; compiles nothing yet.

        Args:
          bound: The potential.
          starts: The systems.
          ensemble: What is kept constant.
          velocities: sqrt(eV/amu), of each system, [nodes, 3]; zero by default.
          skin: Å by which lists of pairs are wider than the cutoff.
          head: Index of the level of theory.
          seed: Of the random numbers.
          is_strict: Whether to stop at a distance outside of those of training.
          stored: The file of the potential, whose probe is checked in the program first.
          step: Number of the step after which the systems are as they are.
          capacities: Room for pairs; None for what the systems need, and some more.

        Raises:
          UnknownElementError: If the potential does not know an element.
          DataError: If two atoms are at the same place, a cell is singular, or a number is not
            finite.
          ConfigError: If it is to be strict, and the potential does not state these distances.
        """
        if is_strict:
            out_of_range.check_known(bound.potential.distance_range)
        self.starts, self._ensemble, self._bound = tuple(starts), ensemble, bound
        self._stored, self._is_strict = stored, is_strict
        least = probe.MAX_ATOMS if stored is not None else 1
        self._systems = systems.build(starts, bound.spec, head, least)
        self._bounds = beginning.bounds_of(bound)
        self._freedom = np.asarray(self._systems.freedom)
        least = probe.MAX_EDGES if stored is not None else 1
        self._room = rooms.plan(starts, bound.spec.cutoff, skin, least, capacities)
        size = self._systems.species.shape[1]
        moving = velocities or [np.zeros_like(start.positions) for start in starts]
        self.num_growths = 0
        with self._entered():
            self._key = jax.random.key(seed)
            positions = systems.padded([start.positions for start in starts], size)
            self._state = beginning.before(
                self._room, step, positions, systems.padded(moving, size), systems.cells_of(starts)
            )
            self._systems, self._bounds, self._state = jax.device_put(
                (self._systems, self._bounds, self._state), bound.device
            )
        self._first = First.SEARCH

    @property
    def num_searches(self) -> int:
        """Number of searches for neighbors."""
        return int(self._state.num_searches)

    @property
    def capacities(self) -> tuple[int, int]:
        """Room for pairs: of the lists, and within the cutoff."""
        return self._room.plan.capacity, self._room.capacity

    def freedom(self, system: int) -> float:
        """Number of momenta of a system that a thermostat acts on."""
        return float(self._freedom[system])

    def advance(self, num_steps: int) -> None:
        """Takes steps; at 0, only makes energies and forces where there are none.

        Raises:
          NonFiniteError: Naming the step.
          OutOfRangeError: If it is strict, likewise.
          ArtefactError: If the stored probe is not reproduced.
        """
        step = int(self._state.step)
        target = step + num_steps
        while step < target or self._first:
            new = self._run(self._state, target - step, self._first)
            if not bool(new.overflow):
                self._check(new)
                # Rounding may put a distance outside on the device that is inside on the host.
                self._state = self._unseen(new) if self._is_strict else new
                self._first, step = First.NOTHING, int(new.step)
                continue
            where = f"step {int(new.step)}"
            self._room = rooms.grown(self._room, self.starts, new.needed, new.cells, where)
            self.num_growths += 1
            with self._entered():
                lists = beginning.refitted(self._state.lists, self._room.plan.capacity)
                self._state = dataclasses.replace(self._state, lists=lists)

    def forget(self) -> None:
        """Has lists and forces made anew before the next step, as a simulation that begins does."""
        self._first = First.AGAIN

    def snapshot(self) -> Snapshot:
        """Where everything is."""
        names = [field.name for field in dataclasses.fields(Snapshot) if field.name != "step"]
        with self._entered():
            values = {name: np.asarray(getattr(self._state, name)) for name in names}
            return Snapshot(step=int(self._state.step), **values)

    def outside(self) -> tuple[int, int, tuple[out_of_range.Finding, ...]]:
        """Steps outside of the distances of training since the last call.

        Returns:
          How many steps, the number of the first, and what was outside there.
        """
        count, step = int(self._state.num_outside), int(self._state.outside_step)
        if not count:
            return 0, 0, ()
        found = self._findings(self._state)
        self._state = self._unseen(self._state)
        return count if found else 0, step, found

    def _unseen(self, state: State) -> State:
        """The state after what was outside of training has been looked at."""
        with self._entered():
            return dataclasses.replace(state, num_outside=state.num_outside * 0)

    def _run(self, state: State, num_steps: int, first: First) -> State:
        with self._entered():
            advance = program.compiled(
                self._bound.spec,
                self._bound.platform,
                self._room,
                self._ensemble,
                is_watched=self._bound.potential.distance_range is not None,
                is_strict=self._is_strict,
            )
            counts = jnp.int32(num_steps), jnp.int32(first)
            new = advance(
                self._bound.params, self._systems, self._bounds, state, self._key, *counts
            )
            if self._stored is not None and not bool(new.overflow):
                self._check_probe(self._stored, advance)
                self._stored = None
        return new

    def _check_probe(self, stored: artefact.Artefact, advance: program.Advance) -> None:
        """Runs the stored probe through the program just compiled, as the first of the systems."""
        structure = stored.probe.structure
        start = Start(
            positions=structure.positions,
            numbers=structure.atomic_numbers,
            cell=structure.cell,
            pbc=structure.pbc,
            masses=np.ones(len(structure.positions)),
            fixed=np.zeros(len(structure.positions), bool),
        )
        count, size = self._systems.species.shape
        own = systems.build([start] * count, self._bound.spec, 0, size)
        state = beginning.of_probe(self._room, start, count, size)
        none = jnp.int32(0), jnp.int32(First.EVALUATE)
        found = advance(self._bound.params, own, self._bounds, state, self._key, *none)
        volume = abs(np.linalg.det(structure.cell))
        node_forces = np.asarray(found.forces)[0, : len(start.numbers)]
        prediction = evaluate.HostPrediction(
            energy=float(found.energies[0]),
            energies=stored.probe.prediction.energies,
            forces=node_forces,
            stress=np.asarray(found.virials)[0] / volume,
            has_stress=True,
            others=stored.probe.prediction.others,
        )
        stored.check(prediction, self._bound.spec)

    def _check(self, new: State) -> None:
        """Refuses what is not finite, and what a strict run does not go through."""
        step = int(new.step)
        if not bool(new.is_finite):
            raise errors.NonFiniteError(
                f"step {step}: positions, energies or forces are not finite; atoms may lie much"
                " closer together than in the data that the potential was trained on, or the time"
                " step is too long"
            )
        if self._is_strict and int(new.num_outside):
            try:
                out_of_range.refuse(self._findings(new))
            except errors.OutOfRangeError as error:
                raise errors.OutOfRangeError(f"step {step}: {error}") from error

    def _findings(self, state: State) -> tuple[out_of_range.Finding, ...]:
        """Everything outside of training where that was first seen, of all systems."""
        span, cutoff = self._bound.potential.distance_range, self._room.cutoff
        found: list[out_of_range.Finding] = []
        positions, cells = np.asarray(state.outside_positions), np.asarray(state.outside_cells)
        for start, own, cell in zip(self.starts, positions, cells, strict=True):
            numbers = start.numbers
            there = own[: len(numbers)], cell, start.pbc
            found += out_of_range.find_anew(span, numbers, *there, cutoff)
        return tuple(found)

    def _entered(self) -> contextlib.AbstractContextManager[None]:
        """Where positions stay in float64, whatever the precision of the potential."""
        return precision.of("float64")
