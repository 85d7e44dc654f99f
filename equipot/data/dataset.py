"""The three splits of a dataset, read according to the configuration."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from equipot import errors
from equipot import quantities as quantities_
from equipot.data import (
    columns,
    contents,
    fingerprint,
    isolated,
    lone_atoms,
    readers,
    splits,
    structure,
)
from equipot.data import config as data_config
from equipot.data.stored import folder, reading
from equipot.data.stored.structures import StoredStructures


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Structures in eV and Å, in three splits.

    Attributes:
      train: Training split, never empty.
      valid: Validation split; empty only if the configuration asks for none.
      test: Test split; may be empty.
      isolated_atoms: Energy in eV of each element with a frame marked as an isolated atom, by Z.
      fingerprint: SHA-256 over the contents.
      found: Sentences on which keys were found and what was left out.
      length_unit_given: Whether every file states its unit of length, or the configuration does.
      isolated_by_head: Isolated atoms for each head, where frames have one; these are not among
        ``isolated_atoms``.
      units_given: Which of "energy" and "forces" have a unit that every file states, or the
        configuration.
      others: Declared quantities, by name.
    """

    train: Sequence[structure.Structure]
    valid: Sequence[structure.Structure]
    test: Sequence[structure.Structure]
    isolated_atoms: Mapping[int, float]
    fingerprint: str
    found: tuple[str, ...]
    length_unit_given: bool
    isolated_by_head: Mapping[str, Mapping[int, float]] = dataclasses.field(default_factory=dict)
    units_given: tuple[str, ...] = ()
    others: Mapping[str, quantities_.Quantity] = dataclasses.field(default_factory=dict)

    @property
    def quantities(self) -> dict[str, quantities_.Quantity]:
        """All quantities that structures may be labeled with, by name."""
        return quantities_.every(self.others)

    @property
    def splits(self) -> dict[str, Sequence[structure.Structure]]:
        """The splits by name."""
        return {"train": self.train, "valid": self.valid, "test": self.test}

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers in any split, ascending."""
        return tuple(sorted(set().union(*map(structure.elements, self.splits.values()))))


def read_dataset(config: data_config.DataConfig) -> Dataset:
    """Reads every file of the configuration, and sets frames aside for splits without a file.

    Args:
      config: Files, splits, keys and units.

    Raises:
      DataError: If a file cannot be read, has no labels or wrong ones, or a split would be empty.
    """
    files = {name: _read_split(config, name) for name in ("train", "valid", "test")}
    files |= reading.other_splits(config)
    _check_weights([item for part in files.values() for item in part], config)
    files, lone = lone_atoms.take(files)
    every = [item for part in files.values() for item in part]
    names = [
        name
        for split in folder.SPLITS
        for name in config.files(split) or config.files("train")[: len(files[split])]
    ]
    known = _marked_atoms(every, names)
    pool = _structures(files["train"])
    own_files = [name for name in ("valid", "test") if files[name]]
    chosen = splits.choose(pool, config, own_files)
    parts = {name: columns.chosen(pool, indices) for name, indices in chosen.items()}
    for name in ("valid", "test"):
        if files[name]:
            own = _structures(files[name])
            parts[name] = columns.chosen(own, splits.subset(len(own), config, name))
    by_head, found = _with_own_file(known, config, parts["train"])
    atoms = by_head.pop("", {})
    return Dataset(
        train=parts["train"],
        valid=parts["valid"],
        test=parts["test"],
        isolated_atoms=atoms,
        isolated_by_head=by_head,
        fingerprint=fingerprint.dataset(parts, atoms, by_head),
        found=(
            *(line for item in every for line in item.found),
            *lone,
            *found,
            *_split_remarks(config, chosen),
        ),
        length_unit_given=all(item.length_unit_given for item in every),
        others=config.declared,
        units_given=tuple(
            name for name in ("energy", "forces") if all(name in item.units_given for item in every)
        ),
    )


def _read_split(
    config: data_config.DataConfig, split: Literal["train", "valid", "test"]
) -> list[contents.FileContents]:
    read = []
    for name in config.files(split):
        made = reading.read(name, config, split)
        if made is None:
            made = readers.read_file(name, reading.for_file(name, config, config.format))
        _check_labelled(made, name, config)
        read.append(made)
    if read and not _structures(read):
        raise errors.DataError(
            f"data.{split}: its files hold isolated atoms only, so the split is empty"
        )
    return read


def _check_weights(files: Sequence[contents.FileContents], config: data_config.DataConfig) -> None:
    """Some file must have each key of weights; frames of the others weigh 1."""
    present = sorted({key for item in files for key in item.keys_present})
    given = {"weight_key": config.weight_key}
    given |= {f"weight_keys.{name}": key for name, key in config.weight_keys.items()}
    for setting, key in given.items():
        if key is not None and key not in present:
            raise errors.DataError(
                f"data: no frame of any file has the key '{key}' (data.{setting})."
                f"{errors.did_you_mean(key, present)} Keys: {', '.join(present) or 'none'}"
            )


def _structures(files: Sequence[contents.FileContents]) -> Sequence[structure.Structure]:
    if len(files) == 1:
        return files[0].structures
    if any(isinstance(item.structures, StoredStructures) for item in files):
        raise errors.DataError(
            "data: a store is all of a split, it cannot stand in a list of files; put all into one"
            " store with equipot prepare"
        )
    return [s for item in files for s in item.structures]


def _check_labelled(made: contents.FileContents, name: str, config: data_config.DataConfig) -> None:
    names = quantities_.every(config.declared)
    if made.structures and not any(columns.any_labelled(made.structures, own) for own in names):
        keys = ", ".join(made.keys_present) or "nothing beside the atoms"
        declared = "".join(f", data.quantities.{own}.key" for own in config.declared)
        what = "labels" if config.declared else "energies, forces or stresses"
        raise errors.DataError(
            f"{name}: no {what} were found. The file holds {keys}. If a label is among these, name "
            f"it: data.energy_key, data.forces_key, data.stress_key{declared}"
        )


def _marked_atoms(
    files: Sequence[contents.FileContents], names: Sequence[str]
) -> dict[str, dict[int, float]]:
    """Energies of the isolated atoms marked in any file, by head and atomic number."""
    known: dict[str, dict[int, float]] = {}
    for item, name in zip(files, names, strict=True):
        for head, energies in {"": item.isolated_atoms, **item.isolated_by_head}.items():
            for number, energy in energies.items():
                readers.add_energy(known.setdefault(head, {}), number, energy, name)
    return known


def _with_own_file(
    marked: dict[str, dict[int, float]],
    config: data_config.DataConfig,
    train: Sequence[structure.Structure],
) -> tuple[dict[str, dict[int, float]], tuple[str, ...]]:
    """Adds the contents of the file of isolated atoms, if any, and reports what was found."""
    path = config.isolated_atoms
    if path is None:
        return marked, ()
    if config.energy_key == data_config.IGNORED:
        return marked, (f"{path}: not read, since energies are ignored",)
    own, found = isolated.read_isolated_atoms(path, reading.for_file(path, config, None))
    elements = structure.elements(train)
    used, unused = isolated.without_unused(own, elements, columns.heads(train))
    return isolated.merge(marked, used, path), (found, *unused)


def _split_remarks(
    config: data_config.DataConfig, chosen: Mapping[str, list[int] | np.ndarray]
) -> list[str]:
    if not len(chosen["valid"]) and not len(chosen["test"]):
        return []
    is_random = config.split != "sequential"
    how = f"at random (seed {config.split_seed})" if is_random else "in file order"
    how += f" from each '{config.group_key}'" if config.split == "stratified" else ""
    how = how if config.split_file is None else f"as {config.split_file} says"
    remark = (
        f"{len(chosen['valid'])} validation and {len(chosen['test'])} test frames were set aside"
        f" {how}"
    )
    if is_random and config.split_file is None:
        remark += (
            "; frames of one trajectory resemble each other, and errors on them then look too good"
        )
    return [remark]
