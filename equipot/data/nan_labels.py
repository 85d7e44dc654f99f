"""Labels that hold NaN, taken as absent where the configuration asks for it."""

import dataclasses
from typing import Any

import numpy as np

from equipot.data import config as data_config
from equipot.data.formats import frame


def without(
    content: frame.FrameFile, config: data_config.DataConfig
) -> tuple[frame.FrameFile, tuple[str, ...]]:
    """Leaves out each label with a NaN in it, as a whole: those of all atoms if one atom lacks it.

    Args:
      content: The frames of a file.
      config: Unless ``nan_labels`` is "absent", nothing is left out.

    Returns:
      The frames, and sentences on what was left out.
    """
    if config.nan_labels == "refused":
        return content, ()
    names = _names(content, config)
    dropped: dict[str, int] = {}
    frames = []
    for item in content.frames:
        bad = [k for k, v in item.values.items() if k.casefold() in names and _has_nan(v)]
        for key in bad:
            dropped[key] = dropped.get(key, 0) + 1
        kept = {key: value for key, value in item.values.items() if key not in bad}
        frames.append(dataclasses.replace(item, values=kept) if bad else item)
    remarks = tuple(
        f"'{key}' holds NaN in {count} of {len(frames)} frames, which have no such label then"
        " (data.nan_labels=absent)"
        for key, count in dropped.items()
    )
    return dataclasses.replace(content, frames=frames), remarks


def _names(content: frame.FrameFile, config: data_config.DataConfig) -> set[str]:
    """Keys under which labels may stand, in small letters."""
    given = (config.energy_key, config.forces_key, config.stress_key)
    names = {key.casefold() for key in given if key is not None}
    names.update(*content.known_keys.values())
    return names.union(*(quantity.keys for quantity in config.declared.values()))


def _has_nan(value: Any) -> bool:
    """Whether a number, or one of an array, is NaN; infinity is none."""
    array = np.asarray(value)
    return array.dtype.kind == "f" and bool(np.isnan(array).any())
