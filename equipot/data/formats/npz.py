"""The npz layouts of revised MD17 (``nuclear_charges``, ``coords``) and sGDML (``z``, ``R``)."""

import io
import lzma
import pathlib
import zipfile
import zlib
from collections.abc import Mapping
from typing import cast

import numpy as np

from equipot import errors
from equipot.data import numbers as data_numbers
from equipot.data.formats import frame, npy
from equipot.quantities import NONE, Quantity

KNOWN_KEYS: Mapping[str, frozenset[str]] = {
    "energy": frozenset({"energies", "energy", "e"}),
    "forces": frozenset({"forces", "f"}),
    "stress": frozenset({"stress", "stresses", "virial", "virials"}),
}
_ATOMIC_NUMBERS = ("nuclear_charges", "z")
_POSITIONS = ("coords", "R")
_LATTICE = "lattice"
_GEOMETRY = frozenset(key.casefold() for key in (*_ATOMIC_NUMBERS, *_POSITIONS, _LATTICE))
_UNITS = {"energy": "e_unit", "length": "r_unit"}
_LARGEST_RATIO = 1100  # bytes that one byte of deflate can stand for, and some
_DAMAGE = (OSError, EOFError, ValueError, TypeError, NotImplementedError, RuntimeError, KeyError)
_DAMAGE += (OverflowError, IndexError, MemoryError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)


def read(path: pathlib.Path, quantities: Mapping[str, Quantity] = NONE) -> frame.FrameFile:
    """Reads every frame of an npz file.

    Args:
      path: The file.
      quantities: The declared ones, whose arrays must be numbers for each frame.

    Raises:
      DataError: If it is no npz file of one of the two layouts, its arrays disagree in shape, or
        one of them holds anything but numbers where numbers are expected.
    """
    name = path.name
    labels = frozenset().union(*KNOWN_KEYS.values(), *(q.keys for q in quantities.values()))
    arrays = _load(path, labels)
    positions = _first(name, arrays, _POSITIONS, "positions")
    positions = data_numbers.real(positions, "the array of positions", name)
    numbers = _first(name, arrays, _ATOMIC_NUMBERS, "atomic numbers")
    numbers = data_numbers.whole(numbers, "the array of atomic numbers", name)
    _check_shapes(name, positions, numbers)
    numbers = np.broadcast_to(numbers, positions.shape[:2])
    cell = _cell(name, arrays)
    count = len(positions)
    _check_labels_cover(name, arrays, count, labels)
    geometry = (*_ATOMIC_NUMBERS, *_POSITIONS, _LATTICE, *_UNITS.values())
    per_frame = {
        key: value
        for key, value in arrays.items()
        if value.shape[:1] == (count,) and key not in geometry
    }
    cells, pbc = np.zeros((3, 3)) if cell is None else cell, np.full(3, cell is not None)
    frames = [
        frame.Frame(
            atomic_numbers=numbers[i],
            positions=positions[i],
            cell=cells,
            pbc=pbc,
            values={key: value[i] for key, value in per_frame.items()},
            where=f"frame {i}",
        )
        for i in range(count)
    ]
    return frame.FrameFile(
        frames=frames,
        known_keys=KNOWN_KEYS,
        stated_units=_stated_units(name, arrays),
        needs_energy_unit=True,
    )


def _load(path: pathlib.Path, labels: frozenset[str]) -> dict[str, np.ndarray]:
    """Returns the arrays of the file but those of Python objects that are no label."""
    arrays: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive)
            for info in archive.infolist():
                key = info.filename.removesuffix(".npy")
                if key == info.filename:
                    continue  # a note, say; numpy reads no array from it either
                array = _member(path, archive, info)
                if array is not None:
                    arrays[key] = array
                elif key.casefold() in _GEOMETRY | labels:
                    raise errors.DataError(
                        f"{path.name}: '{key}' holds Python objects, expected numbers; save it as "
                        f"an array of numbers"
                    )
    except errors.DataError:
        raise
    except _DAMAGE as error:
        reason = str(error)[:100] or type(error).__name__
        raise errors.DataError(
            f"{path.name}: could not be read as npz ({reason}); {_why(path)}, "
            f"fetch or make it again"
        ) from error
    return arrays


def _why(path: pathlib.Path) -> str:
    """Whether it begins as such an archive."""
    with path.open("rb") as file:
        return "it is damaged" if file.read(2) in (b"PK", b"") else "it is no such archive"


def _member(
    path: pathlib.Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo
) -> np.ndarray | None:
    with archive.open(info) as file:
        array = npy.read(
            cast(io.BufferedIOBase, file), info.file_size, f"{path.name}, '{info.filename}'"
        )
        while file.read(1 << 20):  # to the end, where the checksum is compared
            pass
    return array


def _check_members(path: pathlib.Path, archive: zipfile.ZipFile) -> None:
    """Stops where a name stands twice, or more is promised than the bytes can hold."""
    seen: set[str] = set()
    most = _LARGEST_RATIO * path.stat().st_size
    for info in archive.infolist():
        if info.filename in seen:
            raise errors.DataError(
                f"{path.name}: '{info.filename}' stands there twice; take one out"
            )
        seen.add(info.filename)
        if info.file_size > most:
            raise errors.DataError(
                f"{path.name}: '{info.filename}' is said to have {info.file_size} bytes, more than "
                f"the file can hold; it is damaged, fetch or make it again"
            )


def _first(
    name: str, arrays: Mapping[str, np.ndarray], keys: tuple[str, ...], what: str
) -> np.ndarray:
    found = [key for key in keys if key in arrays]
    if len(found) == 1:
        return arrays[found[0]]
    if found:
        raise errors.DataError(
            f"{name}: holds {what} twice, under {' and '.join(map(repr, found))}; take one out"
        )
    raise errors.DataError(
        f"{name}: expected {what} under {' or '.join(repr(k) for k in keys)}; "
        f"the file holds {', '.join(arrays) or 'nothing'}"
    )


def _check_shapes(name: str, positions: np.ndarray, numbers: np.ndarray) -> None:
    if positions.ndim == 3 and positions.shape[2] == 3:
        allowed = (positions.shape[1:2], positions.shape[:2])
        if numbers.shape in allowed:
            return
    raise errors.DataError(
        f"{name}: positions have shape {positions.shape} and atomic numbers {numbers.shape}, "
        f"expected (frames, atoms, 3) and (atoms,) or (frames, atoms)"
    )


def _cell(name: str, arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Lattice vectors in rows; sGDML keeps them in columns."""
    if _LATTICE not in arrays:
        return None
    cell = data_numbers.real(arrays[_LATTICE], f"'{_LATTICE}'", name)
    if cell.shape != (3, 3):
        raise errors.DataError(f"{name}: '{_LATTICE}' has shape {cell.shape}, expected (3, 3)")
    return cell.T


def _check_labels_cover(
    name: str, arrays: Mapping[str, np.ndarray], count: int, labels: frozenset[str]
) -> None:
    for key, value in arrays.items():
        if key.casefold() in labels and value.shape[:1] != (count,):
            raise errors.DataError(
                f"{name}: '{key}' has shape {value.shape}, expected {count} frames first"
            )


def _stated_units(name: str, arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    return {q: _text(name, key, arrays[key]) for q, key in _UNITS.items() if key in arrays}


def _text(name: str, key: str, value: np.ndarray) -> str:
    if value.size != 1 or value.dtype.kind not in "SU":
        raise errors.DataError(
            f"{name}: '{key}' is {data_numbers.brief(value)}, expected the name of a unit"
        )
    item = value.reshape(()).item()
    return item.decode("latin-1") if isinstance(item, bytes) else str(item)
