"""Reports when a simulation leaves the range of distances that its potential was trained on."""

import argparse
import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from equipot import errors

if TYPE_CHECKING:
    from equipot.calculators.ase import EquipotCalculator
    from equipot.inference.out_of_range import Finding
    from equipot.potential.artefact import Artefact
    from equipot.potential.bound import Bound

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


def bind(options: argparse.Namespace) -> "tuple[Artefact, Bound, int]":
    """The potential that the options of ``md`` and ``relax`` specify, for the device.

    Returns:
      The file, the potential on the device, and the place of the level of theory.
    """
    from equipot.inference import devices, engine
    from equipot.potential import artefact, bound, evaluate

    stored = artefact.read(options.potential)
    potential = evaluate.cast(stored.potential, options.dtype or stored.potential.spec.dtype)
    head = engine.head_index(potential.spec.heads, options.head)
    return stored, bound.Bound(potential, devices.find(options.device)), head


@contextlib.contextmanager
def reported(files: str) -> Iterator[Callable[..., None]]:
    """Gives a function to call during a simulation that reports what is out of range, once each.

    Its arguments are the number of a step, what was outside of training there, and in how many
    steps that was so. At the end of a strict run, it reports which files hold the earlier steps.

    Args:
      files: Names of the files being written.
    """
    from equipot.inference import out_of_range

    watch, num_seen, num_steps, first = out_of_range.Watch(), 0, 0, 0

    def look(step: int, found: "Sequence[Finding]", count: int = 1) -> None:
        nonlocal num_seen, num_steps, first
        num_seen += 1
        if not found:
            return
        first = first if num_steps else step
        num_steps += count
        for finding in watch.news(found):
            print(f"{PROGRAM}: step {step}: outside of training: {finding}", file=sys.stderr)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", errors.OutOfRangeWarning)
            yield look
    except errors.OutOfRangeError:
        if num_seen:
            print(f"files, up to the step before: {files}")
        raise
    if num_steps:
        print(
            f"{PROGRAM}: {num_steps} steps, {first} the first of them, were outside of the"
            " distances of training, where the numbers of the potential mean little",
            file=sys.stderr,
        )
