"""Which key of a file holds which label, and whether several keys are one label."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from equipot import errors
from equipot.data import config as data_config
from equipot.data import declared, labels
from equipot.data.formats import frame
from equipot.quantities import DERIVED

_RTOL = 1e-9
_ATOL = 1e-9  # in the file's units
_VIRIAL_RTOL = 1e-4  # of the norm: files round a stress and its virial apart
_VIRIAL_ATOL = 1e-7  # of a stress, in the file's units


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelKeys:
    """The key that holds each label in one file; None where there is none.

    Attributes:
      energy: Key of the total energy.
      forces: Key of the forces.
      stress: Key of the stress or virial.
      others: Keys of the declared quantities that the file has, by name.
      remarks: Sentences on choices a user should know of.
    """

    energy: str | None
    forces: str | None
    stress: str | None
    others: Mapping[str, str] = dataclasses.field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def find_keys(content: frame.FrameFile, config: data_config.DataConfig, name: str) -> LabelKeys:
    """Finds the key of every label, asking where more than one would do.

    Args:
      content: The frames of one file.
      config: May name the keys.
      name: The file, for messages.

    Raises:
      DataError: If a configured key is in no frame, or two keys disagree about a label.
    """
    remarks: list[str] = []
    keys = {quantity: _find_key(quantity, content, config, name, remarks) for quantity in DERIVED}
    others, missing = declared.find_keys(present_keys(content.frames), config.declared, name)
    return LabelKeys(**keys, others=others, remarks=(*remarks, *missing))


def _find_key(
    quantity: str,
    content: frame.FrameFile,
    config: data_config.DataConfig,
    name: str,
    remarks: list[str],
) -> str | None:
    configured: str | None = getattr(config, f"{quantity}_key")
    if configured == data_config.IGNORED:
        return None
    present = present_keys(content.frames)
    if configured is not None:
        check_present(quantity, config, present, name)
        return configured
    candidates = [key for key in present if key.casefold() in content.known_keys[quantity]]
    if quantity == "energy":
        candidates = _without_extrapolated(candidates, content.frames, remarks)
    if len(candidates) > 1:
        candidates.sort(key=labels.is_virial)  # of a stress and its virial, the stress
        is_given = config.stress_unit is not None or any(
            "stress" in (*content.stated_units, *f.stated_units) for f in content.frames
        )
        _check_agreement(quantity, candidates, content.frames, name, is_given)
    return candidates[0] if candidates else None


def check_present(
    quantity: str, config: data_config.DataConfig, present: Sequence[str], name: str
) -> None:
    """Refuses a configured key that no frame of a file has.

    Args:
      quantity: Energy, forces or stress.
      config: Its key, if it is given.
      present: Keys of the frames.
      name: The file, for messages.

    Raises:
      DataError: With the keys that there are.
    """
    configured: str | None = getattr(config, f"{quantity}_key")
    if configured not in (None, data_config.IGNORED, *present):
        guess = errors.did_you_mean(str(configured), present)
        raise errors.DataError(
            f"{name}: no frame has the key '{configured}' (data.{quantity}_key).{guess} "
            f"Keys in the file: {', '.join(present) or 'none'}"
        )


def present_keys(frames: Sequence[frame.Frame]) -> list[str]:
    """Keys that at least one frame has, in order of appearance."""
    return list(dict.fromkeys(key for f in frames for key in f.values))


def _without_extrapolated(
    candidates: list[str], frames: Sequence[frame.Frame], remarks: list[str]
) -> list[str]:
    """Of ``energy`` and ``free_energy`` keeps the one the forces are derivatives of.

    Codes with smeared occupations give both: the energy extrapolated to zero smearing and the free
    energy. Forces are derivatives of the latter.
    """
    if not {"energy", "free_energy"} <= set(candidates):
        return candidates
    free = [f for f in frames if "free_energy" in f.values]
    both = [f for f in free if "energy" in f.values]
    are_same = all(_same(f.values["energy"], f.values["free_energy"]) for f in both)
    if are_same and len(both) == len(free):
        return [key for key in candidates if key != "free_energy"]
    if any("energy" in f.values and "free_energy" not in f.values for f in frames):
        return candidates
    if are_same:
        return [key for key in candidates if key != "energy"]
    remarks.append(
        "'energy' and 'free_energy' differ: 'free_energy' is taken, since forces derive from it"
    )
    return [key for key in candidates if key != "energy"]


def _same(first: Any, second: Any) -> bool:
    """Whether two values of a file are equal to rounding."""
    a, b = np.asarray(first), np.asarray(second)
    if a.shape != b.shape or a.dtype.kind not in "iuf" or b.dtype.kind not in "iuf":
        return bool(np.array_equal(a, b))
    return bool(np.allclose(a, b, rtol=_RTOL, atol=_ATOL))


def _check_agreement(
    quantity: str,
    candidates: Sequence[str],
    frames: Sequence[frame.Frame],
    name: str,
    is_stress_unit_given: bool,
) -> None:
    """Several keys are one label only if every frame that has one has all, with equal values.

    Stresses are equal in any of their shapes, and a virial equals its own stress unless stresses
    have a unit of their own.
    """
    mixed = len({labels.is_virial(key) for key in candidates}) > 1
    for item in frames:
        values = {key: item.values.get(key) for key in candidates}
        if all(value is None for value in values.values()):
            continue
        if all(value is not None for value in values.values()):
            first = candidates[0]
            if quantity != "stress":
                agree = all(_same(values[first], value) for value in values.values())
            else:
                agree = not (mixed and is_stress_unit_given) and _same_stress(item, values, name)
            if agree:
                continue
        options = " or ".join(f"data.{quantity}_key={key}" for key in candidates)
        listed = ", ".join(f"'{key}' ({_brief(value)})" for key, value in values.items())
        raise errors.DataError(
            f"{name}, {item.where}: {len(candidates)} keys may hold the {quantity}: {listed}. "
            f"Which one is the label? Set {options}"
        )


def _same_stress(item: frame.Frame, values: dict[str, Any], name: str) -> bool:
    """Whether stresses and virials of a frame are one, in the units of the file."""
    where = f"{name}, {item.where}"
    arrays = [(labels.is_virial(key), labels.matrix(v, key, where)) for key, v in values.items()]
    mixed = len({is_virial for is_virial, _ in arrays}) > 1
    if not mixed:
        return all(_same(arrays[0][1], other) for _, other in arrays)
    with np.errstate(over="ignore", invalid="ignore"):
        volume = abs(np.linalg.det(np.asarray(item.cell, np.float64)))
        if not (np.all(item.pbc) and np.isfinite(volume) and volume > 0.0):
            return False
        stresses = [-array / volume if is_virial else array for is_virial, array in arrays]
        allowed = _VIRIAL_RTOL * np.linalg.norm(stresses[0]) + _VIRIAL_ATOL
        return all(np.linalg.norm(stresses[0] - other) <= allowed for other in stresses)


def _brief(value: Any) -> str:
    if value is None:
        return "absent"
    array = np.asarray(value)
    if array.size == 1:
        return str(array.reshape(()))
    return f"{array.ravel()[0]}, …" if array.size else "empty"
