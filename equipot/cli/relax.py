"""``equipot relax``: the nearest minimum of the potential, for atoms and, if asked, the cell."""

import argparse
from typing import Any

from equipot.cli import outside, structures


def add_parser(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "relax",
        help="relaxation of atoms and cell",
        description="Moves atoms, and the cell if asked, to where the forces vanish.",
    )
    structures.add_start_arguments(parser)
    parser.add_argument(
        "--fmax",
        type=float,
        default=0.01,
        metavar="F",
        help="at the end, eV/Å; default %(default)s",
    )
    parser.add_argument(
        "--max-steps",
        type=int,
        default=500,
        metavar="N",
        help="where to give up; default %(default)s",
    )
    parser.add_argument(
        "--optimizer",
        choices=("fire", "bfgs", "lbfgs"),
        default="fire",
        help="robust, or fewer steps near a minimum; default %(default)s",
    )
    parser.add_argument("--cell", action="store_true", help="relax the cell too")
    parser.add_argument(
        "--pressure",
        type=float,
        default=0.0,
        metavar="P",
        help="on the cell, GPa; default %(default)s",
    )
    parser.add_argument(
        "--output",
        default="relaxed.extxyz",
        metavar="FILE",
        help="all frames; the last is relaxed; default %(default)s",
    )
    parser.add_argument(
        "--dtype", choices=("float32", "float64"), help="by default the potential's"
    )
    parser.add_argument(
        "--device", metavar="NAME", help="cpu, gpu, gpu:1, …; by default a GPU where there is one"
    )
    outside.add_strict_option(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier file")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Relaxes and prints the results; exit code 1 if it did not converge."""
    from equipot.calculators import relaxation

    config = relaxation.RelaxationConfig(
        optimizer=options.optimizer,
        fmax=options.fmax,
        max_steps=options.max_steps,
        cell=options.cell,
        pressure=options.pressure,
        trajectory=options.output,
        overwrite=options.overwrite,
    )
    atoms = structures.read_start(options)
    atoms.calc = calculator = outside.make_calculator(options)
    with outside.reported(calculator, options.output) as look:
        report = relaxation.relax(atoms, config, observe=look)
    print(report)
    print(f"frames: {options.output}")
    if not report.converged:
        raise SystemExit(1)
