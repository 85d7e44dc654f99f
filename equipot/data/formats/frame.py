"""What a format reader hands on: atoms and all values of the file, still in the file's units."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One configuration as the file has it.

    Attributes:
      atomic_numbers: Z of every atom, [nodes].
      positions: In the file's unit of length, [nodes, 3].
      cell: Lattice vectors in rows, [3, 3]; zero rows where there is none.
      pbc: Which directions are periodic, [3].
      values: Whatever else the frame holds, by key: labels among it, untouched.
      where: Its place in the file, for messages: ``"frame 17"``.
      stated_units: What the frame itself says of "energy", "length", "forces" and "stress".
    """

    atomic_numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray
    pbc: np.ndarray
    values: Mapping[str, Any]
    where: str
    stated_units: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FrameFile:
    """The frames of one file or folder.

    Attributes:
      frames: In the order of the file.
      known_keys: Names under which this format keeps "energy", "forces" and "stress", in small
        letters.
      stated_units: What the file as a whole or the format says of "energy", "length", "forces" and
        "stress".
      needs_energy_unit: True where the format leaves the unit open and eV would be a guess.
    """

    frames: Sequence[Frame]
    known_keys: Mapping[str, frozenset[str]]
    stated_units: Mapping[str, str]
    needs_energy_unit: bool = False
