"""Frames of one atom alone in open space: isolated atoms, marked as such or not."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from ase.data import chemical_symbols

from equipot.data import contents, structure
from equipot.data.stored.structures import StoredStructures

_SAME_ENERGY = 1e-6  # eV

Files = Mapping[str, Sequence[contents.FileContents]]


def take(files: Files) -> tuple[dict[str, list[contents.FileContents]], list[str]]:
    """Moves frames of one atom without periodicity from the structures to the isolated atoms.

    Only where they have an energy, the same for all of an element (and level of theory), and the
    element occurs in other frames too; else they stay frames, and train.

    Args:
      files: What the files of each split gave.

    Returns:
      The same without these frames, and a sentence where there were any.
    """
    every = [item for part in files.values() for item in part]
    read = [item.structures for item in every if not isinstance(item.structures, StoredStructures)]
    structures = [s for own in read for s in own]  # stores have done the same when written
    bound = structure.elements([s for s in structures if len(s.positions) > 1])
    energies: dict[tuple[str, int], list[float]] = {}
    for head, number, energy in _marked(every):
        energies.setdefault((head, number), []).append(energy)
    lone = [s for s in structures if _is_lone(s) and int(s.atomic_numbers[0]) in bound]
    for s in lone:
        energies.setdefault((s.head, int(s.atomic_numbers[0])), []).append(s.energy)
    clear = {key for key, values in energies.items() if np.ptp(values) < _SAME_ENERGY}
    taken = {id(s) for s in lone if (s.head, int(s.atomic_numbers[0])) in clear}
    if not taken:
        return {name: list(part) for name, part in files.items()}, []
    found = sorted({(int(s.atomic_numbers[0]), s.energy) for s in lone if id(s) in taken})
    listed = ", ".join(f"{chemical_symbols[z]} {energy:.4f} eV" for z, energy in found)
    moved = {name: [_moved(item, taken) for item in part] for name, part in files.items()}
    return moved, [
        f"{len(taken)} frames of one atom without periodicity are taken as isolated atoms, "
        f"although not marked with config_type=IsolatedAtom, and do not train: {listed}"
    ]


def _is_lone(item: structure.Structure) -> bool:
    return len(item.positions) == 1 and not item.pbc.any() and item.energy_weight > 0.0


def _marked(files: Sequence[contents.FileContents]) -> list[tuple[str, int, float]]:
    plain = [("", z, energy) for item in files for z, energy in item.isolated_atoms.items()]
    return plain + [
        (head, z, energy)
        for item in files
        for head, energies in item.isolated_by_head.items()
        for z, energy in energies.items()
    ]


def _moved(item: contents.FileContents, taken: set[int]) -> contents.FileContents:
    if isinstance(item.structures, StoredStructures):
        return item
    by_head = {"": dict(item.isolated_atoms)}
    by_head |= {head: dict(energies) for head, energies in item.isolated_by_head.items()}
    for s in item.structures:
        if id(s) in taken:
            by_head.setdefault(s.head, {})[int(s.atomic_numbers[0])] = s.energy
    return dataclasses.replace(
        item,
        structures=tuple(s for s in item.structures if id(s) not in taken),
        isolated_atoms=by_head.pop(""),
        isolated_by_head=by_head,
    )
