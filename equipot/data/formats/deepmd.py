"""DeePMD-kit's folders of npy files.

``type.raw``, ``type_map.raw`` and ``set.*/{coord,energy,force,box,virial}.npy``; lengths are Å,
energies and virials eV; a virial is −∂E/∂ε, that is −stress × volume. A file ``nopbc`` marks a
system without a cell, ``real_atom_types.npy`` one whose frames differ in composition (types of −1
are fill).
"""

import pathlib
from collections.abc import Mapping, Set

import numpy as np

from equipot import errors
from equipot.data import numbers as data_numbers
from equipot.data import structure
from equipot.data.formats import frame, npy
from equipot.quantities import NONE, Quantity

KNOWN_KEYS: Mapping[str, frozenset[str]] = {
    "energy": frozenset({"energy"}),
    "forces": frozenset({"force"}),
    "stress": frozenset({"virial"}),
}


def is_system(path: pathlib.Path) -> bool:
    """Whether a folder is a system, or holds systems at any depth."""
    return path.is_dir() and next(path.rglob("type.raw"), None) is not None


def read(path: pathlib.Path, quantities: Mapping[str, Quantity] = NONE) -> frame.FrameFile:
    """Reads every frame of a system folder, or of all systems below a folder.

    Args:
      path: The folder.
      quantities: The declared ones, whose files are read too where there are any.

    Raises:
      DataError: If there is no system, or one lacks a file or has arrays of disagreeing shapes.
    """
    systems = sorted(p.parent for p in path.rglob("type.raw"))
    if not systems:
        raise errors.DataError(f"{path}: expected a DeePMD folder, but found no type.raw in it")
    leaves = [system.name for system in systems]
    # Short names are used if they tell the systems apart.
    names = leaves if len({*leaves}) == len(leaves) else [_below(path, own) for own in systems]
    frames = [
        f
        for system, name in zip(systems, names, strict=True)
        for f in _read_system(system, name, quantities)
    ]
    units = {"energy": "eV", "length": "Angstrom"}
    return frame.FrameFile(frames=frames, known_keys=KNOWN_KEYS, stated_units=units)


def _below(path: pathlib.Path, system: pathlib.Path) -> str:
    return system.relative_to(path).as_posix()


def _read_system(
    system: pathlib.Path, name: str, quantities: Mapping[str, Quantity]
) -> list[frame.Frame]:
    types = _types(system / "type.raw")
    elements = _element_table(system)
    sets = sorted(system.glob("set.*"))
    if not sets:
        raise errors.DataError(f"{system}: expected folders set.000, set.001, …; found none")
    for folder in sets:
        if not folder.is_dir():
            raise errors.DataError(f"{folder}: expected a folder of npy files, found a file")
    periodic = not (system / "nopbc").exists()
    return [
        f
        for folder in sets
        for f in _read_set(folder, f"{name}/{folder.name}", types, elements, periodic, quantities)
    ]


def _declared(folder: pathlib.Path, quantities: Mapping[str, Quantity]) -> dict[str, Quantity]:
    """Declared quantities by the names of their files, in any case, without the ending."""
    names = {path.stem.casefold(): path.stem for path in sorted(folder.glob("*.npy"))}
    return {
        names[key]: quantity
        for quantity in quantities.values()
        for key in quantity.keys
        if key in names
    }


def _words(path: pathlib.Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.DataError(
            f"{path}: could not be read as text: {errors.brief(error)}"
        ) from error


def _types(path: pathlib.Path) -> np.ndarray:
    """The type of every atom; fill of systems of mixed composition stands elsewhere."""
    words = _words(path)
    wrong = [word for word in words if not (word.isascii() and word.isdigit() and len(word) < 10)]
    if wrong or not words:
        found = f"'{wrong[0][:40]}'" if wrong else "an empty file"
        raise errors.DataError(
            f"{path}: expected the type of every atom as a whole number from 0 on, found {found}"
        )
    return np.array([int(word) for word in words], np.int64)


def _element_table(system: pathlib.Path) -> np.ndarray:
    """Atomic number of each type."""
    path = system / "type_map.raw"
    if not path.exists():
        raise errors.DataError(f"{system}: expected type_map.raw with the element of each type")
    numbers = []
    for symbol in _words(path):
        number = structure.atomic_number(symbol)
        if number is None:
            raise errors.DataError(f"{path}: '{symbol[:40]}' is not the symbol of an element")
        numbers.append(number)
    return np.array(numbers, np.int64)


def _read_set(
    folder: pathlib.Path,
    name: str,
    types: np.ndarray,
    elements: np.ndarray,
    periodic: bool,
    quantities: Mapping[str, Quantity],
) -> list[frame.Frame]:
    count = len(types)
    coord = _load(folder, "coord", 3 * count)
    if coord is None:
        raise errors.DataError(f"{folder}: expected coord.npy; it is not there")
    num = len(coord)
    box = _load(folder, "box", 9, num) if periodic else None
    if periodic and box is None:
        raise errors.DataError(f"{folder}: expected box.npy, or a file nopbc beside type.raw")
    sizes = {"energy": 1, "force": 3 * count, "virial": 9}
    own = _declared(folder, quantities)
    sizes |= {key: q.components * (count if q.per == "atom" else 1) for key, q in own.items()}
    if any(q.sums_to_charge for q in quantities.values()):
        sizes["charge"] = 1
    labels = {key: _load(folder, key, size, num) for key, size in sizes.items()}
    per_atom = {"force"} | {key for key, q in own.items() if q.per == "atom"}
    mixed = _load(folder, "real_atom_types", count, num)
    frame_types = np.broadcast_to(types, (num, count))
    if mixed is not None:
        frame_types = data_numbers.whole(mixed, "types", f"{folder}/real_atom_types.npy")
    _check_types(folder, frame_types, len(elements))
    return [
        _frame(
            elements,
            frame_types[i],
            coord[i],
            None if box is None else box[i].reshape(3, 3),
            {key: value[i] for key, value in labels.items() if value is not None},
            per_atom,
            where=f"{name}, frame {i}",
        )
        for i in range(num)
    ]


def _check_types(folder: pathlib.Path, types: np.ndarray, known: int) -> None:
    if types.size and types.max() >= known:
        raise errors.DataError(
            f"{folder}: atoms have type {types.max()}, but type_map.raw names {known}"
        )
    if types.size and types.min() < -1:
        raise errors.DataError(
            f"{folder}: atoms have type {types.min()}, expected 0 and more, or -1 for fill"
        )


def _frame(
    elements: np.ndarray,
    types: np.ndarray,
    coord: np.ndarray,
    cell: np.ndarray | None,
    values: dict[str, np.ndarray],
    per_atom: Set[str],
    where: str,
) -> frame.Frame:
    """One frame without its fill atoms, periodic if it has a cell."""
    real = types >= 0
    values |= {k: v.reshape(len(types), -1)[real] for k, v in values.items() if k in per_atom}
    return frame.Frame(
        atomic_numbers=elements[types[real]],
        positions=coord.reshape(-1, 3)[real],
        cell=np.zeros((3, 3)) if cell is None else cell,
        pbc=np.full(3, cell is not None),
        values=values,
        where=where,
    )


def _load(folder: pathlib.Path, name: str, size: int, num: int | None = None) -> np.ndarray | None:
    """Returns an array [frames, size] in float64, or None where there is no such file."""
    path = folder / f"{name}.npy"
    if not path.exists():
        return None
    try:
        with path.open("rb") as file:
            array = npy.read(file, path.stat().st_size, str(path))
    except OSError as error:
        raise errors.DataError(f"{path}: could not be read: {errors.brief(error)}") from error
    if array is None:
        raise errors.DataError(f"{path}: holds Python objects, expected numbers")
    num = num if num is not None else len(array) if array.ndim else 0
    if array.size != num * size or array.shape[:1] != (num,):
        raise errors.DataError(
            f"{path}: has shape {array.shape}, expected {num} frames of {size} numbers"
        )
    return data_numbers.real(array, "the array", str(path)).reshape(num, size)
