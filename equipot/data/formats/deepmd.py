"""DeePMD-kit's folders of npy files.

``type.raw``, ``type_map.raw`` and ``set.*/{coord,energy,force,box,virial}.npy``; lengths are Å,
energies and virials eV; a virial is −∂E/∂ε, that is −stress × volume. A file ``nopbc`` marks a
system without a cell, ``real_atom_types.npy`` one whose frames differ in composition (types of −1
are fill).
"""

import pathlib
from collections.abc import Mapping

import ase.data
import numpy as np

from equipot import errors
from equipot.data.formats import frame

KNOWN_KEYS: Mapping[str, frozenset[str]] = {
    "energy": frozenset({"energy"}),
    "forces": frozenset({"force"}),
    "stress": frozenset({"virial"}),
}
_PER_ATOM = ("force",)
_LABELS = ("energy", "force", "virial")


def is_system(path: pathlib.Path) -> bool:
    """Whether a folder is a system, or holds systems at any depth."""
    return path.is_dir() and next(path.rglob("type.raw"), None) is not None


def read(path: pathlib.Path) -> frame.FrameFile:
    """Reads every frame of a system folder, or of all systems below a folder.

    Raises:
      DataError: If there is no system, or one lacks a file or has arrays of disagreeing shapes.
    """
    systems = sorted(p.parent for p in path.rglob("type.raw"))
    if not systems:
        raise errors.DataError(f"{path}: expected a DeePMD folder, but found no type.raw in it")
    frames = [f for system in systems for f in _read_system(system)]
    units = {"energy": "eV", "length": "Angstrom"}
    return frame.FrameFile(frames=frames, known_keys=KNOWN_KEYS, stated_units=units)


def _read_system(system: pathlib.Path) -> list[frame.Frame]:
    try:
        types = np.loadtxt(system / "type.raw", dtype=np.int64, ndmin=1)
    except ValueError as error:
        raise errors.DataError(f"{system}/type.raw: expected whole numbers: {error}") from error
    elements = _element_table(system)
    sets = sorted(p for p in system.glob("set.*") if p.is_dir())
    if not sets:
        raise errors.DataError(f"{system}: expected folders set.000, set.001, …; found none")
    periodic = not (system / "nopbc").exists()
    return [f for folder in sets for f in _read_set(folder, types, elements, periodic)]


def _element_table(system: pathlib.Path) -> np.ndarray:
    """Atomic number of each type."""
    path = system / "type_map.raw"
    if not path.exists():
        raise errors.DataError(f"{system}: expected type_map.raw with the element of each type")
    symbols = path.read_text().split()
    unknown = [s for s in symbols if s not in ase.data.atomic_numbers]
    if unknown:
        raise errors.DataError(f"{path}: '{unknown[0]}' is not the symbol of an element")
    return np.array([ase.data.atomic_numbers[s] for s in symbols], np.int64)


def _read_set(
    folder: pathlib.Path, types: np.ndarray, elements: np.ndarray, periodic: bool
) -> list[frame.Frame]:
    count = len(types)
    coord = _load(folder, "coord", (3 * count,))
    if coord is None:
        raise errors.DataError(f"{folder}: expected coord.npy; it is not there")
    num = len(coord)
    box = _load(folder, "box", (9,), num) if periodic else None
    if periodic and box is None:
        raise errors.DataError(f"{folder}: expected box.npy, or a file nopbc beside type.raw")
    shapes = {"energy": (1,), "force": (3 * count,), "virial": (9,)}
    labels = {key: _load(folder, key, shapes[key], num) for key in _LABELS}
    mixed = _load(folder, "real_atom_types", (count,), num)
    frame_types = np.broadcast_to(types, (num, count)) if mixed is None else mixed.astype(np.int64)
    if frame_types.size and frame_types.max() >= len(elements):
        raise errors.DataError(
            f"{folder}: atoms have type {frame_types.max()}, but type_map.raw names {len(elements)}"
        )
    return [
        _frame(
            elements,
            frame_types[i],
            coord[i],
            None if box is None else box[i].reshape(3, 3),
            {key: value[i] for key, value in labels.items() if value is not None},
            where=f"{folder.parent.name}/{folder.name}, frame {i}",
        )
        for i in range(num)
    ]


def _frame(
    elements: np.ndarray,
    types: np.ndarray,
    coord: np.ndarray,
    cell: np.ndarray | None,
    values: dict[str, np.ndarray],
    where: str,
) -> frame.Frame:
    """One frame without its fill atoms, periodic if it has a cell."""
    real = types >= 0
    values |= {k: values[k].reshape(-1, 3)[real] for k in _PER_ATOM if k in values}
    return frame.Frame(
        atomic_numbers=elements[types[real]],
        positions=coord.reshape(-1, 3)[real],
        cell=np.zeros((3, 3)) if cell is None else cell,
        pbc=np.full(3, cell is not None),
        values=values,
        where=where,
    )


def _load(
    folder: pathlib.Path, name: str, shape: tuple[int, ...], num: int | None = None
) -> np.ndarray | None:
    """Returns an array [frames, *shape] in float64, or None where there is no such file."""
    path = folder / f"{name}.npy"
    if not path.exists():
        return None
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise errors.DataError(f"{path}: could not be read as npy: {error}") from error
    num = len(array) if num is None else num
    size = int(np.prod(shape))
    if array.size != num * size:
        raise errors.DataError(
            f"{path}: has shape {array.shape}, expected {num} frames of {size} numbers"
        )
    return array.reshape(num, *shape).astype(np.float64)
