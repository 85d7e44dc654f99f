"""``equipot audit``: what a potential must obey to be run, measured, on one page."""

import argparse
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equipot
from equipot import errors, files
from equipot.cli import inputs, structures

if TYPE_CHECKING:
    from equipot.audit.run import Line, Plan
    from equipot.data.structure import Structure
    from equipot.potential.potential import Potential

_TEMPERATURE = "temperature"  # key of the data by which they are grouped where it is there
_COLORS = {"passed": "green", "FAILED": "bold red", "shown": "dim"}


def add_parser(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "audit",
        help="whether a potential may be trusted to run: a verdict on each line, and a page",
        description="Measures what a potential must obey (symmetries, derivatives, smoothness,"
        " pairs of atoms outside of its data, dynamics) against a limit for each line, and writes"
        " one page. The exit code is 1 where a line fails.",
    )
    parser.add_argument("potential", help="a file that ends in .equipot")
    parser.add_argument("--data", metavar="FILE", help="structures like those it is to be used for")
    parser.add_argument("--quick", action="store_true", help="fewer contracts, shorter dynamics")
    parser.add_argument(
        "--output", metavar="FILE", help="the page; by default POTENTIAL's name with _audit.html"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help="about how long it may take: the hot dynamics have what is left; default 10, or 5 with"
        " --quick",
    )
    parser.add_argument(
        "--temperature",
        type=float,
        metavar="T",
        help="highest of the use, K; by default that of the data's key 'temperature', or 300",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier page")
    structures.add_head_option(parser)
    structures.add_label_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Prints each line as it is known, writes the page; exit code 1 where one fails."""
    inputs.potential(options.potential)
    if options.data is not None:
        inputs.structures([options.data])
    target = _target(options)
    from equipot.audit import audited, page, samples
    from equipot.audit import run as audit
    from equipot.potential import artefact

    default = audit.MINUTES_QUICK if options.quick else audit.MINUTES
    plan = audit.Plan(
        quick=options.quick,
        minutes=default if options.minutes is None else options.minutes,
        temperature=options.temperature,
    )
    begun = time.perf_counter()
    potential = artefact.load(options.potential)
    data = _read(options, potential)
    spec = potential.spec
    chosen = samples.choose(data, spec.species_table, spec.cutoff, potential.distance_range)
    subject = audited.of_potential(potential, Path(options.potential).name, options.head)
    print(f"{subject.name}: about {plan.minutes:g} minutes", flush=True)
    lines = _print_lines(audit.run(subject, chosen, plan))
    facts = _facts(options, potential, data, plan, time.perf_counter() - begun)
    files.write(target, page.render(subject.name, facts, lines))
    verdicts = [line.verdict for line in lines]
    print(page.summary(verdicts))
    print(f"page: {target}")
    if any(own.passed is False for own in verdicts):
        raise SystemExit(1)


def _target(options: argparse.Namespace) -> Path:
    """Where the page goes, before anything takes its time.

    Raises:
      ConfigError: If something stands there.
    """
    target = Path(options.output or f"{Path(options.potential).stem}_audit.html")
    inputs.new(target, options.overwrite)
    return target


def _read(options: argparse.Namespace, potential: "Potential") -> list["Structure"]:
    """The structures of ``--data``, in groups of temperature where they have one.

    Raises:
      DataError: If the file cannot be read, holds nothing, or an element that is not known.
    """
    from equipot.data import readers, structure

    if options.data is None:
        return []
    content = readers.read_file(options.data, structures.data_options(options, [options.data]))
    if _TEMPERATURE in content.keys_present:
        config = structures.data_options(options, [options.data], _TEMPERATURE)
        content = readers.read_file(options.data, config)
    found = [own for own in content.structures if own.head in ("", options.head)]
    if not any(len(own.positions) > 1 for own in found):
        raise errors.DataError(
            f"{options.data}: expected structures of several atoms, found {len(found)} structures"
            " and no such; leave --data out, or give the data of training"
        )
    known = set(potential.spec.species_table)
    for own in found:
        if unknown := sorted(set(own.atomic_numbers.tolist()) - known):
            names = ", ".join(map(structure.symbol, potential.spec.species_table))
            raise errors.UnknownElementError(
                f"{own.where}: holds {', '.join(map(structure.symbol, unknown))}, which"
                f" {options.potential} does not know; its elements are {names}"
            )
    return found


def _print_lines(lines: Any) -> list["Line"]:
    """Prints each line when it comes, and keeps it."""
    from rich.console import Console
    from rich.text import Text

    console, kept = Console(highlight=False, soft_wrap=True), []
    for line in lines:
        own = line.verdict
        row = Text(f"{own.word:<7}", style=_COLORS[own.word])
        row.append(f" {own.name:<27} {own.shown_value:>10}  {own.shown_limit:<24}", style="default")
        row.append(f"{line.seconds:7.1f} s" if line.seconds else "", style="dim")
        row.rstrip()
        console.print(row)
        if own.passed is False:
            console.print(f"        {own.sentence}", style="red", markup=False)
        kept.append(line)
    return kept


def _facts(
    options: argparse.Namespace,
    potential: "Potential",
    data: Sequence["Structure"],
    plan: "Plan",
    seconds: float,
) -> dict[str, str]:
    """What stands at the head of the page."""
    from equipot.data.structure import symbol

    spec = potential.spec
    table = [symbol(z) for z in spec.species_table]
    shown = table if len(table) <= 12 else [*table[:6], "…", *table[-2:], f"({len(table)} in all)"]
    given = f"{options.data}, {len(data)} frames" if options.data else "none: made structures alone"
    facts = {
        "file": str(options.potential),
        "model": f"{spec.model_name}, cutoff {spec.cutoff:g} Å, {spec.dtype}",
        "elements": " ".join(shown),
        "data": given,
        "made": f"{seconds / 60:.1f} minutes, equipot {equipot.__version__}, {platform.machine()}",
    }
    if options.head:
        facts["level of theory"] = options.head
    if plan.quick:
        facts["quick"] = "six contracts are left out, dynamics are shorter and random starts fewer"
    if potential.distance_range is None:
        facts["distances"] = (
            "the file does not state those of training: 0.9 times the sum of covalent radii stands"
            " for the shortest of each pair"
        )
    return facts
