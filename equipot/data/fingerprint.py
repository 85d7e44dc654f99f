"""Digests of contents: of a configuration, to find duplicates, and of a dataset, to name it."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from equipot.data import molecules, structure

_DECIMALS = 6  # of Å, for two configurations to count as the same
_TOGETHER = 1024  # molecules that are rounded together


def configuration(item: structure.Structure) -> str:
    """Digest of elements, positions, cell and periodicity; equal for the same configuration."""
    digest = hashlib.sha256()
    digest.update(np.asarray(item.atomic_numbers, "<i8").tobytes())
    digest.update(_rounded(item.positions))
    digest.update(_rounded(item.cell[item.pbc]))
    digest.update(np.asarray(item.pbc, "<i1").tobytes())
    return digest.hexdigest()


def configurations(items: Sequence[structure.Structure]) -> list[str]:
    """``configuration`` of many structures: those of molecules of one size are rounded together."""
    found = [""] * len(items)
    for indices in molecules.by_size(items).values():
        for begin in range(0, len(indices), _TOGETHER):
            chosen = indices[begin : begin + _TOGETHER]
            rounded = _rounded(np.concatenate([items[i].positions for i in chosen]))
            width = len(rounded) // len(chosen)
            open_ = np.zeros(3, "<i1").tobytes()
            for place, index in enumerate(chosen):
                numbers = np.asarray(items[index].atomic_numbers, "<i8").tobytes()
                own = rounded[place * width : (place + 1) * width]
                found[index] = hashlib.sha256(b"".join((numbers, own, open_))).hexdigest()
    return [digest or configuration(item) for digest, item in zip(found, items, strict=True)]


def dataset(
    splits: Mapping[str, Sequence[structure.Structure]],
    isolated_atoms: Mapping[int, float],
    isolated_by_head: Mapping[str, Mapping[int, float]] | None = None,
) -> str:
    """SHA-256 of all that training sees: geometry, labels, weights, groups, heads of every split.

    Of structures in a store it is that of the store and of their indices.

    Args:
      splits: Structures of each split.
      isolated_atoms: Energies of isolated atoms in eV, by Z.
      isolated_by_head: The same for each head, where there are several.
    """
    digest = hashlib.sha256()
    for name, structures in splits.items():
        digest.update(f"{name}:{len(structures)}".encode())
        if isinstance(structures, structure.LazyStructures):
            digest.update(structures.fingerprint.encode())
            continue
        for item in structures:
            digest.update(b"".join(_parts(item)))
    for head, energies in (("", isolated_atoms), *sorted((isolated_by_head or {}).items())):
        digest.update(head.encode())
        digest.update(json.dumps({str(z): energies[z] for z in sorted(energies)}).encode())
    return digest.hexdigest()


def _parts(item: structure.Structure) -> Iterator[bytes]:
    yield np.asarray(item.atomic_numbers, "<i8").tobytes()
    yield np.asarray(item.pbc, "<i1").tobytes()
    for array in (item.positions, item.cell, item.forces, item.stress):
        yield np.asarray(array, "<f8").tobytes()
    weights = (item.energy_weight, item.forces_weight, item.stress_weight)
    yield np.array([item.energy, *weights], "<f8").tobytes()
    yield item.group.encode()
    if item.head:
        yield f"head {item.head}".encode()
    for name, label in sorted(item.others.items()):
        yield f"{name} of charge {item.charge!r}".encode()
        yield np.asarray(label.value, "<f8").tobytes()
        yield np.array([label.weight], "<f8").tobytes()


def _rounded(array: np.ndarray) -> bytes:
    return np.round(array * 10**_DECIMALS).astype("<i8").tobytes()
