"""Geometry, energy and forces of many frames at once, where nothing about any is out of the way.

The checks are those that ``readers`` makes of one frame, on the numbers of all frames together.
Where one fails nothing is said here: ``readers`` then goes through the frames one by one and names
the first that is wrong.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from equipot.data import structure
from equipot.data.formats import frame

FLAT = 1e-12
"""Squared volume of lattice vectors, relative to right-angled ones, up to which it is none."""

_TOGETHER = 4096  # frames, so that copies of their numbers are few at a time
_UNSURE = 4.0  # times that volume: below, a frame is looked at alone


def fields(
    frames: Sequence[frame.Frame],
    energy: tuple[str | None, float],
    forces: tuple[str | None, float],
    length: float,
) -> list[dict[str, Any]] | None:
    """Reads frames as ``readers`` does one of them.

    Args:
      frames: In the file's units.
      energy: Key of the energies and eV in the file's unit.
      forces: Key of the forces and eV/Å in the file's unit.
      length: Å in the file's unit.

    Returns:
      For each frame the fields of its structure in eV and Å, with weights of 1 or 0, but for
      stress, source, group and head; None where any frame has to be looked at alone.
    """
    found: list[dict[str, Any]] = []
    try:
        for begin in range(0, len(frames), _TOGETHER):
            found += _fields(frames[begin : begin + _TOGETHER], energy, forces, length)
    except _UnusualError:
        return None
    return found


class _UnusualError(Exception):
    """Some frame has to be looked at alone."""


def _fields(
    frames: Sequence[frame.Frame],
    energy: tuple[str | None, float],
    forces: tuple[str | None, float],
    length: float,
) -> list[dict[str, Any]]:
    sizes = [len(f.atomic_numbers) for f in frames]
    numbers = _joined([f.atomic_numbers for f in frames], [(n,) for n in sizes])
    positions = length * _joined([f.positions for f in frames], [(n, 3) for n in sizes])
    cells = length * _joined([f.cell for f in frames], [(3, 3)] * len(frames)).reshape(-1, 3, 3)
    pbc = _joined([f.pbc for f in frames], [(3,)] * len(frames), kinds="b").reshape(-1, 3)
    energies, has_energy = _energies(frames, *energy)
    labels, has_forces = _forces(frames, sizes, *forces)
    arrays = {"positions": positions, "cell": cells, "forces": labels}
    sound = not any(structure.fault(name, value) for name, value in arrays.items())
    sound = sound and _are_elements(numbers) and _are_energies(energies, sizes)
    if not (sound and all(sizes) and _span(cells, pbc)):
        raise _UnusualError
    numbers = numbers.astype(np.int64)
    ends = np.cumsum(sizes).tolist()
    return [
        {  # copies: a structure that is kept shall not keep the whole file
            "positions": positions[end - size : end].copy(),
            "atomic_numbers": numbers[end - size : end].copy(),
            "cell": cells[i].copy(),
            "pbc": pbc[i].copy(),
            "energy": energies[i],
            "forces": labels[end - size : end].copy(),
            "energy_weight": float(has_energy[i]),
            "forces_weight": float(has_forces[i]),
        }
        for i, (size, end) in enumerate(zip(sizes, ends, strict=True))
    ]


def _joined(
    arrays: Sequence[Any], shapes: Sequence[tuple[int, ...]], kinds: str = "iuf"
) -> np.ndarray:
    """Arrays of numbers after one another, each of its shape; reals unless they are logical."""
    for array, shape in zip(arrays, shapes, strict=True):
        usual = isinstance(array, np.ndarray) and array.dtype.kind in kinds
        if not usual or array.shape != shape:
            raise _UnusualError
    joined = np.concatenate(arrays)
    return joined if kinds == "b" else joined.astype(np.float64, copy=False)


def _energies(
    frames: Sequence[frame.Frame], key: str | None, scale: float
) -> tuple[list[float], list[bool]]:
    """Energies in eV, 0 for frames without, and which frames have one."""
    there = [key in item.values for item in frames]
    found = [
        _number(item.values[key]) * scale if key is not None and has else 0.0
        for item, has in zip(frames, there, strict=True)
    ]
    return found, there


def _number(value: Any) -> float:
    if isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "iuf":
        return float(value.item())
    if isinstance(value, bool) or not isinstance(value, float | int | np.floating | np.integer):
        raise _UnusualError
    return float(value)


def _forces(
    frames: Sequence[frame.Frame], sizes: Sequence[int], key: str | None, scale: float
) -> tuple[np.ndarray, list[bool]]:
    """Forces in eV/Å of all atoms, 0 for frames without, and which frames have them."""
    found, there = np.zeros((sum(sizes), 3)), [key in item.values for item in frames]
    if key is not None and any(there):
        values = [f.values[key] for f, has in zip(frames, there, strict=True) if has]
        shapes = [(n, 3) for n, has in zip(sizes, there, strict=True) if has]
        found[np.repeat(there, sizes)] = scale * _joined(values, shapes)
    return found, there


def _are_elements(numbers: np.ndarray) -> bool:
    known = (numbers >= 1) & (numbers < len(chemical_symbols)) & (numbers == np.round(numbers))
    return bool(known.all())


def _are_energies(energies: Sequence[float], sizes: Sequence[int]) -> bool:
    """Whether all are finite and can be energies of so many atoms."""
    largest = structure.LARGEST_ENERGY * np.asarray(sizes, np.float64)
    return bool((np.abs(energies) <= largest).all())


def _span(cells: np.ndarray, pbc: np.ndarray) -> bool:
    """Whether the periodic lattice vectors of every frame evidently span as many directions."""
    for flags in np.unique(pbc, axis=0):
        if flags.any():
            vectors = cells[(pbc == flags).all(axis=1)][:, flags]
            right_angled = np.prod(np.linalg.norm(vectors, axis=2), axis=1) ** 2
            squares = np.linalg.det(vectors @ vectors.transpose(0, 2, 1))
            if not (squares > _UNSURE * FLAT * right_angled).all():
                return False
    return True
