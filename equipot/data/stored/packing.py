"""Structures as columns of numbers, what is known about each of them, and the way back."""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from equipot.data import contacts, fingerprint, structure
from equipot.quantities import DERIVED, Label, Quantity

SCALARS = ("energy", *(f"{name}_weight" for name in DERIVED), "charge")
"""Fields of a structure that are one number."""

_WORD = 64  # bits
_OTHER = "others/"  # begins the names of columns of declared quantities


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Packed:
    """Some structures as columns.

    Attributes:
      arrays: By name.
      texts: Names of groups and of levels of theory, which columns count through.
      contacts: Shortest distances in each structure.
    """

    arrays: dict[str, np.ndarray]
    texts: dict[str, list[str]]
    contacts: contacts.Contacts


def pack(items: Sequence[structure.Structure], quantities: Mapping[str, Quantity]) -> Packed:
    """Turns structures into columns.

    Args:
      items: The structures.
      quantities: The declared ones, by name.

    Raises:
      DataError: If two atoms of a structure are at the same place.
    """
    near = contacts.measure(items)
    numbers = [np.asarray(s.atomic_numbers, np.uint8) for s in items]
    digests = b"".join(bytes.fromhex(one)[:16] for one in fingerprint.configurations(items))
    sources = [s.source.encode() for s in items]
    groups, group = np.unique([s.group for s in items], return_inverse=True)
    heads, head = np.unique([s.head for s in items], return_inverse=True)
    arrays = {
        "ends": _ends([len(own) for own in numbers]),
        "positions": _joined([s.positions for s in items], (0, 3)),
        "forces": _joined([s.forces for s in items], (0, 3)),
        "atomic_numbers": np.concatenate([np.zeros(0, np.uint8), *numbers]),
        "cell": np.array([s.cell for s in items], np.float64).reshape(-1, 3, 3),
        "pbc": np.array([s.pbc for s in items], bool).reshape(-1, 3),
        "stress": np.array([s.stress for s in items], np.float64).reshape(-1, 3, 3),
        **{n: np.array([getattr(s, n) for s in items], np.float64) for n in SCALARS},
        "group": group.astype(np.int32),
        "head": head.astype(np.int32),
        "sources": np.frombuffer(b"".join(sources), np.uint8),
        "source_ends": _ends([len(own) for own in sources]),
        "digest": np.frombuffer(digests, "<u8").reshape(-1, 2),
        "elements": np.array([_bits(n.tobytes()) for n in numbers], np.uint64).reshape(-1, 2),
        **_compositions(numbers),
        "bond": near.bonds,
        "net_force": np.array([np.linalg.norm(s.forces.sum(axis=0)) for s in items], np.float64),
        "squared_forces": np.array([np.sum(np.square(s.forces)) for s in items], np.float64),
        **_others(items, quantities),
    }
    return Packed(
        arrays=arrays,
        texts={"groups": groups.tolist(), "heads": heads.tolist()},
        contacts=near,
    )


def unpack(
    arrays: Any, index: int, quantities: Mapping[str, Quantity], texts: Mapping[str, Sequence[str]]
) -> structure.Structure:
    """One structure, whose arrays are views of the columns.

    Args:
      arrays: The columns, by name.
      index: Which.
      quantities: Those whose labels are wanted, by name.
      texts: As in ``Packed``.
    """
    first, last = _span(arrays["ends"], index)
    begin, end = _span(arrays["source_ends"], index)
    others = {}
    for name, quantity in quantities.items():
        if arrays[f"{_OTHER}{name}/there"][index]:
            value = arrays[f"{_OTHER}{name}/values"]
            own = value[first:last] if quantity.per == "atom" else value[index]
            others[name] = Label(own, float(arrays[f"{_OTHER}{name}/weight"][index]))
    return structure.assemble(
        positions=arrays["positions"][first:last],
        forces=arrays["forces"][first:last],
        atomic_numbers=arrays["atomic_numbers"][first:last].astype(np.int64),
        cell=arrays["cell"][index],
        pbc=arrays["pbc"][index],
        stress=arrays["stress"][index],
        **{name: float(arrays[name][index]) for name in SCALARS},
        others=others,
        source=arrays["sources"][begin:end].tobytes().decode(),
        group=texts["groups"][arrays["group"][index]],
        head=texts["heads"][arrays["head"][index]],
    )


def column_of_weights(name: str) -> str:
    """The column of the weights of a quantity's labels, 0 where there is none."""
    return f"{name}_weight" if name in DERIVED else f"{_OTHER}{name}/weight"


def column_of_values(name: str) -> str:
    """The column of a quantity's labels, 0 where there is none."""
    return name if name in DERIVED else f"{_OTHER}{name}/values"


def elements(bits: np.ndarray) -> list[int]:
    """The atomic numbers in one or several sets of elements, [..., 2], ascending."""
    words = np.bitwise_or.reduce(bits.reshape(-1, 2), axis=0).tolist()
    return [z for z in range(2 * _WORD) if words[z // _WORD] >> (z % _WORD) & 1]


def has_element(bits: np.ndarray, number: int) -> np.ndarray:
    """Whether each set of elements holds one, [structures]."""
    shift, one = np.uint64(number % _WORD), np.uint64(1)
    return (bits[:, number // _WORD] >> shift & one).astype(bool)


def settings_text(settings: Any) -> str:
    """Plain settings as text that is equal where they are."""
    return json.dumps(settings, sort_keys=True)


def _others(
    items: Sequence[structure.Structure], quantities: Mapping[str, Quantity]
) -> dict[str, np.ndarray]:
    found = {}
    for name, quantity in quantities.items():
        labels = [s.others.get(name) for s in items]
        rows = [len(s.positions) if quantity.per == "atom" else 1 for s in items]
        values = [
            np.zeros((count, *quantity.shape))
            if label is None
            else np.asarray(label.value, np.float64).reshape(count, *quantity.shape)
            for label, count in zip(labels, rows, strict=True)
        ]
        weights = [0.0 if label is None else label.weight for label in labels]
        found |= {
            f"{_OTHER}{name}/there": np.array([label is not None for label in labels], bool),
            f"{_OTHER}{name}/weight": np.array(weights, np.float64),
            f"{_OTHER}{name}/values": np.concatenate(values),
        }
    return found


def _compositions(numbers: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Which of some compositions each structure has, and how many atoms of each element they have.

    Alike molecules share one.
    """
    known: dict[bytes, int] = {}
    which = [known.setdefault(own.tobytes(), len(known)) for own in numbers]
    every = [np.bincount(np.frombuffer(own, np.uint8), minlength=2 * _WORD) for own in known]
    table = np.array(every, np.int32).reshape(-1, 2 * _WORD)
    there = np.flatnonzero(table.any(axis=0))
    return {
        "composition": np.array(which, np.int32),
        "composition_elements": there,
        "composition_counts": table[:, there],
    }


@functools.lru_cache(maxsize=4096)
def _bits(numbers: bytes) -> tuple[int, int]:
    words = [0, 0]
    for z in set(numbers):
        words[z // _WORD] |= 1 << z % _WORD
    return words[0], words[1]


def _ends(lengths: Sequence[int]) -> np.ndarray:
    """Where each of some pieces ends, after a zero, [pieces + 1]."""
    return np.cumsum([0, *lengths], dtype=np.int64)


def _span(ends: np.ndarray, index: int) -> tuple[int, int]:
    return int(ends[index]), int(ends[index + 1])


def _joined(arrays: Sequence[np.ndarray], empty: tuple[int, ...]) -> np.ndarray:
    return np.concatenate([np.zeros(empty), *arrays])
