"""What blocks of frames gave, taken together: isolated atoms, keys, units, sentences."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from equipot import errors
from equipot.data import config as data_config
from equipot.data import label_keys, label_units, readers, structure
from equipot.data.stored import sources
from equipot.quantities import every

_SAME_ENERGY = 1e-6  # eV
_COUNT = re.compile(r"\d+(?= (?:of \d+ |charged )?frames)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lone:
    """A frame of one atom in open space with an energy.

    Attributes:
      index: Of the structure in the store.
      head: Level of theory.
      number: Z.
      energy: eV.
    """

    index: int
    head: str
    number: int
    energy: float


def lone(structures: Sequence[structure.Structure], start: int = 0) -> list[Lone]:
    """The frames of one atom in open space among some structures.

    Args:
      structures: The structures.
      start: Index of the first.
    """
    return [
        Lone(index=start + i, head=s.head, number=int(s.atomic_numbers[0]), energy=s.energy)
        for i, s in enumerate(structures)
        if len(s.positions) == 1 and not s.pbc.any() and s.energy_weight > 0.0
    ]


def merged(
    seen: Sequence[sources.Seen],
    config: data_config.DataConfig,
    lone_atoms: Sequence[Lone],
    bound: Sequence[int],
) -> dict[str, Any]:
    """What the manifest of a store says of the files that it was made of.

    Args:
      seen: Of all blocks, in order.
      config: Keys and units.
      lone_atoms: Frames of one atom in open space.
      bound: Elements that occur in structures of several atoms.

    Raises:
      DataError: If blocks of a file have their labels under different keys or in different units,
        a file has no labels, or an element has two energies as an isolated atom.
    """
    by_file: dict[str, list[sources.Seen]] = {}
    for one in seen:
        by_file.setdefault(one.place, []).append(one)
    found = [line for own in by_file.values() for line in _of_file(own[0].name, own, config)]
    isolated: dict[str, dict[int, float]] = {"": {}}
    for one in seen:
        made = one.contents
        for head, energies in {"": made.isolated_atoms, **made.isolated_by_head}.items():
            for number, energy in energies.items():
                readers.add_energy(isolated.setdefault(head, {}), number, energy, one.name)
    left_out = _taken(lone_atoms, isolated, bound)
    if left_out:
        taken = {(atom.number, atom.energy) for atom in left_out}
        listed = ", ".join(f"{chemical_symbols[z]} {energy:.4f} eV" for z, energy in sorted(taken))
        found.append(
            f"{len(left_out)} frames of one atom without periodicity are taken as isolated atoms, "
            f"although not marked with config_type=IsolatedAtom, and do not train: {listed}"
        )
    keys = dict.fromkeys(key for one in seen for key in one.contents.keys_present)
    _check_configured(config, list(keys))
    return {
        "isolated_atoms": {str(z): energy for z, energy in isolated.pop("").items()},
        "isolated_by_head": {
            head: {str(z): energy for z, energy in energies.items()}
            for head, energies in isolated.items()
        },
        "left_out": [atom.index for atom in left_out],
        "found": found,
        "keys_present": list(keys),
        "length_unit_given": all(one.contents.length_unit_given for one in seen),
        "units_given": [
            name
            for name in ("energy", "forces")
            if all(name in one.contents.units_given for one in seen)
        ],
    }


def _of_file(name: str, seen: Sequence[sources.Seen], config: data_config.DataConfig) -> list[str]:
    """Sentences on one file, whose blocks must agree."""
    names = list(every(config.declared))
    counts = {own: sum(one.counts[own] for one in seen) for own in names}
    frames = sum(one.frames for one in seen)
    keys = seen[0].keys
    for one in seen[1:]:
        for label in ("energy", "forces", "stress"):
            first, other = getattr(keys, label), getattr(one.keys, label)
            if first is None and other is not None:
                keys = dataclasses.replace(keys, **{label: other})
            elif None not in (first, other) and first != other:
                raise errors.DataError(
                    f"{name}: some frames have their {label} under '{first}', others under"
                    f" '{other}'. Which one is the label? Set data.{label}_key"
                )
        keys = dataclasses.replace(keys, others={**one.keys.others, **keys.others})
    if any(len(set(_scales(label, seen))) > 1 for label in label_units.QUANTITIES):
        raise errors.DataError(
            f"{name}: frames state different units; set data.energy_unit, data.length_unit and so"
            " on for all of them, or split the file"
        )
    present = dict.fromkeys(key for one in seen for key in one.contents.keys_present)
    for label in ("energy", "forces", "stress"):
        label_keys.check_present(label, config, list(present), name)
    if frames and not any(counts.values()):
        raise errors.DataError(
            f"{name}: no labels were found. The file holds {', '.join(present) or 'no keys'}. If a"
            " label is among these, name it: data.energy_key, data.forces_key, data.stress_key"
        )
    isolated = {
        z
        for one in seen
        for own in (one.contents.isolated_atoms, *one.contents.isolated_by_head.values())
        for z in own
    }
    summary = readers.summary(counts, frames, isolated, keys, name)
    return [summary, *_once([line for one in seen for line in one.contents.found[1:]])]


def _scales(label: str, seen: Sequence[sources.Seen]) -> list[float]:
    """The units in which the blocks that have a label were read."""
    return [
        getattr(one.scales, label)
        for one in seen
        if (one.frames if label == "length" else getattr(one.keys, label) is not None)
    ]


def _once(lines: Sequence[str]) -> list[str]:
    """Sentences of all blocks, each once: their numbers of frames are added up."""
    totals: dict[str, list[int]] = {}
    for line in lines:
        counts = [int(count) for count in _COUNT.findall(line)]
        before = totals.setdefault(_COUNT.sub("{}", line), [0] * len(counts))
        before[:] = [sum(pair) for pair in zip(before, counts, strict=True)]
    return [_filled(key, counts) for key, counts in totals.items()]


def _filled(key: str, counts: Sequence[int]) -> str:
    for count in counts:
        key = key.replace("{}", str(count), 1)
    return key


def _taken(
    lone_atoms: Sequence[Lone], isolated: dict[str, dict[int, float]], bound: Sequence[int]
) -> list[Lone]:
    """Those that become isolated atoms: all of an element and level of theory have one energy."""
    candidates = [atom for atom in lone_atoms if atom.number in bound]
    energies: dict[tuple[str, int], list[float]] = {}
    for head, known in isolated.items():
        for number, energy in known.items():
            energies.setdefault((head, number), []).append(energy)
    for atom in candidates:
        energies.setdefault((atom.head, atom.number), []).append(atom.energy)
    clear = {key for key, values in energies.items() if np.ptp(values) < _SAME_ENERGY}
    taken = [atom for atom in candidates if (atom.head, atom.number) in clear]
    for atom in taken:
        isolated.setdefault(atom.head, {})[atom.number] = atom.energy
    return taken


def _check_configured(config: data_config.DataConfig, present: Sequence[str]) -> None:
    """Keys that the configuration names must be in some frame."""
    wanted: Mapping[str, str | None] = {
        option: getattr(config, option) for option in ("group_key", "weight_key")
    }
    for option, key in wanted.items():
        if key not in (None, data_config.IGNORED, *present):
            raise errors.DataError(
                f"data: no frame of any file has the key '{key}' (data.{option})."
                f"{errors.did_you_mean(str(key), present)} Keys: {', '.join(present) or 'none'}"
            )
