"""The npz layouts of revised MD17 (``nuclear_charges``, ``coords``) and sGDML (``z``, ``R``)."""

import contextlib
import pathlib
import zipfile
from collections.abc import Mapping

import numpy as np

from equipot import errors
from equipot.data.formats import frame

KNOWN_KEYS: Mapping[str, frozenset[str]] = {
    "energy": frozenset({"energies", "energy", "e"}),
    "forces": frozenset({"forces", "f"}),
    "stress": frozenset({"stress", "stresses", "virial", "virials"}),
}
_ATOMIC_NUMBERS = ("nuclear_charges", "z")
_POSITIONS = ("coords", "R")


def read(path: pathlib.Path) -> frame.FrameFile:
    """Reads every frame of an npz file.

    Raises:
      DataError: If it is no npz file of one of the two layouts, or its arrays disagree in shape.
    """
    arrays = _load(path)
    numbers = _first(path, arrays, _ATOMIC_NUMBERS, "atomic numbers")
    positions = np.asarray(_first(path, arrays, _POSITIONS, "positions"), np.float64)
    if positions.ndim != 3 or numbers.shape[-1:] != positions.shape[1:2] or numbers.ndim > 2:
        raise errors.DataError(
            f"{path.name}: positions have shape {positions.shape} and atomic numbers "
            f"{numbers.shape}, expected (frames, atoms, 3) and (atoms,) or (frames, atoms)"
        )
    numbers = np.broadcast_to(numbers.astype(np.int64), positions.shape[:2])
    # sGDML keeps lattice vectors in columns.
    cell = np.asarray(arrays["lattice"], np.float64).T if "lattice" in arrays else np.zeros((3, 3))
    per_frame = {
        key: value for key, value in arrays.items() if value.shape[:1] == positions.shape[:1]
    }
    per_frame = {k: v for k, v in per_frame.items() if k not in (*_ATOMIC_NUMBERS, *_POSITIONS)}
    _check_labels_cover(path, arrays, len(positions))
    frames = [
        frame.Frame(
            atomic_numbers=numbers[i],
            positions=positions[i],
            cell=cell,
            pbc=np.full(3, "lattice" in arrays),
            values={key: value[i] for key, value in per_frame.items()},
            where=f"frame {i}",
        )
        for i in range(len(positions))
    ]
    return frame.FrameFile(
        frames=frames,
        known_keys=KNOWN_KEYS,
        stated_units=_stated_units(arrays),
        needs_energy_unit=True,
    )


def _load(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Returns the arrays of the file but those of Python objects, which cannot be labels."""
    arrays = {}
    if not zipfile.is_zipfile(path):
        raise errors.DataError(f"{path}: could not be read as npz: it is no such archive")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            for key in archive.files:
                with contextlib.suppress(ValueError):
                    arrays[key] = archive[key]
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise errors.DataError(f"{path}: could not be read as npz: {error}") from error
    return arrays


def _first(
    path: pathlib.Path, arrays: Mapping[str, np.ndarray], keys: tuple[str, ...], what: str
) -> np.ndarray:
    for key in keys:
        if key in arrays:
            return arrays[key]
    raise errors.DataError(
        f"{path.name}: expected {what} under {' or '.join(repr(k) for k in keys)}; "
        f"the file holds {', '.join(arrays) or 'nothing'}"
    )


def _check_labels_cover(path: pathlib.Path, arrays: Mapping[str, np.ndarray], count: int) -> None:
    known = frozenset().union(*KNOWN_KEYS.values())
    for key, value in arrays.items():
        if key.casefold() in known and value.shape[:1] != (count,):
            raise errors.DataError(
                f"{path.name}: '{key}' has shape {value.shape}, expected {count} frames first"
            )


def _stated_units(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    keys = {"energy": "e_unit", "length": "r_unit"}
    return {quantity: _text(arrays[key]) for quantity, key in keys.items() if key in arrays}


def _text(value: np.ndarray) -> str:
    item = value.item()
    return item.decode() if isinstance(item, bytes) else str(item)
