"""``equipot md``: molecular dynamics with a saved potential, at constant energy or temperature."""

import argparse
import pathlib
from typing import TYPE_CHECKING, Any

from equipot import errors
from equipot.cli import outside, structures

if TYPE_CHECKING:
    from equipot.calculators.dynamics import DynamicsConfig
    from equipot.calculators.log import DynamicsReport

RESTART = ".restart"
FEMTOSECONDS = 1000.0  # in a picosecond
FEMTOSECONDS_PER_NANOSECOND = 1e6
SECONDS_PER_DAY = 86400.0


def add_parser(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "md",
        help="molecular dynamics",
        description="Runs molecular dynamics through ASE. Velocities in the file are kept; without"
        " any they are drawn at the temperature.",
    )
    structures.add_start_arguments(parser)
    parser.add_argument(
        "--ensemble",
        choices=("nvt", "nve"),
        default="nvt",
        help="constant temperature (Langevin), or constant energy; default %(default)s",
    )
    parser.add_argument(
        "--temperature", type=float, default=300.0, metavar="K", help="K; default %(default)s"
    )
    parser.add_argument(
        "--time", type=float, default=1.0, metavar="PS", help="length in ps; default %(default)s"
    )
    parser.add_argument(
        "--timestep", type=float, default=0.5, metavar="FS", help="fs; default %(default)s"
    )
    parser.add_argument(
        "--friction",
        type=float,
        default=0.01,
        metavar="F",
        help="of the thermostat, 1/fs; default %(default)s",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="of velocities and thermostat; default %(default)s",
    )
    parser.add_argument(
        "--output",
        default="md",
        metavar="PATH",
        help="PATH.extxyz, PATH.csv and PATH.restart are written; default %(default)s",
    )
    parser.add_argument(
        "--trajectory-every",
        type=int,
        default=20,
        metavar="N",
        help="steps between frames; default %(default)s",
    )
    parser.add_argument(
        "--log-every",
        type=int,
        default=10,
        metavar="N",
        help="steps between lines of the CSV; default %(default)s",
    )
    parser.add_argument(
        "--restart-every",
        type=int,
        default=1000,
        metavar="N",
        help="steps between writings of PATH.restart; default %(default)s",
    )
    parser.add_argument(
        "--dtype", choices=("float32", "float64"), help="by default the potential's"
    )
    parser.add_argument(
        "--device", metavar="NAME", help="cpu, gpu, gpu:1, …; by default a GPU where there is one"
    )
    outside.add_strict_option(parser)
    parser.add_argument("--plot", action="store_true", help="draw PATH.png too")
    files = parser.add_mutually_exclusive_group()
    files.add_argument("--overwrite", action="store_true", help="replace earlier files")
    files.add_argument(
        "--restart",
        action="store_true",
        help="go on where PATH.restart says, in the same files, as if the run had never stopped;"
        " everything else as before, but --time, which may be longer",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Runs the dynamics and prints the results."""
    _look_for_files(options)  # before anything takes its time
    from equipot.calculators import dynamics, plots

    config = dynamics.DynamicsConfig(
        ensemble=options.ensemble,
        temperature=options.temperature,
        timestep=options.timestep,
        num_steps=_num_steps(options),
        friction=options.friction,
        seed=options.seed,
        trajectory=f"{options.output}.extxyz",
        log=f"{options.output}.csv",
        trajectory_every=options.trajectory_every,
        log_every=options.log_every,
        restart=f"{options.output}{RESTART}",
        restart_every=options.restart_every,
        overwrite=options.overwrite,
        resume=options.restart,
    )
    atoms = structures.read_start(options)
    atoms.calc = calculator = outside.make_calculator(options)
    print(f"{atoms.get_chemical_formula()}: {config.num_steps} steps of {config.timestep} fs")
    print(_beginning(options, config, bool(atoms.get_momenta().any())))
    files = f"{config.trajectory}, {config.log}, {config.restart}"
    with outside.reported(calculator, files) as look:
        report = dynamics.run_dynamics(atoms, config, observe=look)
    print("\n".join(_summary(report, config)))
    print(f"files: {files}")
    if options.plot:
        plots.save_dynamics_plot(f"{options.output}.png", report, len(atoms))
        print(f"picture: {options.output}.png")


def _look_for_files(options: argparse.Namespace) -> None:
    """Refuses to write over an earlier run, and to go on where none has been.

    Raises:
      ConfigError: Naming the file.
    """
    names = [f"{options.output}{suffix}" for suffix in (".extxyz", ".csv", RESTART)]
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


def _beginning(options: argparse.Namespace, config: "DynamicsConfig", has_velocities: bool) -> str:
    """Where velocities come from."""
    if options.restart:
        return f"positions, velocities and random numbers are those of {config.restart}"
    if has_velocities:
        return f"velocities are those of {options.structure}"
    return f"velocities are drawn at {config.temperature:g} K with seed {config.seed}"


def _num_steps(options: argparse.Namespace) -> int:
    if options.timestep <= 0 or options.time <= 0:
        raise errors.ConfigError(
            f"--time, --timestep: expected positive numbers, received {options.time} ps and"
            f" {options.timestep} fs"
        )
    return max(1, round(options.time * FEMTOSECONDS / options.timestep))


def _summary(report: "DynamicsReport", config: "DynamicsConfig") -> list[str]:
    """Means over the second half, the drift of the total energy, and the speed."""
    half = report.samples[len(report.samples) // 2 :]
    temperature = sum(s.temperature for s in half) / len(half)
    pressure = sum(s.pressure for s in half) / len(half)
    lines = [f"mean temperature of the second half: {temperature:.1f} K"]
    if pressure == pressure:  # NaN unless periodic in all directions
        lines.append(f"mean pressure of the second half: {pressure:.3f} GPa")
    per_day = (
        SECONDS_PER_DAY / report.seconds_per_step * config.timestep / FEMTOSECONDS_PER_NANOSECOND
    )
    speed = f"{report.seconds_per_step * 1e3:.2f} ms per step, {per_day:.3f} ns per day"
    energy = (
        str(report.drift)
        if config.ensemble == "nve"
        else "total energy: exchanged with the heat bath, no drift to give; use --ensemble nve"
    )
    return [*lines, energy, speed]
