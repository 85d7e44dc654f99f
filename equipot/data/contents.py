"""What one file gave: structures in eV and Å, isolated atoms, and sentences on what was found."""

import dataclasses
from collections.abc import Mapping, Sequence

from equipot.data import structure


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FileContents:
    """The contents of one structure file.

    Attributes:
      structures: In the order of the file, isolated atoms left out.
      isolated_atoms: Energy in eV of each element with a frame marked as an isolated atom, by Z.
      found: Sentences on keys, units and what was left out.
      keys_present: Every key the frames hold, for messages.
      length_unit_given: Whether the file or the configuration states the unit of length.
      isolated_by_head: Isolated atoms for each head, where frames have one; these are not among
        ``isolated_atoms``.
      units_given: Which of "energy" and "forces" have a unit that the file or the configuration
        states.
    """

    structures: Sequence[structure.Structure]
    isolated_atoms: Mapping[int, float]
    found: tuple[str, ...]
    keys_present: tuple[str, ...]
    length_unit_given: bool
    isolated_by_head: Mapping[str, Mapping[int, float]] = dataclasses.field(default_factory=dict)
    units_given: tuple[str, ...] = ()
