"""``equipot compare``: runs of training side by side."""

import argparse
import os
from pathlib import Path
from typing import Any

from equipot import errors
from equipot.cli import inputs


def add_parser(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "compare",
        help="runs of training side by side",
        description="Shows what the settings of runs differ in, and the errors (RMSE) that they end"
        " with, the best first. Runs that are not finished show their best validation.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders of runs, or of a sweep")
    parser.add_argument(
        "--plot", metavar="FILE", help="draw validation errors against steps and minutes"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Prints the table and draws the picture."""
    for name in options.runs:
        if not Path(name).is_dir():
            raise errors.DataError(
                f"{name}: expected the folder of a run or of a sweep; there is no such folder"
            )
    inputs.output(options.plot)
    from equipot.training import comparison

    found = [comparison.read(path) for path in comparison.find(options.runs)]
    names = short_names([own.path for own in found])
    print(comparison.table(found, names))
    if options.plot:
        comparison.save_picture(options.plot, found, names)
        print(f"picture: {options.plot}")


def short_names(paths: list[Path]) -> dict[Path, str]:
    """Folders without what they share in front."""
    if len(paths) == 1:
        return {path: path.name for path in paths}
    shared = os.path.commonpath([path.resolve().parent for path in paths])
    return {path: os.path.relpath(path.resolve(), shared) for path in paths}
