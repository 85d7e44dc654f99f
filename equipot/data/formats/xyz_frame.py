"""The ordinary frame of extended xyz: symbols and real numbers, and what ASE would make of them.

ASE takes an object apart for every number, and makes a structure with a calculator of each frame.
Where a frame holds nothing but symbols and columns of real numbers, its values are known without;
what is not such a frame is left to ASE, and so is every frame with something wrong.
"""

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from ase.data import atomic_numbers

# Names to which ASE gives a meaning: columns, and entries of the header.
_MEANT = frozenset(
    {"Z", "charge", "numbers", "symbols", "positions", "move_mask", "species", "pos"}
)
_MEANT |= frozenset({"initial_charges", "energies", "stresses", "charges", "magmoms"})
_MEANT |= frozenset({"born_effective_charges", "energy", "free_energy", "stress"})
_ODD = frozenset({"dipole", "magmom", "dielectric_tensor", "polarization"})
_NESTED = frozenset({"key_value_pairs", "data", "comment"})


class Parsed(NamedTuple):
    """A frame as ``frame.Frame`` has it, but for its place.

    Attributes:
      atomic_numbers: Z, int64, [nodes].
      positions: [nodes, 3].
      cell: Lattice vectors in rows, [3, 3].
      pbc: [3].
      values: Header, columns, then what ASE calls results, by key.
    """

    atomic_numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray
    pbc: np.ndarray
    values: dict[str, Any]


def parse(info: Mapping[str, Any], properties: str, rows: Sequence[str]) -> Parsed | None:
    """Reads a frame, or returns None where ASE has to.

    Args:
      info: The header.
      properties: What it says of the columns, or what holds where it says nothing.
      rows: One line per atom, at least one.
    """
    layout = _layout(properties)
    pbc = _pbc(info)
    if layout is None or pbc is None or _is_odd(info, layout):
        return None
    width = 1 + sum(count for _, count in layout)
    words = [row.split() for row in rows]
    if set(map(len, words)) != {width} or any("_" in row for row in rows):
        return None
    try:
        numbers = np.array([_numbers_of(word[0]) for word in words])
        table = np.array([*map(float, itertools.chain.from_iterable(word[1:] for word in words))])
        cell = np.array(info["Lattice"].T, float) if "Lattice" in info else np.zeros((3, 3))
    except (KeyError, ValueError):
        return None
    table, columns, begin = table.reshape(len(rows), width - 1), {}, 0
    for name, count in layout:
        own = table[:, begin : begin + count]
        columns[name] = own.copy() if count > 1 else own[:, 0].copy()
        begin += count
    positions = columns.pop("pos")
    return Parsed(numbers, positions, cell, pbc, _values(info, columns))


@functools.lru_cache(maxsize=64)
def _layout(properties: str) -> tuple[tuple[str, int], ...] | None:
    """Names and widths of the columns after the symbols, which come first; None if they do not."""
    fields = properties.split(":")
    triples = list(zip(fields[::3], fields[1::3], fields[2::3], strict=False))
    if len(fields) % 3 or triples[0] != ("species", "S", "1") or ("pos", "R", "3") not in triples:
        return None
    rest = triples[1:]
    expanded: list[str] = []
    for name, kind, count in rest:
        if kind != "R" or not (count.isascii() and count.isdigit() and 0 < int(count) < 1000):
            return None
        if name != "pos" and (name in _MEANT or name in _ODD or not name):
            return None
        expanded += [name] if count == "1" else [f"{name}{i}" for i in range(int(count))]
    if len({name for name, _, _ in rest}) < len(rest) or len(set(expanded)) < len(expanded):
        return None
    return tuple((name, int(count)) for name, _, count in rest)


def _is_odd(info: Mapping[str, Any], layout: Sequence[tuple[str, int]]) -> bool:
    """Whether a key stands there twice, or ASE makes something else of one."""
    names = {name for name, _ in layout}
    keys = info.keys()
    return not (keys.isdisjoint(names) and keys.isdisjoint(_ODD) and keys.isdisjoint(_NESTED))


def _pbc(info: Mapping[str, Any]) -> np.ndarray | None:
    """As ASE has it: where only a lattice stands, all directions are periodic."""
    flags = info.get("pbc", ["Lattice" in info] * 3)
    if isinstance(flags, list) and len(flags) == 3 and all(isinstance(f, bool) for f in flags):
        return np.array(flags)
    return None


@functools.lru_cache(maxsize=1024)
def _numbers_of(symbol: str) -> int:
    return atomic_numbers[symbol.capitalize()]


def _values(info: Mapping[str, Any], columns: dict[str, np.ndarray]) -> dict[str, Any]:
    """In ASE's order: what it calls results comes last, and a stress has six numbers there."""
    results = {"forces": columns.pop("forces")} if "forces" in columns else {}
    results |= {key: info[key] for key in info if key in ("energy", "free_energy", "stress")}
    if "stress" in results:
        full = np.array(results["stress"], float)
        results["stress"] = full[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    apart = ("pbc", "Lattice", "Properties", *results)
    values = {key: value for key, value in info.items() if key not in apart}
    return {k: v for k, v in (values | columns | results).items() if v is not None}
