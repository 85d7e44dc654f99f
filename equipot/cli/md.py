"""``equipot md``: molecular dynamics with a saved potential, of one structure or of many."""

import argparse
import contextlib
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from equipot import errors
from equipot.cli import console, inputs, outside, structures

if TYPE_CHECKING:
    from ase import Atoms

    from equipot.calculators.dynamics import DynamicsConfig
    from equipot.calculators.log import DynamicsReport

RESTART = ".restart"
ASE, DEVICE = "ase", "device"
FEMTOSECONDS = 1000.0  # in a picosecond
FEMTOSECONDS_PER_NANOSECOND = 1e6
SECONDS_PER_DAY = 86400.0
_OF_BATHS: Mapping[str, Any] = {
    "thermostat": "langevin",
    "friction": 0.01,
    "relaxation": 100.0,
    "pressure": 1e-4,
    "pressure_relaxation": 1000.0,
    "compressibility": 0.45,
}
"""Options that act in some ensembles alone, and their defaults."""
_MOST_LINES = 10  # of a summary


def add_parser(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "md",
        help="molecular dynamics",
        description="Runs molecular dynamics: of one structure, of all structures of a file"
        " (--frame all), or of one at several temperatures. Velocities in the file are kept;"
        " without any they are drawn at the temperature.",
    )
    structures.add_start_arguments(parser, several=True)
    _add_ensemble(parser)
    _add_course(parser)
    _add_files(parser)
    parser.set_defaults(run=run)


def _add_ensemble(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("ensemble")
    group.add_argument(
        "--ensemble",
        choices=("nvt", "nve", "npt"),
        default="nvt",
        help="constant temperature, energy, or temperature and pressure; default %(default)s",
    )
    group.add_argument(
        "--temperature",
        type=_temperatures,
        default=[300.0],
        metavar="K",
        help="K; several, as in 300,350,400, run side by side: one for each structure, or all of"
        " the only one; default 300",
    )
    group.add_argument(
        "--thermostat",
        choices=("langevin", "bussi"),
        help="Langevin dynamics, or stochastic velocity rescaling; default"
        f" {_OF_BATHS['thermostat']}",
    )
    for name, unit, meaning in (
        ("friction", "F", "of langevin, 1/fs"),
        ("relaxation", "FS", "time in which bussi relaxes the kinetic energy, fs"),
        ("pressure", "GPA", "of npt, GPa"),
        ("pressure_relaxation", "FS", "time in which npt relaxes the volume, fs"),
        ("compressibility", "C", "roughly, for npt, 1/GPa"),
    ):
        help_text = f"{meaning}; default {_OF_BATHS[name]:g}"
        option = f"--{name.replace('_', '-')}"
        group.add_argument(option, type=float, metavar=unit, help=help_text)


def _fill_in(options: argparse.Namespace) -> None:
    """Gives options of heat bath and barostat their defaults.

    Raises:
      ConfigError: At one that was given and has no effect, unless a run goes on that had it.
    """
    bath = options.thermostat or _OF_BATHS["thermostat"]
    bath = "none" if options.ensemble == "nve" else bath
    acts = {"thermostat": bath != "none", "friction": bath == "langevin"}
    acts["relaxation"] = bath == "bussi"
    for name, default in _OF_BATHS.items():
        if getattr(options, name) is None:
            setattr(options, name, default)
        elif not options.restart and not acts.get(name, options.ensemble == "npt"):
            beside = "" if bath == "none" else f" --thermostat {bath}"
            raise errors.ConfigError(
                f"--{name.replace('_', '-')}: has no effect with --ensemble"
                f" {options.ensemble}{beside}; leave it out, or choose"
                " another ensemble or thermostat"
            )


def _temperatures(text: str) -> list[float]:
    """Numbers with commas between them."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 <= own < math.inf for own in found):
        raise argparse.ArgumentTypeError(
            f"expected K, or several as in 300,350,400, received '{text}'"
        )
    return found


def _add_course(parser: argparse.ArgumentParser) -> None:
    for name, default, unit, meaning in (
        ("time", 1.0, "PS", "length in ps"),
        ("timestep", 0.5, "FS", "fs"),
        ("seed", 0, "N", "of velocities and thermostat"),
        ("trajectory-every", 20, "N", "steps between frames"),
        ("log-every", 10, "N", "steps between lines of the CSV"),
        ("restart-every", 1000, "N", "steps between writings of PATH.restart"),
    ):
        help_text = f"{meaning}; default %(default)s"
        parser.add_argument(
            f"--{name}", type=type(default), default=default, metavar=unit, help=help_text
        )
    parser.add_argument(
        "--engine",
        choices=(DEVICE, ASE),
        help="device: steps are compiled together and stay on the device; ase: one at a time. By"
        " default device, but where ASE's constraints ask for ase",
    )
    parser.add_argument(
        "--dtype", choices=("float32", "float64"), help="by default the potential's"
    )
    parser.add_argument(
        "--device", metavar="NAME", help="cpu, gpu, gpu:1, …; by default a GPU where there is one"
    )
    outside.add_strict_option(parser)


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output",
        default="md",
        metavar="PATH",
        help="PATH.extxyz, PATH.csv and PATH.restart are written; default %(default)s",
    )
    parser.add_argument("--plot", action="store_true", help="draw PATH.png too")
    files = parser.add_mutually_exclusive_group()
    files.add_argument("--overwrite", action="store_true", help="replace earlier files")
    files.add_argument(
        "--restart",
        action="store_true",
        help="go on where PATH.restart says, in the same files, as if the run had never stopped;"
        " everything else as before, but --time, which may be longer",
    )


def run(options: argparse.Namespace) -> None:
    """Runs the dynamics and prints the results."""
    _fill_in(options)
    _look_for_files(options)  # before anything takes its time
    inputs.potential(options.potential)
    inputs.structures([options.structure])
    starts, temperatures = _spread(structures.read_starts(options), options.temperature)
    engine = _engine(options, starts)
    config = _config(options, engine)
    print(f"{_names(starts)}: {config.num_steps} steps of {config.timestep} fs")
    print(_beginning(options, temperatures, starts))
    files = f"{config.trajectory}, {config.log}, {config.restart}"
    with _resumable(pathlib.Path(config.restart), options.restart), outside.reported(files) as look:
        if engine == ASE:
            reports = _run_with_ase(options, config, starts[0], look)
        else:
            reports = _run_on_device(options, config, starts, temperatures, look)
    print("\n".join(_summary(reports, config, starts)))
    print(f"files: {files}")
    if options.plot:
        from equipot.calculators import plots

        plots.save_dynamics_plot(f"{options.output}.png", reports[0], len(starts[0]))
        print(f"picture: {options.output}.png")


@contextlib.contextmanager
def _resumable(restart: pathlib.Path, goes_on: bool) -> Iterator[None]:
    """Where the run is stopped, says how it goes on, if it does.

    Args:
      restart: Its file; one that an earlier run has left is not that of this one.
      goes_on: Whether the run goes on from that file, so that it is there from the start.
    """
    earlier = None if goes_on else _written(restart)
    try:
        with console.obeying_signals():
            yield
    except (KeyboardInterrupt, errors.StoppedError) as stop:
        if _written(restart) in (None, earlier):
            raise
        reason = str(stop) or "interrupted"
        raise errors.StoppedError(
            f"{reason}; the same command with --restart goes on from the last step in {restart}"
        ) from None


def _written(path: pathlib.Path) -> int | None:
    """When a file was written, in ns; None if there is none."""
    return path.stat().st_mtime_ns if path.exists() else None


def _run_with_ase(
    options: argparse.Namespace, config: "DynamicsConfig", atoms: "Atoms", look: Any
) -> "tuple[DynamicsReport, ...]":
    from equipot.calculators import dynamics

    atoms.calc = calculator = outside.make_calculator(options)
    report = dynamics.run_dynamics(
        atoms, config, observe=lambda step: look(step, calculator.outside)
    )
    return (report,)


def _run_on_device(
    options: argparse.Namespace,
    config: Any,
    starts: "Sequence[Atoms]",
    temperatures: Sequence[float],
    look: Any,
) -> "tuple[DynamicsReport, ...]":
    from equipot.md import run as on_device

    stored, bound, head = outside.bind(options)
    return on_device.run(
        starts,
        bound,
        config,
        temperatures=temperatures,
        stored=stored,
        head=head,
        is_strict=options.strict,
        observe=look,
    )


def _spread(starts: "list[Atoms]", temperatures: list[float]) -> "tuple[list[Atoms], list[float]]":
    """One temperature for each structure: one structure may have many, many may share one.

    Raises:
      ConfigError: If there are as many of neither.
    """
    if len(temperatures) == 1:
        return starts, temperatures * len(starts)
    if len(starts) == 1:
        return [starts[0].copy() for _ in temperatures], temperatures
    if len(starts) != len(temperatures):
        raise errors.ConfigError(
            f"--temperature: expected one, or one for each of {len(starts)} structures, received"
            f" {len(temperatures)}"
        )
    return starts, temperatures


def _engine(options: argparse.Namespace, starts: "Sequence[Atoms]") -> str:
    """The engine that is asked for, that of the run that goes on, or the one that can.

    Raises:
      ConfigError: If ASE is to do what it is not asked to do here.
    """
    chosen = options.engine
    if chosen is None and options.restart:
        from equipot.calculators import restarts

        chosen = restarts.engine_of(pathlib.Path(f"{options.output}{RESTART}"))
    if chosen is None:
        from equipot.md import atoms

        chosen = DEVICE if all(atoms.are_kept(own.constraints) for own in starts) else ASE
    lacking = {
        "several structures": len(starts) > 1,
        "--ensemble npt": options.ensemble == "npt",
        "--thermostat bussi": options.thermostat == "bussi",
    }
    if chosen == ASE and any(lacking.values()):
        wanted = " and ".join(name for name, asked in lacking.items() if asked)
        raise errors.ConfigError(
            f"--engine ase: runs one structure, at constant energy or with Langevin dynamics; for"
            f" {wanted} take --engine device"
        )
    return chosen


def _config(options: argparse.Namespace, engine: str) -> Any:
    """The settings of the engine."""
    common = {
        "ensemble": options.ensemble,
        "temperature": options.temperature[0],
        "timestep": options.timestep,
        "num_steps": _num_steps(options),
        "friction": options.friction,
        "seed": options.seed,
        "trajectory": f"{options.output}.extxyz",
        "log": f"{options.output}.csv",
        "trajectory_every": options.trajectory_every,
        "log_every": options.log_every,
        "restart": f"{options.output}{RESTART}",
        "restart_every": options.restart_every,
        "overwrite": options.overwrite,
        "resume": options.restart,
    }
    if engine == ASE:
        from equipot.calculators import dynamics

        return dynamics.DynamicsConfig(**common)
    from equipot.md import config

    return config.DeviceConfig(
        **common,
        thermostat=options.thermostat,
        relaxation=options.relaxation,
        pressure=options.pressure,
        pressure_relaxation=options.pressure_relaxation,
        compressibility=options.compressibility,
    )


def _look_for_files(options: argparse.Namespace) -> None:
    """Refuses to write over an earlier run, and to go on where none has been.

    Raises:
      ConfigError: Naming the file.
    """
    names = [f"{options.output}{suffix}" for suffix in (".extxyz", ".csv", RESTART)]
    inputs.output(names[0])
    there = [name for name in names if pathlib.Path(name).exists()]
    if options.restart and names[-1] not in there:
        raise errors.ConfigError(
            f"--restart: expected {names[-1]}, which a run writes while it lasts; there is none. "
            "Leave --restart out to begin one, with --overwrite where files are left of it"
        )
    if there and not (options.restart or options.overwrite):
        going_on = " --restart goes on with that run," if names[-1] in there else ""
        raise errors.ConfigError(
            f"{there[0]}: already stands there;{going_on} --overwrite replaces it, --output names "
            "other files"
        )


def _names(starts: "Sequence[Atoms]") -> str:
    """The formula, or how many structures there are."""
    first = starts[0].get_chemical_formula()
    return first if len(starts) == 1 else f"{len(starts)} structures, {first} the first"


def _beginning(
    options: argparse.Namespace, temperatures: Sequence[float], starts: "Sequence[Atoms]"
) -> str:
    """Where velocities come from."""
    if options.restart:
        return f"positions, velocities and random numbers are those of {options.output}{RESTART}"
    kept = [bool(atoms.get_momenta().any()) for atoms in starts]
    if all(kept):
        return f"velocities are those of {options.structure}"
    span = " to ".join(f"{t:g}" for t in sorted({min(temperatures), max(temperatures)}))
    drawn = f"velocities are drawn at {span} K with seed {options.seed}"
    if not any(kept):
        return drawn
    return f"{drawn} where {options.structure} has none; {sum(kept)} structures keep theirs"


def _num_steps(options: argparse.Namespace) -> int:
    if not (0 < options.timestep < math.inf and 0 < options.time < math.inf):
        raise errors.ConfigError(
            f"--time, --timestep: expected positive numbers, received {options.time} ps and"
            f" {options.timestep} fs"
        )
    return max(1, round(options.time * FEMTOSECONDS / options.timestep))


def _summary(
    reports: "Sequence[DynamicsReport]", config: "DynamicsConfig", starts: "Sequence[Atoms]"
) -> list[str]:
    """Means over the second half, the drift of the total energy, and the speed."""
    lines = []
    for i, report in enumerate(reports):
        half = report.samples[len(report.samples) // 2 :]
        temperature = sum(s.temperature for s in half) / len(half)
        pressure = sum(s.pressure for s in half) / len(half)
        whose = "" if len(reports) == 1 else f"{i} ({starts[i].get_chemical_formula()}): "
        line = f"{whose}mean temperature of the second half: {temperature:.1f} K"
        if pressure == pressure:  # NaN unless periodic in all directions
            line += f", pressure {pressure:.3f} GPa"
        if config.ensemble == "nve":
            line += f"\n{whose}{report.drift}"
        lines.append(line)
    if len(lines) > _MOST_LINES:
        lines = [*lines[:_MOST_LINES], f"… and so on, {len(reports)} structures: {config.log}"]
    if config.ensemble != "nve":
        lines.append("total energy: not conserved in this ensemble; use --ensemble nve for a drift")
    seconds = reports[0].seconds_per_step
    per_day = SECONDS_PER_DAY / seconds * config.timestep / FEMTOSECONDS_PER_NANOSECOND
    of_all = f" of all {len(reports)} together" if len(reports) > 1 else ""
    lines.append(f"{seconds * 1e3:.2f} ms per step{of_all}, {per_day:.3f} ns per day")
    return lines
