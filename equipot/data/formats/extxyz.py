"""Extended xyz and plain xyz, frame by frame, with everything in the file read or refused.

ASE parses a frame that is not an ordinary one; what it would pass over in silence is looked for
before: lines between frames, columns that ``Properties`` does not name, logical values that are
none, elements given twice.
"""

import collections
import contextlib
import io
import itertools
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import ase
import ase.io.extxyz
import numpy as np

from equipot import errors
from equipot.data.formats import xyz_frame, xyz_header

T = TypeVar("T")

_PLAIN = "species:S:1:pos:R:3"
_LOGICAL = frozenset({"T", "F", "True", "False"})
_TYPES = "RISL"
_RESULTS = frozenset({"energies", "forces", "stresses", "charges", "magmoms"})  # ASE casts these
_FAULTS = (OSError, ValueError, KeyError, IndexError, TypeError, OverflowError, MemoryError)
_FAULTS += (AttributeError, NotImplementedError)


def read(path: pathlib.Path, name: str) -> Iterator[ase.Atoms]:
    """Yields the frames of an unpacked file.

    Args:
      path: The file.
      name: What messages call it.

    Raises:
      DataError: At the first thing that is no frame, with its number and line.
    """
    return _parsed(path, name, _atoms)


def read_parsed(path: pathlib.Path, name: str) -> Iterator[ase.Atoms | xyz_frame.Parsed]:
    """Yields the frames as ``read`` does, the ordinary ones without ASE.

    Args:
      path: The file.
      name: What messages call it.

    Raises:
      DataError: At the first thing that is no frame, with its number and line.
    """
    return _parsed(path, name, _ordinary)


def ranges(path: pathlib.Path, frames: int) -> Iterator[tuple[int, int, int, int]]:
    """Cuts an unpacked file into pieces without parsing it.

    Args:
      path: The file.
      frames: Of a piece, at most.

    Yields:
      First byte, last byte + 1, number of the first frame, and number of its first line. What
      cannot be followed is left to the last piece, whose reader says what is wrong.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        number, line, start, first, first_line = 0, 1, 0, 0, 1
        while text := file.readline():
            word = text.strip()
            if not word or word.startswith(b"VEC"):
                line += 1
                continue
            if not word.isdigit() or int(word) > size:
                break
            if number - first == frames:
                yield start, file.tell() - len(text), first, first_line
                start, first, first_line = file.tell() - len(text), number, line
            collections.deque(itertools.islice(file, int(word) + 1), maxlen=0)
            number, line = number + 1, line + int(word) + 2
        yield start, size, first, first_line


def read_range(
    path: pathlib.Path, name: str, piece: tuple[int, int, int, int]
) -> Iterator[ase.Atoms | xyz_frame.Parsed]:
    """Yields the frames of one piece of a file, as ``read_parsed`` does those of all.

    Args:
      path: The file, unpacked.
      name: What messages call it.
      piece: One of ``ranges``.

    Raises:
      DataError: At the first thing that is no frame, with its number and line.
    """
    start, stop, number, line = piece
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(stop - start)
    with io.TextIOWrapper(io.BytesIO(data), encoding="utf-8") as text:
        with _said(name):
            yield from _frames(text, len(data), name, _ordinary, number, line)


@contextlib.contextmanager
def _said(name: str) -> Iterator[None]:
    """Turns bytes that are no text into a sentence."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise errors.DataError(
            f"{name}: expected text in UTF-8, found the byte {error.object[error.start]:#x}; "
            f"mend the file or set data.format"
        ) from error


def _parsed(path: pathlib.Path, name: str, make: Callable[..., T]) -> Iterator[T]:
    with path.open(encoding="utf-8") as file:
        with _said(name):
            yield from _frames(file, os.fstat(file.fileno()).st_size, name, make)


def _frames(
    file: io.TextIOBase,
    size: int,
    name: str,
    make: Callable[..., T],
    number: int = 0,
    line: int = 1,
) -> Iterator[T]:
    text = file.readline()
    while text:
        if not text.strip():
            text, line = file.readline(), line + 1
            continue
        where = f"{name}, frame {number}"
        count = _count(text, size, f"{where}, line {line}")
        header = file.readline()
        rows = [file.readline() for _ in range(count)] if count else []
        if not header or (rows and not rows[-1]):
            there = sum(bool(row) for row in rows)
            raise errors.DataError(
                f"{where}: line {line} announces {count} atoms, but the file ends after {there} "
                f"of them; mend the number, or take the frame out"
            )
        text = file.readline()
        vectors = []
        while text.lstrip().startswith("VEC"):
            vectors.append(text)
            text = file.readline()
        yield make(count, header, rows, vectors, where, line)
        number, line = number + 1, line + 2 + count + len(vectors)


def _count(text: str, size: int, where: str) -> int:
    """The number of atoms, no more than there are bytes in the file."""
    word = text.strip()
    if not (word.isascii() and word.isdigit()):
        raise errors.DataError(
            f"{where}: expected the number of atoms of a frame, found {word[:60]!r}; mend the "
            f"number of atoms before it, or take the line out"
        )
    if len(word) > 18 or int(word) > size:
        raise errors.DataError(
            f"{where}: announces {word[:20]} atoms, more than a file of {size} bytes can hold; "
            f"mend the number"
        )
    return int(word)


def _ordinary(
    count: int, header: str, rows: Sequence[str], vectors: Sequence[str], where: str, line: int
) -> ase.Atoms | xyz_frame.Parsed:
    if rows and not vectors:
        with contextlib.suppress(ValueError):  # said by the other way
            info = xyz_header.parse(header)
            found = xyz_frame.parse(info, str(info.get("Properties", _PLAIN)), rows)
            if found is not None:
                return found
    return _atoms(count, header, rows, vectors, where, line)


def _atoms(
    count: int, header: str, rows: Sequence[str], vectors: Sequence[str], where: str, line: int
) -> ase.Atoms:
    try:
        info = {} if vectors else xyz_header.parse(header)
        columns = _columns(info.get("Properties", _PLAIN))
        _check_pbc(info.get("pbc"))
        _check_rows(rows, columns, line + 2)
        text = "".join([f"{count}\n", header, *rows, *vectors])
        (atoms,) = ase.io.extxyz.read_xyz(io.StringIO(text), 0, properties_parser=lambda _: info)
        return atoms
    except _FAULTS as error:
        reason = f"'{error.args[0]}' is no element" if isinstance(error, KeyError) else str(error)
        raise errors.DataError(f"{where}: {reason or type(error).__name__}. Mend it") from error


def _columns(properties: Any) -> list[tuple[str, str]]:
    """Name and type of every column.

    Raises:
      ValueError: If ``Properties`` is no list of names, types and numbers, names one twice, or
        leaves out the elements or the positions.
    """
    fields = str(properties).split(":")
    sound = len(fields) % 3 == 0 and all(
        kind in tuple(_TYPES) and number.isascii() and number.isdigit() and 0 < int(number) < 1000
        for kind, number in zip(fields[1::3], fields[2::3], strict=False)
    )
    if not sound:
        raise ValueError(
            f"expected Properties such as {_PLAIN}, with types R, I, S or L, found '{properties}'"
        )
    names = fields[::3]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise ValueError(f"Properties names '{repeated[0]}' twice")
    triples = list(zip(names, fields[1::3], map(int, fields[2::3]), strict=True))
    shapes = {name: (kind, number) for name, kind, number in triples}
    elements = {name: shapes[name] for name in ("species", "Z") if name in shapes}
    if elements not in ({"species": ("S", 1)}, {"Z": ("I", 1)}):
        raise ValueError(
            f"expected the elements as species:S:1 or as Z:I:1 in Properties, found '{properties}'"
        )
    if shapes.get("pos") != ("R", 3):
        raise ValueError(f"expected pos:R:3 in Properties, found '{properties}'")
    for name in _RESULTS & set(shapes):
        if shapes[name][0] not in "RI":
            raise ValueError(f"expected {name}:R:{shapes[name][1]} in Properties")
    return [(name, kind) for name, kind, number in triples for _ in range(number)]


def _check_rows(rows: Sequence[str], columns: Sequence[tuple[str, str]], first: int) -> None:
    """Stops at a row of too few or too many columns, or a logical or numerical one that is none."""
    logical = [i for i, (_, kind) in enumerate(columns) if kind == "L"]
    numerical = [i for i, (_, kind) in enumerate(columns) if kind in "RI"]
    for line, row in enumerate(rows, first):
        words = row.split()
        if len(words) != len(columns):
            raise ValueError(
                f"line {line} has {len(words)} columns, expected {len(columns)}: {row.strip()[:80]}"
            )
        wrong = [words[i] for i in logical if words[i] not in _LOGICAL]
        if "_" in row:  # Python would take 1_0 for 10
            wrong += [words[i] for i in numerical if "_" in words[i]]
        if wrong:
            raise ValueError(f"line {line} has {wrong[0]!r} in a column of other type")


def _check_pbc(pbc: Any) -> None:
    if pbc is None:
        return
    flags = np.asarray(pbc)
    if flags.shape not in ((), (3,)) or not np.isin(flags, (True, False)).all():
        raise ValueError(f"expected pbc as three of T and F, found '{pbc}'")
