"""``equipot download``: a published potential, fetched by its name."""

import argparse
import sys
from typing import Any


def add_parser(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "download",
        help="fetch a published potential by its name",
        description="Fetches a published potential into the cache, verifies and converts it. Its"
        " name then stands for a file: equipot md NAME …, init_from=NAME,"
        ' EquipotCalculator("NAME"). Without a name the known potentials are listed.',
    )
    parser.add_argument("name", nargs="?", help="which one")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Fetches one, or lists all."""
    from equipot.potential import known

    if options.name is None:
        for row in known.table().values():
            print("\n".join(_lines(row)))
        return
    chosen = known.find(options.name)
    if chosen.path.is_file():
        print(f"{chosen.name} is there already: {chosen.path}; remove that file to fetch it anew")
        return
    from equipot.convert import download

    path = download.download(chosen, on_progress=_show if sys.stderr.isatty() else None)
    print("\n".join(_lines(chosen)))
    if chosen.sha256 is None:
        print("  its checksum was not known beforehand: the file was taken as it came")
    print(f'  {path}; use it by its name: EquipotCalculator("{chosen.name}")')


def _lines(row: Any) -> list[str]:
    """What a user should know of a potential.

    Args:
      row: A ``Known``.
    """
    state = ", fetched" if row.path.is_file() else ""
    return [
        f"{row.name} ({row.license}{state}): {row.theory}",
        f"  elements: {row.elements}; described in {row.reference}",
        f"  from {row.source}",
        f"  checked: {row.checked}",
    ]


def _show(done: int, total: int | None) -> None:
    of = f" of {total / 2**20:.1f}" if total else ""
    print(f"\r{done / 2**20:.1f}{of} MB", end="\n" if done == total else "", file=sys.stderr)
