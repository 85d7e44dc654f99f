"""``equipot relax``: the nearest minimum of the potential, for atoms and, if asked, the cell."""

import argparse
import contextlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from equipot import errors
from equipot.cli import inputs, outside, structures

if TYPE_CHECKING:
    from equipot.calculators.relaxation import RelaxationConfig, RelaxationReport
    from equipot.inference.out_of_range import Finding


def add_parser(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "relax",
        help="relaxation of atoms and cell",
        description="Moves atoms, and the cell if asked, to where the forces vanish: of one"
        " structure, or of all structures of a file together (--frame all).",
    )
    structures.add_start_arguments(parser, several=True)
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
        help="all frames, the last of which is relaxed; of many structures the relaxed ones alone;"
        " default %(default)s",
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
    """Relaxes and prints the results; exit code 1 if one did not converge."""
    inputs.potential(options.potential)
    inputs.structures([options.structure])
    inputs.new(options.output, options.overwrite)
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
    reports = (
        _relax_all(options, config)
        if options.frame == structures.ALL
        else [_relax_one(options, config)]
    )
    if not all(report.converged for report in reports):
        raise SystemExit(1)


def _relax_one(options: argparse.Namespace, config: "RelaxationConfig") -> "RelaxationReport":
    from equipot.calculators import relaxation

    atoms = structures.read_start(options)
    atoms.calc = calculator = outside.make_calculator(options)
    with outside.reported(options.output) as look:
        report = relaxation.relax(
            atoms, config, observe=lambda step: look(step, calculator.outside)
        )
    print(report)
    print(f"frames: {options.output}")
    return report


def _relax_all(options: argparse.Namespace, config: "RelaxationConfig") -> "list[RelaxationReport]":
    """Relaxes all structures of a file together, and writes them in its order."""
    from equipot.calculators import trajectory
    from equipot.inference import out_of_range
    from equipot.md import relaxation

    if options.strict:
        raise errors.ConfigError("--strict: expected one structure; leave out --frame all")
    trajectory.prepare(options.output, trajectory.SUFFIXES, options.overwrite)
    stored, bound, head = outside.bind(options)
    atoms = structures.read_starts(options)
    waiting: dict[int, RelaxationReport] = {}
    watch = out_of_range.Watch()
    with contextlib.ExitStack() as stack:
        num_written, write = 0, None

        def take(index: int, report: "RelaxationReport", found: "Sequence[Finding]") -> None:
            nonlocal num_written, write
            if write is None:  # what cannot be relaxed is refused before a file is replaced
                writer = trajectory.frame_writer(options.output, atoms[0], options.overwrite)
                write = stack.enter_context(writer)
            waiting[index] = report
            print(f"{index} ({atoms[index].get_chemical_formula()}): {report}")
            for finding in watch.news(found):
                print(
                    f"{outside.PROGRAM}: structure {index}: outside of training: {finding}",
                    file=sys.stderr,
                )
            while num_written in waiting:
                done = waiting[num_written]
                atoms[num_written].info.update(converged=done.converged, num_steps=done.num_steps)
                write(atoms[num_written])
                num_written += 1

        reports = relaxation.relax(atoms, bound, config, head=head, stored=stored, on_end=take)
    num_converged = sum(report.converged for report in reports)
    print(f"{num_converged} of {len(reports)} converged; relaxed structures: {options.output}")
    return reports
