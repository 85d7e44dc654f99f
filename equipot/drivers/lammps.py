"""LAMMPS driven by a potential, through its Python module and ``fix external``.

    import lammps
    from equipot.drivers.lammps import attach

    lmp = lammps.lammps()
    lmp.file("in.lammps")  # units, box, atoms, masses
    attach(lmp, "water.equipot", ["O", "H"])
    lmp.command("run 1000")

Energy, forces, virial and the energies of atoms come from the potential; everything else – moving
atoms, thermostats, barostats, output – is LAMMPS's. One process does it all: LAMMPS with several
MPI ranks is refused.
"""

import ctypes
import functools
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from equipot import errors, units
from equipot.drivers import images
from equipot.drivers.elements import numbers_of
from equipot.inference import engine, out_of_range
from equipot.potential import artefact
from equipot.potential.potential import Potential

FIX = "equipot"
"""Default ID of the fix that adds forces; the one that stops a failed run ends in ``_halt``."""
_ENERGIES: Mapping[str, float] = {"metal": 1.0, "real": 1.0 / units.KILOCALORIE_PER_MOL}
"""Units that LAMMPS can be in, lengths in Å, with what an eV is in each."""
_WARNING = 0  # of lammps_error
_LOST = (
    "expected the fix of the potential, it is gone (unfix, clear); attach it again, or go on "
    "without it in a new LAMMPS"
)
_RUNNING = "command", "commands_list", "commands_string", "file"


def _find_mpi() -> None:
    """Loads the MPI that the wheel of LAMMPS brings, where the linker would not look for it."""
    name = "libmpi.so.12"
    try:
        ctypes.CDLL(name, ctypes.RTLD_GLOBAL)
    except OSError:
        place = Path(sys.prefix) / "lib" / name
        if place.exists():
            ctypes.CDLL(str(place), ctypes.RTLD_GLOBAL)


_find_mpi()


def start(arguments: Sequence[str] = ()) -> Any:
    """A ``lammps.lammps`` object.

    Args:
      arguments: Those of LAMMPS's command line, such as ``-log none``.

    Raises:
      DriverError: If LAMMPS is not installed, or cannot be loaded.
    """
    try:
        module: Any = importlib.import_module("lammps")
        return module.lammps(cmdargs=list(arguments))
    except (ImportError, OSError) as failure:
        raise errors.DriverError(
            f"lammps: cannot be loaded: {errors.brief(failure)}; pip install 'equipot[lammps]'"
        ) from failure
    except RuntimeError as failure:
        raise errors.DriverError(
            f"lammps: does not start with {' '.join(arguments)}: {failure}; see whether its files "
            "can be written"
        ) from failure


class Driver:
    """Answers LAMMPS's requests for forces.

    Attributes:
      engine: What evaluates the potential.
      failure: Why an evaluation failed; None if none did. All later ones are refused.
      n_evaluations: Evaluations so far.
      n_refused: Calls that got no evaluation.
    """

    def __init__(
        self, lmp: Any, own: engine.Engine, numbers: np.ndarray, energy_unit: float, fix: str
    ) -> None:
        """Keeps what every call needs.

        Args:
          lmp: The ``lammps.lammps`` object.
          own: What evaluates the potential.
          numbers: Atomic number of each atom type, [types].
          energy_unit: What an eV is in LAMMPS's unit of energy.
          fix: ID of the fix that calls.
        """
        self.failure: BaseException | None = None
        self.n_evaluations, self.n_refused = 0, 0
        self.engine = own
        self._lmp, self._fix = lmp, fix
        self._numbers, self._unit = numbers, energy_unit
        self._watch = out_of_range.Watch()
        self._last: tuple[np.ndarray, np.ndarray] | None = None  # positions and forces
        self._last_step = -1

    @property
    def is_lost(self) -> bool:
        """Whether the fix that asks for forces is gone, and no other potential came after."""
        return self._lmp.equipot is self and not self._lmp.has_id("fix", self._fix)

    @property
    def has_gone_on(self) -> bool:
        """Whether LAMMPS has printed the end of a run at another step than that evaluated last."""
        return int(self._lmp.last_thermo_step) not in (-1, self._last_step)

    def runs_without(self, lines: Sequence[str]) -> bool:
        """Whether some commands, one after another, run steps after the fix is gone.

        Args:
          lines: As LAMMPS reads them.
        """
        lost = self.is_lost
        for words in (line.split() for line in lines if self._lmp.equipot is self):
            if lost and words[:1] in (["run"], ["minimize"]):
                return True
            lost = lost or words[:1] == ["clear"] or words[:2] == ["unfix", self._fix]
        return False

    def __call__(
        self, _: Any, step: int, count: int, tags: np.ndarray, x: np.ndarray, f: np.ndarray
    ) -> None:
        """Writes the forces of all atoms; an error stops the run at the end of this step."""
        self._last_step = step
        try:
            if self.failure is None:
                self._evaluate(tags, x, f)
                self.n_evaluations += 1
                return
        except BaseException as failure:  # ctypes would print it, and LAMMPS go on
            self.failure = failure
        self.n_refused += 1
        f[:] = 0.0
        if self._last is not None and len(self._last[1]) == count:
            f[np.argsort(tags)] = self._last[1]  # a minimizer takes zeros for its goal
        self._lmp.set_internal_variable(_variable(self._fix), 1.0)
        text = f"equipot: step {step}: {self.failure}".encode()
        self._lmp.lib.lammps_error(self._lmp.lmp, _WARNING, text)

    def _evaluate(self, tags: np.ndarray, x: np.ndarray, f: np.ndarray) -> None:
        if self._lmp.extract_global("respa_levels"):
            raise errors.ConfigError(
                "lammps: expected run_style verlet, received respa, which asks for these forces "
                "only once"
            )
        order = np.argsort(tags)
        types = self._lmp.numpy.extract_atom("type")[: len(x)]
        cell, pbc = _box(self._lmp)
        before = None if self._last is None else self._last[0]
        positions = images.nearest(x[order], before, cell, pbc)
        found = self.engine.compute(positions, self._numbers[types[order] - 1], cell, pbc)
        self._watch.warn(self.engine.outside)
        forces = self._unit * found.forces
        f[order] = forces
        self._last = positions, forces
        energies = np.empty(len(x))
        energies[order] = self._unit * found.energies
        lmp, fix = self._lmp, self._fix
        lmp.fix_external_set_energy_global(fix, self._unit * found.energy)
        lmp.fix_external_set_energy_peratom(fix, energies)
        # The pressure of a system that is not periodic is no number, and says so.
        virial = (
            -found.stress * np.linalg.det(cell) if found.has_stress else np.full((3, 3), np.nan)
        )
        voigt = [
            self._unit * virial[i, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
        ]
        lmp.fix_external_set_virial_global(fix, voigt)


def attach(
    lmp: Any,
    potential: str | Path | Potential,
    elements: Sequence[str],
    *,
    dtype: str | None = None,
    head: str | None = None,
    skin: float = 0.5,
    strict: bool = False,
    device: str | None = None,
    fix: str = FIX,
    earlier: Sequence[str] = (),
) -> Driver:
    """Gives LAMMPS the forces of a potential for all atoms, from the next step on.

    It adds two fixes, one that calls the potential and one that stops a run in which that failed:
    the command that ran it then raises what happened. Forces of a pair style, if there is one, are
    added to those of the potential; ``pair_style none`` adds nothing.

    The pressure includes the potential if all three directions are periodic, otherwise it is nan.

    Args:
      lmp: A ``lammps.lammps`` object whose box is defined.
      potential: A ``.equipot`` file, the name of a downloaded potential, or one in memory.
      elements: Element of each atom type, in the order of the types.
      dtype: "float32" or "float64"; None for the potential's own.
      head: Level of theory; required if the potential has several.
      skin: Width in Å by which the neighbor list exceeds the cutoff.
      strict: Whether a structure outside the distances of training is refused.
      device: "cpu", "gpu", "gpu:1", …; None for jax's default device.
      fix: ID of the fix.
      earlier: IDs of fixes that may be there before, since they change no forces.

    Raises:
      ConfigError: If LAMMPS has several ranks, no box, other units than metal or real, another
        number of types than elements are given, or any fix already.
      UnknownElementError: If the potential does not know an element.
      ArtefactError: If the file cannot be used.
    """
    unit = _check(lmp, elements, fix, earlier)
    source = potential if isinstance(potential, Potential) else artefact.read(potential)
    own = engine.Engine(source, dtype=dtype, head=head, skin=skin, strict=strict, device=device)
    types = ((f"atom type {i}", name) for i, name in enumerate(elements, 1))
    numbers = numbers_of(types, own.potential.spec.species_table)
    driver = Driver(lmp, own, numbers, unit, fix)
    for command in (
        f"fix {fix} all external pf/callback 1 1",
        f"fix_modify {fix} energy yes virial yes",
        f"variable {_variable(fix)} internal 0",
        f"fix {fix}_halt all halt 1 v_{_variable(fix)} != 0 error hard message yes",
    ):
        lmp.command(command)
    lmp.set_fix_external_callback(fix, driver, None)
    lmp.equipot = driver
    for name in _RUNNING:
        setattr(lmp, name, _raising(getattr(lmp, name), driver, f"{fix}_halt"))
    return driver


def _raising(run: Callable[..., Any], driver: Driver, halt: str) -> Callable[..., Any]:
    """The method of LAMMPS, which raises what happened to the potential meanwhile."""

    @functools.wraps(run)
    def wrapped(*arguments: Any) -> Any:
        refused = driver.n_refused
        if driver.runs_without(_lines(run.__name__, arguments)):
            raise errors.ConfigError(f"lammps: {_LOST}")
        try:
            result = run(*arguments)
        except Exception as failure:
            if driver.failure and driver.n_refused > refused and halt in str(failure):
                raise driver.failure from None
            raise
        if driver.failure is not None and driver.n_refused > refused:  # ended before it was halted
            raise driver.failure
        if driver.is_lost and driver.has_gone_on:
            raise errors.ConfigError(f"lammps: steps were run without forces: {_LOST}")
        return result

    return wrapped


def _lines(name: str, arguments: Sequence[Any]) -> Sequence[str]:
    """The commands that a method of LAMMPS was given; those of a file as far as it can be read."""
    given = arguments[0] if arguments else ""
    if name == "file":
        path = Path(str(given))
        return path.read_text(errors="replace").split("\n") if path.is_file() else []
    return (
        [str(own) for own in given] if isinstance(given, list | tuple) else str(given).split("\n")
    )


def _check(lmp: Any, elements: Sequence[str], fix: str, earlier: Sequence[str]) -> float:
    """What an eV is in LAMMPS's units, once nothing is in the way."""
    ranks = lmp.extract_setting("world_size")
    if ranks > 1:
        raise errors.ConfigError(
            f"lammps: expected one MPI rank, received {ranks}; the potential runs in one process, "
            "on all of its cores or on a GPU: start LAMMPS without mpirun"
        )
    style = lmp.extract_global("units")
    if style not in _ENERGIES:
        raise errors.ConfigError(
            f"lammps: expected units {' or '.join(_ENERGIES)}, received {style}; "
            "set them before the box is made"
        )
    if not lmp.extract_setting("box_exist"):
        raise errors.ConfigError(
            "lammps: expected a box with atoms, none is defined yet; attach after read_data, "
            "read_restart or create_box"
        )
    if lmp.extract_setting("dimension") != 3:
        raise errors.ConfigError("lammps: expected dimension 3, received 2")
    types = lmp.extract_global("ntypes")
    if len(elements) != types:
        raise errors.ConfigError(
            f"lammps: expected {types} elements, one for each atom type, received "
            f"{len(elements)}: {' '.join(map(str, elements)) or 'none'}"
        )
    if lmp.has_id("fix", fix):
        raise errors.ConfigError(
            f"lammps: a fix with the ID {fix} is there already; unfix it, or choose another with "
            "fix=…"
        )
    ours = f"{fix}_halt"  # left from before, and replaced
    early = [name for name in lmp.available_ids("fix") if name not in (*earlier, ours)]
    if early:
        raise errors.ConfigError(
            f"lammps: expected no fix before the potential is attached, received {', '.join(early)}"
            ": those that change forces (setforce, shake) act in the order in which they are "
            "defined; define them afterwards, or name in earlier=… those that do not"
        )
    return _ENERGIES[style]


def _variable(fix: str) -> str:
    return f"{fix}_failed"


def _box(lmp: Any) -> tuple[np.ndarray, np.ndarray]:
    """Lattice vectors in rows, Å, and which directions are periodic; zeros where one is not."""
    low, high, xy, yz, xz, periodic, _ = lmp.extract_box()
    lengths = np.subtract(high, low)
    cell = np.array([[lengths[0], 0, 0], [xy, lengths[1], 0], [xz, yz, lengths[2]]])
    pbc = np.array(periodic, bool)
    return np.where(pbc[:, None], cell, 0.0), pbc
