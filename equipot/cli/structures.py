"""Reading structures for a command: which file, which frame, which keys and units."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from equipot import errors
from equipot.data import config as data_config

if TYPE_CHECKING:
    from ase import Atoms

_KEYS = {
    "format": "an ASE format, npz or deepmd; by default from the name",
    "energy-key": "name of the energies in the file; by default found and reported",
    "forces-key": "name of the forces",
    "stress-key": "name of the stresses",
    "head-key": "name of the key that holds the level of theory of each frame",
    "energy-unit": "eV (default), kcal/mol, Hartree, …",
    "length-unit": "Angstrom (default) or Bohr",
    "forces-unit": "by default the unit of energy over that of length",
    "stress-unit": "by default from the units above",
}


ALL = "all"
"""What ``--frame`` is for every frame."""


def add_label_options(parser: argparse.ArgumentParser) -> "argparse._ArgumentGroup":
    """Adds a group of options for the keys and units of the labels in a file."""
    group = parser.add_argument_group("how the file is read")
    for name, meaning in _KEYS.items():
        group.add_argument(f"--{name}", metavar="NAME", help=meaning)
    return group


def data_options(
    options: argparse.Namespace, paths: Sequence[str], group_key: str | None = None
) -> data_config.DataConfig:
    """The options of ``add_label_options`` as a configuration of data."""
    names = [name.replace("-", "_") for name in _KEYS]
    given = {name: getattr(options, name) for name in names}
    return data_config.DataConfig(train=tuple(paths), group_key=group_key, **given)


def add_start_arguments(
    parser: argparse.ArgumentParser, *, optional: bool = False, several: bool = False
) -> None:
    """Adds the potential, the structure, and ``--frame``; it may be all if ``several`` may run."""
    number = "?" if optional else None
    parser.add_argument("potential", nargs=number, help="a file that ends in .equipot")
    parser.add_argument(
        "structure", nargs=number, help="a file of structures, in any format ASE reads"
    )
    parser.add_argument(
        "--frame",
        default="-1",
        metavar="WHICH",
        help="frame of the file: its number (from 0; -1 is the last, the default), or KEY=VALUE for"
        " the first that is marked so, as in temperature=300"
        + (f"; {ALL}: every frame, together" if several else ""),
    )
    add_head_option(parser)


def add_head_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--head``."""
    parser.add_argument(
        "--head", metavar="NAME", help="level of theory, where the potential has several"
    )


def read_start(options: argparse.Namespace) -> "Atoms":
    """Reads the one structure specified by the options of ``add_start_arguments``.

    Raises:
      DataError: If there is no such file or frame.
    """
    from equipot.calculators import trajectory
    from equipot.data import paths

    key, is_marked, value = options.frame.partition("=")
    if is_marked:
        return _marked(options.structure, key, value)
    try:
        index = int(options.frame)
    except ValueError:
        raise errors.DataError(
            f"--frame: expected a number or KEY=VALUE, received '{options.frame}'"
        ) from None
    return trajectory.read_atoms(paths.resolve(options.structure), index)


def read_starts(options: argparse.Namespace) -> "list[Atoms]":
    """Reads the structures specified by the options of ``add_start_arguments``.

    Raises:
      DataError: If there is no such file or frame.
    """
    from equipot.calculators import trajectory
    from equipot.data import paths

    if options.frame != ALL:
        return [read_start(options)]
    return trajectory.read_all(paths.resolve(options.structure))


_OF_DATABASE = "key_value_pairs"  # where ASE puts what a row of its databases is marked with


def _marked(path: str, key: str, value: str) -> "Atoms":
    """The first structure for which the key has this value."""
    from equipot.calculators import trajectory
    from equipot.data import paths
    from equipot.data.formats import ase_files

    frames = ase_files.read_images(paths.resolve(path))
    marks = [
        str({**frame.info.get(_OF_DATABASE, {}), **frame.info}.get(key, "")) for frame in frames
    ]
    for frame, mark in zip(frames, marks, strict=True):
        if mark and _as_number(mark) == _as_number(value):
            return trajectory.without_labels(frame)
    known = ", ".join(sorted(set(marks) - {""})) or "none"
    raise errors.DataError(f"{path}: no frame has {key}={value}; values of '{key}' there: {known}")


def _as_number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
