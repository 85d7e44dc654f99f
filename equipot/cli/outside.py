"""Reports when a simulation leaves the range of distances that its potential was trained on."""

import argparse
import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from equipot import errors

if TYPE_CHECKING:
    from equipot.calculators.ase import EquipotCalculator

PROGRAM = "equipot"


def add_strict_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--strict``."""
    parser.add_argument(
        "--strict",
        action="store_true",
        help="stop when atoms come nearer to each other, or go farther from all others, than any in"
        " the training of the potential; without it a line says so",
    )


def make_calculator(options: argparse.Namespace) -> "EquipotCalculator":
    """The calculator that the options of ``md``, ``relax`` and ``drive`` specify."""
    from equipot.calculators import ase

    return ase.EquipotCalculator(
        options.potential,
        dtype=options.dtype,
        head=options.head,
        strict=options.strict,
        device=options.device,
    )


@contextlib.contextmanager
def reported(calculator: "EquipotCalculator", files: str) -> Iterator[Callable[[int], None]]:
    """Gives a function to call at each step; it reports what is out of range, each sort once.

    At the end of a strict run, it reports which files hold the earlier steps.

    Args:
      calculator: The calculator of the simulation.
      files: Names of the files being written.
    """
    from equipot.inference import out_of_range

    watch, num_seen, steps = out_of_range.Watch(), 0, []

    def look(step: int) -> None:
        nonlocal num_seen
        num_seen += 1
        if not calculator.outside:
            return
        steps.append(step)
        for finding in watch.news(calculator.outside):
            print(f"{PROGRAM}: step {step}: outside of training: {finding}", file=sys.stderr)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", errors.OutOfRangeWarning)
            yield look
    except errors.OutOfRangeError:
        if num_seen:
            print(f"files, up to the step before: {files}")
        raise
    if steps:
        print(
            f"{PROGRAM}: {len(steps)} steps, from {steps[0]} to {steps[-1]}, were outside of the"
            " distances of training, where the numbers of the potential mean little",
            file=sys.stderr,
        )
