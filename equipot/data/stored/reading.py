"""A store where a configuration names files: its structures, and what its manifest says of them."""

import dataclasses
from typing import Any

import numpy as np

from equipot.data import config as data_config
from equipot.data import contents, label_keys, paths, readers
from equipot.data.stored import folder
from equipot.data.stored.structures import StoredStructures

_LATER = "nan_labels", "weight_keys"
_UNITS = "energy_unit", "length_unit", "forces_unit", "stress_unit"
_KEYS = "energy_key", "forces_key", "stress_key", "group_key", "weight_key"


def read(
    name: str, config: data_config.DataConfig, split: folder.Split
) -> contents.FileContents | None:
    """What a store gives to a split; None if a name is not that of a store.

    A store that is named for training gives what it was written with as ``data.train``; its
    other structures are those of ``other_splits``. Named for another split, it gives all it has.

    Args:
      name: As ``paths.resolve`` takes it.
      config: Settings of reading must be those that the store was written with, or left out.
      split: Which.

    Raises:
      DataError: If the store is damaged or was written with other settings.
    """
    path = paths.resolve(name)
    if not folder.is_store(path):
        return None
    own = folder.opened(path)
    own.check_settings(_given(config, own))
    names = folder.SPLITS if split != "train" else ("train",)
    return _contents(own, *names)


def settings(config: data_config.DataConfig) -> dict[str, Any]:
    """Settings of reading as a store keeps them.

    Those that stores of earlier versions did not know are left out where they have their defaults,
    so that these stay the stores of runs that began with them.
    """
    usual = data_config.DataConfig(train="-").of_reading()
    found = config.of_reading()
    return {k: v for k, v in found.items() if k not in _LATER or v != usual[k]}


def for_file(
    name: str, config: data_config.DataConfig, format: str | None
) -> data_config.DataConfig:
    """The settings by which a file beside a store for training is read.

    The key of the level of theory, other keys that the file has, and units where it states none are
    those that the store was written with, if they are left out.

    Args:
      name: Of the file, as ``paths.resolve`` takes it.
      config: The settings.
      format: Of the file; None goes by its name.
    """
    path = paths.resolve(config.files("train")[0])
    if not folder.is_store(path):
        return config
    content = readers.read_frames(paths.resolve(name), format, config.declared)
    states_units = content.stated_units or any(item.stated_units for item in content.frames)
    written = folder.opened(path).manifest["settings"]
    there = {*label_keys.present_keys(content.frames), data_config.IGNORED}
    keys = [name for name in _KEYS if written.get(name) in there]
    names = ("head_key", *keys, *(() if states_units else _UNITS))
    left_out = {
        name: written[name]
        for name in names
        if getattr(config, name) is None and written.get(name) is not None
    }
    return dataclasses.replace(config, **left_out)


def other_splits(config: data_config.DataConfig) -> dict[str, list[contents.FileContents]]:
    """Validation and test structures that a store for training has, where no files are named."""
    names = config.files("train")
    path = paths.resolve(names[0])
    if len(names) != 1 or not folder.is_store(path):
        return {}
    own = folder.opened(path)
    wanted = [
        split
        for split in folder.SPLITS[1:]
        if not config.files(split) and own.manifest["splits"][split]
    ]
    none = {"isolated_atoms": {}, "isolated_by_head": {}, "found": ()}
    return {split: [dataclasses.replace(_contents(own, split), **none)] for split in wanted}


def _given(config: data_config.DataConfig, own: folder.Folder) -> dict[str, Any]:
    """Settings that are not left out; of quantities those that are declared.

    What to do with NaN does not matter: a store has none.
    """
    every, usual = config.of_reading(), data_config.DataConfig(train="-").of_reading()
    known = own.manifest["settings"]["quantities"]
    found = {
        k: v for k, v in every.items() if v != usual[k] and k not in ("quantities", "nan_labels")
    }
    if every["quantities"] and any(known.get(k) != v for k, v in every["quantities"].items()):
        found["quantities"] = every["quantities"]
    return found


def _contents(own: folder.Folder, *splits: str) -> contents.FileContents:
    said = own.manifest
    indices = np.concatenate([own.indices(split) for split in splits])
    return contents.FileContents(
        structures=StoredStructures(own, indices),
        isolated_atoms={int(z): energy for z, energy in said["isolated_atoms"].items()},
        isolated_by_head={
            head: {int(z): energy for z, energy in energies.items()}
            for head, energies in said["isolated_by_head"].items()
        },
        found=(*said["found"], f"{own.path.name}: a store of {len(own)} structures"),
        keys_present=tuple(said["keys_present"]),
        length_unit_given=said["length_unit_given"],
        units_given=tuple(said["units_given"]),
    )
