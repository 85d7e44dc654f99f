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
"""Squared volume of lattice vectors, relative to right-angled ones, that is none."""

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
    for begin in range(0, len(frames), _TOGETHER):
        chosen = frames[begin : begin + _TOGETHER]
        own = _fields(chosen, energy, forces, length)
        if own is None:
            return None
        found += own
    return found


def _fields(
    frames: Sequence[frame.Frame],
    energy: tuple[str | None, float],
    forces: tuple[str | None, float],
    length: float,
) -> list[dict[str, Any]] | None:
    sizes = [len(f.atomic_numbers) for f in frames]
    numbers = _joined([f.atomic_numbers for f in frames], [(n,) for n in sizes])
    positions = _joined([f.positions for f in frames], [(n, 3) for n in sizes])
    cells = _joined([f.cell for f in frames], [(3, 3)] * len(frames))
    pbc = _joined([f.pbc for f in frames], [(3,)] * len(frames), kinds="b")
    energies, has_energy = _energies(frames, *energy)
    labels, has_forces = _forces(frames, sizes, *forces)
    if any(part is None for part in (numbers, positions, cells, pbc, energies, labels)):
        return None
    positions, cells = positions * length, (cells * length).reshape(-1, 3, 3)
    pbc = pbc.reshape(-1, 3)
    arrays = {"positions": positions, "cell": cells, "forces": labels}
    sound = not any(structure.fault(name, value) for name, value in arrays.items())
    if not (sound and _are_elements(numbers) and _are_energies(energies, sizes)):
        return None
    if not (all(sizes) and _span(cells, pbc)):
        return None
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
) -> np.ndarray | None:
    """Arrays of these shapes after one another; None where one is no such array of numbers."""
    for array, shape in zip(arrays, shapes, strict=True):
        if not isinstance(array, np.ndarray) or array.dtype.kind not in kinds:
            return None
        if array.shape != shape:
            return None
    joined = np.concatenate(arrays)
    return joined if kinds == "b" else joined.astype(np.float64, copy=False)


def _energies(
    frames: Sequence[frame.Frame], key: str | None, scale: float
) -> tuple[list[float] | None, list[bool]]:
    """Energies in eV, 0 for frames without, and which have one; None where one is no number."""
    found, there = [], []
    for item in frames:
        value = item.values.get(key) if key is not None else None
        there.append(key is not None and key in item.values)
        if isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "iuf":
            value = value.item()
        if isinstance(value, bool) or not isinstance(value, float | int | np.floating | np.integer):
            if there[-1]:
                return None, there
            value = 0.0
        found.append(float(value) * scale if there[-1] else 0.0)
    return found, there


def _forces(
    frames: Sequence[frame.Frame], sizes: Sequence[int], key: str | None, scale: float
) -> tuple[np.ndarray | None, list[bool]]:
    """Forces in eV/Å of all atoms, 0 for frames without, and which frames have them."""
    there = [key is not None and key in item.values for item in frames]
    if key is None or not any(there):
        return np.zeros((sum(sizes), 3)), there
    values = [f.values[key] for f, has in zip(frames, there, strict=True) if has]
    own = _joined(values, [(n, 3) for n, has in zip(sizes, there, strict=True) if has])
    if own is None:
        return None, there
    found = np.zeros((sum(sizes), 3))
    found[np.repeat(there, sizes)] = own * scale
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
