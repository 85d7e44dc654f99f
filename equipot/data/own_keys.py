"""What a user's file holds beside geometry and labels, for files that are made from it."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import ase
import numpy as np

from equipot.data import config as data_config
from equipot.data import label_keys, paths, readers
from equipot.data.formats import ase_files, deepmd, frame, mace_h5

FILE = "FILE_"
"""What stands before a user's key whose name something else has."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnKeys:
    """What one frame holds, by the user's own names.

    Attributes:
      info: Values of the frame, in the units of the file.
      arrays: Values of the atoms, in the units of the file.
      constraints: Of ASE.
      labels: Keys that labels were read from.
    """

    info: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    constraints: Sequence[Any] = ()
    labels: frozenset[str] = frozenset()

    def put(self, atoms: ase.Atoms) -> None:
        """Adds everything to a frame that holds predictions.

        A label is left out where its name is taken: it is there as ``REF_…``. So are units, which
        are no longer those of the frame; what else has a name that is taken stands under
        ``FILE_…``.

        Args:
          atoms: With predictions and labels in place.
        """
        taken = {*atoms.info, *atoms.arrays, *getattr(atoms.calc, "results", {})}
        for own, place in ((self.info, atoms.info), (self.arrays, atoms.arrays)):
            for key, value in own.items():
                if key not in taken:
                    place[key] = value
                elif key not in self.labels:
                    place[f"{FILE}{key}"] = value
        atoms.set_constraint(list(self.constraints))


def read(path: str | pathlib.Path, config: data_config.DataConfig) -> dict[str, OwnKeys]:
    """What the frames of a file hold, by where ``Structure.source`` says that they stand.

    Args:
      path: A name as ``paths.resolve`` takes it.
      config: Format and keys.

    Raises:
      DataError: If the file cannot be read.
    """
    resolved = paths.resolve(path)
    name = readers.name_of(resolved)
    chosen = config.format or resolved.suffix.removeprefix(".")
    is_h5 = chosen == "h5" or (config.format is None and mace_h5.is_h5(resolved))
    if chosen in ("deepmd", "npz") or is_h5 or deepmd.is_system(resolved):
        content = readers.read_frames(resolved, config.format, config.declared)
        known = _labels(content, config, name)
        return {f"{name}, {item.where}": _of_values(item, known) for item in content.frames}
    images = ase_files.read_images(resolved, config.format)
    content = ase_files.as_frames(images, resolved.name)
    known = _labels(content, config, name)
    pairs = zip(content.frames, images, strict=True)
    return {f"{name}, {item.where}": _of_image(item, image, known) for item, image in pairs}


def _labels(content: frame.FrameFile, config: data_config.DataConfig, name: str) -> frozenset[str]:
    keys = label_keys.find_keys(content, config, name)
    return frozenset({keys.energy, keys.forces, keys.stress, *keys.others.values()} - {None})


def _of_image(item: frame.Frame, image: ase.Atoms, labels: frozenset[str]) -> OwnKeys:
    of_atoms = {*image.arrays} | {
        key
        for key, value in getattr(image.calc, "results", {}).items()
        if np.ndim(value) and len(value) == len(image) and key not in ("dipole", "stress")
    }
    return _sorted(item, {key for key in item.values if key in of_atoms}, labels, image.constraints)


def _of_values(item: frame.Frame, labels: frozenset[str]) -> OwnKeys:
    """Of a format without names for what belongs to atoms: their vectors, if it can be told."""
    count = len(item.atomic_numbers)
    found = {k for k, v in item.values.items() if np.shape(v) == (count, 3) and count != 3}
    return _sorted(item, found, labels)


def _sorted(
    item: frame.Frame, of_atoms: set[str], labels: frozenset[str], constraints: Sequence[Any] = ()
) -> OwnKeys:
    kept = {k: v for k, v in item.values.items() if k not in ase_files.STATING}
    return OwnKeys(
        info={key: value for key, value in kept.items() if key not in of_atoms},
        arrays={key: np.asarray(value) for key, value in kept.items() if key in of_atoms},
        constraints=constraints,
        labels=labels,
    )
