"""Which key of a file holds which label, and each label in eV and Å.

A stress is (1/V) ∂E/∂ε, tension positive, as ASE has it. A virial is −∂E/∂ε = −stress × volume, as
QUIP, NequIP, MACE and DeePMD have it. Nothing else about signs is guessed.

Reference: https://nequip.readthedocs.io/en/latest/guide/reference/conventions.html and
https://github.com/libAtoms/QUIP/issues/227
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from equipot import errors, units
from equipot.data import config as data_config
from equipot.data.formats import frame

Quantity = Literal["energy", "forces", "stress"]
_ASYMMETRY = 1e-2  # largest accepted |σ − σᵀ| relative to |σ|


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelKeys:
    """The key that holds each label in one file; None where there is none.

    Attributes:
      energy: Key of the total energy.
      forces: Key of the forces.
      stress: Key of the stress or virial.
      remarks: Sentences on choices a user should know of.
    """

    energy: str | None
    forces: str | None
    stress: str | None
    remarks: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scales:
    """Factors that turn a file's numbers into eV and Å.

    Attributes:
      energy: eV per unit of energy.
      length: Å per unit of length.
      forces: eV/Å per unit of force.
      stress: eV/Å³ per unit of stress, or eV per unit of a virial.
    """

    energy: float
    length: float
    forces: float
    stress: float


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
    keys = {
        quantity: _find_key(quantity, content, configured, name, remarks)
        for quantity, configured in (
            ("energy", config.energy_key),
            ("forces", config.forces_key),
            ("stress", config.stress_key),
        )
    }
    return LabelKeys(**keys, remarks=tuple(remarks))


def scales(
    content: frame.FrameFile, config: data_config.DataConfig, keys: LabelKeys, name: str
) -> Scales:
    """Works out the units: what the configuration says, else what the file states, else eV and Å.

    Raises:
      DataError: If the file states an unknown unit, or leaves open one that cannot be guessed.
    """
    given = {
        quantity: getattr(config, f"{quantity}_unit") or content.stated_units.get(quantity)
        for quantity in ("energy", "length", "forces", "stress")
    }
    if content.needs_energy_unit and given["energy"] is None and (keys.energy or keys.forces):
        raise errors.DataError(
            f"{name}: this format does not say in which unit its energies are; set "
            f"data.energy_unit (revised MD17 is in kcal/mol: data.energy_unit=kcal/mol)"
        )
    try:
        energy = units.energy_in_ev(given["energy"] or "eV")
        length = units.length_in_angstrom(given["length"] or "Angstrom")
        forces = given["forces"]
        stress = given["stress"]
        return Scales(
            energy=energy,
            length=length,
            forces=units.force_in_ev_per_angstrom(forces) if forces else energy / length,
            stress=_stress_scale(keys.stress, stress, energy, length),
        )
    except errors.ConfigError as error:
        raise errors.DataError(f"{name}: {error}. Set data.*_unit") from None


def is_virial(key: str) -> bool:
    """Whether a stress key holds a virial."""
    return "virial" in key.casefold()


def scalar(value: Any, key: str, where: str) -> float:
    """Returns the one number under a key.

    Raises:
      DataError: If it is not one finite number.
    """
    array = _numbers(value, key, where)
    if array.size != 1:
        raise errors.DataError(f"{where}: '{key}' has shape {array.shape}, expected one number")
    number = float(array.reshape(()))
    if not np.isfinite(number):
        raise errors.DataError(f"{where}: '{key}' is {number}; mend or remove the frame")
    return number


def forces(value: Any, key: str, count: int, where: str) -> np.ndarray:
    """Returns forces as the file has them, [nodes, 3].

    Raises:
      DataError: If the shape is another.
    """
    array = _numbers(value, key, where)
    if array.size == 3 * count and array.shape in ((count, 3), (3 * count,)):
        return array.reshape(count, 3)
    raise errors.DataError(f"{where}: '{key}' has shape {array.shape}, expected ({count}, 3)")


def stress(value: Any, key: str, volume: float, where: str) -> np.ndarray:
    """Returns the symmetric stress [3, 3] from a matrix, nine numbers or six (xx yy zz yz xz xy).

    Args:
      value: A stress, or a virial if the key says so.
      key: Its key.
      volume: Volume of the cell, positive; a virial is divided by it.
      where: The frame, for messages.

    Raises:
      DataError: If the shape is another, or the matrix far from symmetric.
    """
    array = _numbers(value, key, where)
    if array.shape == (6,):
        xx, yy, zz, yz, xz, xy = array
        matrix = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    elif array.shape in ((9,), (3, 3)):
        matrix = array.reshape(3, 3)
    else:
        raise errors.DataError(
            f"{where}: '{key}' has shape {array.shape}, expected (3, 3), (9,) or (6,)"
        )
    if np.linalg.norm(matrix - matrix.T) > _ASYMMETRY * np.linalg.norm(matrix):
        raise errors.DataError(
            f"{where}: '{key}' is not symmetric ({matrix.tolist()}); mend it, or set "
            f"data.stress_key=none"
        )
    symmetric = 0.5 * (matrix + matrix.T)
    return -symmetric / volume if is_virial(key) else symmetric


def _numbers(value: Any, key: str, where: str) -> np.ndarray:
    try:
        return np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise errors.DataError(f"{where}: '{key}' is {value!r}, expected numbers") from None


def _stress_scale(key: str | None, unit: str | None, energy: float, length: float) -> float:
    if key is not None and is_virial(key):
        return units.energy_in_ev(unit) if unit else energy
    return units.stress_in_ev_per_cubic_angstrom(unit) if unit and key else energy / length**3


def _find_key(
    quantity: str,
    content: frame.FrameFile,
    configured: str | None,
    name: str,
    remarks: list[str],
) -> str | None:
    if configured == data_config.IGNORED:
        return None
    present = present_keys(content.frames)
    if configured is not None:
        if configured not in present:
            guess = errors.did_you_mean(configured, present)
            raise errors.DataError(
                f"{name}: no frame has the key '{configured}' (data.{quantity}_key).{guess} "
                f"Keys in the file: {', '.join(present) or 'none'}"
            )
        return configured
    candidates = [key for key in present if key.casefold() in content.known_keys[quantity]]
    if quantity == "energy":
        candidates = _without_extrapolated(candidates, content.frames, remarks)
    if len(candidates) > 1:
        _check_agreement(quantity, candidates, content.frames, name)
    return candidates[0] if candidates else None


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
    both = [f for f in frames if "energy" in f.values and "free_energy" in f.values]
    if all(_same(f.values["energy"], f.values["free_energy"]) for f in both):
        return [key for key in candidates if key != "free_energy"]
    if any("energy" in f.values and "free_energy" not in f.values for f in frames):
        return candidates
    remarks.append(
        "'energy' and 'free_energy' differ: 'free_energy' is taken, since forces derive from it"
    )
    return [key for key in candidates if key != "energy"]


def _check_agreement(
    quantity: str, candidates: list[str], frames: Sequence[frame.Frame], name: str
) -> None:
    """Several keys are one label only if every frame that has one has all, with equal values."""
    same_kind = len({is_virial(key) for key in candidates}) == 1
    for f in frames:
        values = [f.values.get(key) for key in candidates]
        if all(value is None for value in values):
            continue
        if same_kind and all(v is not None and _same(values[0], v) for v in values):
            continue
        options = " or ".join(f"data.{quantity}_key={key}" for key in candidates)
        listed = ", ".join(
            f"'{key}' ({_brief(v)})" for key, v in zip(candidates, values, strict=True)
        )
        raise errors.DataError(
            f"{name}, {f.where}: {len(candidates)} keys may hold the {quantity}: {listed}. "
            f"Which one is the label? Set {options}"
        )


def _same(first: Any, second: Any) -> bool:
    a, b = np.asarray(first), np.asarray(second)
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-9, atol=1e-9))


def _brief(value: Any) -> str:
    if value is None:
        return "absent"
    array = np.asarray(value)
    if array.size == 1:
        return str(array.reshape(()))
    return f"{array.ravel()[0]}, …" if array.size else "empty"
