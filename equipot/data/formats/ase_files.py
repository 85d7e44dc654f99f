"""Whatever ASE reads, compressed or not, with labels as they stand in the file.

ASE moves labels it recognises from ``info`` and ``arrays`` into a calculator, whose ``get_forces``
zeroes the forces of constrained atoms; so the calculator's results are read, never its methods.
"""

import binascii
import importlib.util
import lzma
import pathlib
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import ase
import ase.db
import ase.io
import numpy as np
from ase.io import formats as ase_formats
from ase.io.aims import AimsParseError
from ase.io.vasp_parsers.vasp_outcar_parsers import NoNonEmptyLines, UnableToLocateDelimiter
from ase.spacegroup.spacegroup import SpacegroupError

from equipot import errors
from equipot.data.formats import ase_errors, databases, extxyz, frame, packed, vasp, xyz_frame

T = TypeVar("T")

KNOWN_KEYS: Mapping[str, frozenset[str]] = {
    "energy": frozenset(
        {"energy", "free_energy", "ref_energy", "dft_energy", "total_energy", "totenergy"}
    ),
    "forces": frozenset({"forces", "force", "ref_forces", "ref_force", "dft_forces", "dft_force"}),
    "stress": frozenset(
        {"stress", "ref_stress", "dft_stress"}
        | {"virial", "virials", "ref_virial", "ref_virials", "dft_virial", "dft_virials"}
    ),
}
UNIT_KEYS: Mapping[str, tuple[str, ...]] = {
    "energy": ("energy_unit",),
    "length": ("length_unit", "positions_unit"),
    "forces": ("forces_unit",),
    "stress": ("stress_unit",),
}
STATING = frozenset(key for keys in UNIT_KEYS.values() for key in keys)
"""Keys by which a frame states units."""
_DATABASES = frozenset({"db", "json", "aselmdb"})
_XYZ = frozenset({"extxyz", "xyz"})
_EXTENSIONS = {
    ".xyz": "extxyz",
    ".extxyz": "extxyz",
    ".db": "db",
    ".json": "json",
    ".aselmdb": "aselmdb",
}
_PARSE_ERRORS = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError),
    *(NameError, OSError, RuntimeError, StopIteration, SyntaxError, TypeError, ValueError),
    *(struct.error, zlib.error, lzma.LZMAError, sqlite3.Error, binascii.Error),
    *(ase_formats.UnknownFileTypeError, ase.io.ParseError, SpacegroupError),
    *(AimsParseError, NoNonEmptyLines, UnableToLocateDelimiter),
)


def read(path: pathlib.Path, ase_format: str | None = None) -> frame.FrameFile:
    """Reads every frame of a file.

    Args:
      path: A file ASE reads; may end in .gz, .xz or .bz2.
      ase_format: ASE's name of the format; None lets ASE guess.

    Raises:
      DataError: If ASE cannot read it, or a key has two values in one frame.
    """
    images = _read(path, ase_format, extxyz.read_parsed)
    return _content(images, 0, path.name)


def blocks(path: pathlib.Path, ase_format: str | None, size: int) -> Iterator[frame.FrameFile]:
    """Reads so many frames at a time, as ``read`` does all.

    Args:
      path: A file ASE reads; may end in .gz, .xz or .bz2.
      ase_format: ASE's name of the format; None lets ASE guess.
      size: How many frames.

    Raises:
      DataError: As ``read`` does.
    """
    found: list[ase.Atoms | xyz_frame.Parsed] = []
    number = 0
    for image in _each(path, ase_format, extxyz.read_parsed):
        found.append(image)
        if len(found) == size:
            yield _content(found, number, path.name)
            number, found = number + size, []
    if found:
        yield _content(found, number, path.name)


def _content(
    images: Sequence[ase.Atoms | xyz_frame.Parsed], first: int, name: str
) -> frame.FrameFile:
    """Frames of a file, numbered from the first."""
    frames = [
        _parsed(image, f"frame {index}", name)
        if isinstance(image, xyz_frame.Parsed)
        else _frame(image, f"frame {index}", name)
        for index, image in enumerate(images, start=first)
    ]
    return frame.FrameFile(frames=frames, known_keys=KNOWN_KEYS, stated_units={})


def as_frames(images: Sequence[ase.Atoms], name: str) -> frame.FrameFile:
    """ASE's structures as ``read`` gives the frames of a file.

    Args:
      images: From ``read_images``.
      name: The file, for messages.

    Raises:
      DataError: If a key has two values in one frame.
    """
    frames = [_frame(image, f"frame {index}", name) for index, image in enumerate(images)]
    return frame.FrameFile(frames=frames, known_keys=KNOWN_KEYS, stated_units={})


def read_images(path: pathlib.Path, ase_format: str | None = None) -> list[ase.Atoms]:
    """Reads every frame of a file, as ASE's structures.

    Args:
      path: A file ASE reads; may end in .gz, .xz or .bz2.
      ase_format: ASE's name of the format; None lets ASE guess.

    Raises:
      DataError: If it cannot be read whole.
    """
    return _read(path, ase_format, extxyz.read)


def read_piece(path: pathlib.Path, name: str, piece: tuple[int, int, int, int]) -> frame.FrameFile:
    """Reads the frames of one piece of an extended xyz, as ``read`` does those of all.

    Args:
      path: The file, unpacked.
      name: What messages call it.
      piece: One of ``extxyz.ranges``.

    Raises:
      DataError: If something in it is no frame.
    """
    return _content(list(extxyz.read_range(path, name, piece)), piece[2], name)


def is_xyz(path: pathlib.Path, ase_format: str | None) -> bool:
    """Whether a file is read as extended xyz, by its format or name."""
    plain = path.with_suffix("") if packed.is_packed(path) else path
    return (ase_format or _EXTENSIONS.get(plain.suffix.casefold())) in _XYZ


def _read(
    path: pathlib.Path, ase_format: str | None, read_xyz: Callable[..., Iterator[T]]
) -> list[ase.Atoms | T]:
    """All frames, those of extended xyz as the given function reads them."""
    return list(_each(path, ase_format, read_xyz))


def _each(
    path: pathlib.Path, ase_format: str | None, read_xyz: Callable[..., Iterator[T]]
) -> Iterator[ase.Atoms | T]:
    """The frames, one after another."""
    if path.is_dir():
        raise errors.DataError(
            f"{path}: expected a file, found a folder; only the systems of DeePMD are folders, and"
            f" here {'is no type.raw' if any(path.iterdir()) else 'is nothing'}. Name a file"
        )
    count = 0
    try:
        with packed.plain_file(path.absolute()) as plain:
            for image in _images(plain, path.name, ase_format, read_xyz):
                yield image
                count += 1
    except errors.DataError:
        raise
    except _PARSE_ERRORS as error:
        where = f", after frame {count - 1}" if count else ""
        guessed = _guess(path)
        raise errors.DataError(
            ase_errors.sentence(path, ase_format, guessed, where, error)
        ) from error


def _guess(path: pathlib.Path) -> str | None:
    """The format that ASE takes a file for, by its name or how it begins."""
    plain = path.with_suffix("") if packed.is_packed(path) else path
    try:
        return _EXTENSIONS.get(plain.suffix.casefold()) or ase_formats.filetype(str(path))
    except _PARSE_ERRORS:
        return None


def _images(
    path: pathlib.Path, name: str, ase_format: str | None, read_xyz: Callable[..., Iterator[T]]
) -> Iterator[ase.Atoms | T]:
    kind = ase_format or _EXTENSIONS.get(path.suffix.casefold())
    kind = kind or ase_formats.filetype(str(path))
    if kind in _XYZ:
        yield from read_xyz(path, name)
        return
    check = databases.CHECKS.get(kind) or vasp.CHECKS.get(kind)
    expected = check(path, name) if check else None
    count = 0
    for image in _by_ase(path, kind):
        yield image
        count += 1
    if expected is not None and count != expected:
        raise errors.DataError(
            f"{name}: holds {expected} frames, but ASE reads {count} of them; mend the file"
        )


def _by_ase(path: pathlib.Path, kind: str) -> Iterator[ase.Atoms]:
    if kind not in _DATABASES:
        yield from ase.io.iread(str(path), ":", format=kind, do_not_split_by_at_sign=True)
        return
    # ase.io.read leaves out the keys a user has given the rows.
    # Only as a context does ASE close what it has opened.
    if kind == "aselmdb" and importlib.util.find_spec("ase_db_backends") is None:
        raise errors.DataError(
            f"{path}: is read with ase-db-backends, which is not installed; pip install"
            " ase-db-backends, or pip install 'equipot[lmdb]'"
        )
    database: Any = ase.db.connect(str(path), type=kind, serial=True)
    with database:
        for row in database.select():
            yield row.toatoms(add_additional_information=True)


def _parsed(found: xyz_frame.Parsed, where: str, name: str) -> frame.Frame:
    return frame.Frame(
        **found._asdict(),
        where=where,
        stated_units=_stated_units(found.values, f"{name}, {where}"),
    )


def _frame(atoms: ase.Atoms, where: str, name: str) -> frame.Frame:
    values = _values(atoms, f"{name}, {where}")
    return frame.Frame(
        atomic_numbers=atoms.numbers,
        positions=atoms.positions,
        cell=np.array(atoms.cell),
        pbc=np.array(atoms.pbc),
        values=values,
        where=where,
        stated_units=_stated_units(values, f"{name}, {where}"),
    )


def _values(atoms: ase.Atoms, where: str) -> dict[str, Any]:
    """Everything the frame holds beside its geometry, by key."""
    arrays = {k: v for k, v in atoms.arrays.items() if k not in ("numbers", "positions")}
    info = dict(atoms.info)
    # ASE's databases keep a user's keys one level down.
    nested = [k for k in ("key_value_pairs", "data") if isinstance(info.get(k), Mapping)]
    stored = [info.pop(key) for key in nested]
    results = getattr(atoms.calc, "results", {})
    values: dict[str, Any] = {}
    for source in (info, *stored, arrays, results):
        for key, value in source.items():
            if key in values and not _equal(values[key], value):
                raise errors.DataError(
                    f"{where}: '{key}' stands there twice, in info or arrays and in the results of "
                    f"a calculator, with different values; rename one, and name the right one in "
                    f"data.*_key"
                )
            if value is not None:
                values[key] = value
    return values


def _equal(first: Any, second: Any) -> bool:
    return bool(np.array_equal(np.asarray(first), np.asarray(second)))


def _stated_units(values: Mapping[str, Any], where: str) -> dict[str, str]:
    """Units that a frame names, as in ``forces_unit=eV/A``."""
    stated: dict[str, str] = {}
    if values.keys().isdisjoint(STATING):
        return stated
    for quantity, keys in UNIT_KEYS.items():
        found = {str(values[key]) for key in keys if key in values}
        if len(found) > 1:
            raise errors.DataError(
                f"{where}: names two units of {quantity}, {' and '.join(sorted(found))}; take one "
                f"out"
            )
        if found:
            stated[quantity] = found.pop()
    return stated
