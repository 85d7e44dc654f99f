"""The units of a file: what the configuration says, else what the file states, else eV and Å."""

import dataclasses
from collections.abc import Mapping, Sequence

from equipot import errors, units
from equipot.data import config as data_config
from equipot.data import label_keys, labels
from equipot.data.formats import frame
from equipot.quantities import DERIVED

QUANTITIES = (*DERIVED, "length")
"""What has a unit that a file may state."""


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


def scales(
    content: frame.FrameFile, config: data_config.DataConfig, keys: label_keys.LabelKeys, name: str
) -> Scales:
    """Works out the units of a file.

    Args:
      content: The frames of one file.
      config: May give units.
      keys: Where the labels are.
      name: The file, for messages.

    Raises:
      DataError: If the file states an unknown unit, states one in some frames only, or leaves open
        one that cannot be guessed.
    """
    given = stated(content, config, keys, name) | in_settings(config)
    if content.needs_energy_unit and "energy" not in given and (keys.energy or keys.forces):
        raise errors.DataError(
            f"{name}: this format does not say in which unit its energies are; set "
            f"data.energy_unit (revised MD17 is in kcal/mol: data.energy_unit=kcal/mol)"
        )
    try:
        return scales_of(given, keys.stress)
    except errors.ConfigError as error:
        raise errors.DataError(f"{name}: {error}. Set data.*_unit") from None


def in_settings(config: data_config.DataConfig) -> dict[str, str]:
    """The units that the configuration gives, by quantity."""
    return {q: unit for q in QUANTITIES if (unit := getattr(config, f"{q}_unit"))}


def scales_of(given: Mapping[str, str], stress_key: str | None) -> Scales:
    """Factors that turn numbers in some units into eV and Å.

    Args:
      given: Units by quantity; of those left out eV and Å, or what follows from the others.
      stress_key: Where the stress is, which may be a virial.

    Raises:
      ConfigError: At an unknown unit.
    """
    energy = units.energy_in_ev(given.get("energy", "eV"))
    length = units.length_in_angstrom(given.get("length", "Angstrom"))
    forces = given.get("forces")
    return Scales(
        energy=energy,
        length=length,
        forces=units.force_in_ev_per_angstrom(forces) if forces else energy / length,
        stress=_stress_scale(stress_key, given.get("stress"), energy, length),
    )


def stated(
    content: frame.FrameFile, config: data_config.DataConfig, keys: label_keys.LabelKeys, name: str
) -> dict[str, str]:
    """Units that the file states for all frames they matter to, by quantity.

    Args:
      content: The frames of one file.
      config: What it gives is not looked for.
      keys: Where the labels are.
      name: The file, for messages.

    Raises:
      DataError: If two frames state different units, or one does and another does not.
    """
    found: dict[str, str] = {}
    any_states = any(f.stated_units for f in content.frames)
    for quantity in QUANTITIES:
        if getattr(config, f"{quantity}_unit") is not None:
            continue
        frames = _concerned(quantity, content.frames, keys)
        if not any_states:
            frames = frames[:1]  # what the file says holds for all alike
        by_unit = {_unit(quantity, f, content): f for f in reversed(frames)}  # first frame of each
        if len({unit.casefold() for unit in by_unit}) > 1:
            listed = ", ".join(
                f"{f.where} {f'states {unit}' if unit else 'states none'}"
                for unit, f in sorted(by_unit.items(), key=lambda entry: entry[1].where)
            )
            raise errors.DataError(
                f"{name}: its frames differ in the unit of {quantity}: {listed}; state it in "
                f"every frame, converted to one, or set data.{quantity}_unit"
            )
        unit = next(iter(by_unit), "")
        if unit:
            found[quantity] = unit
    return found


def overruled(content: frame.FrameFile, config: data_config.DataConfig) -> list[str]:
    """Sentences on units that the file states and the configuration gives otherwise."""
    remarks = []
    for quantity in QUANTITIES:
        wanted: str | None = getattr(config, f"{quantity}_unit")
        if wanted is None:
            continue
        there = dict.fromkeys(_unit(quantity, f, content) for f in content.frames)
        for unit in there:
            if unit and unit.casefold() != wanted.casefold():
                remarks.append(
                    f"the file states {unit} for {quantity}, the configuration says {wanted}: "
                    f"{wanted} is used"
                )
    return remarks


def _unit(quantity: str, item: frame.Frame, content: frame.FrameFile) -> str:
    return item.stated_units.get(quantity) or content.stated_units.get(quantity) or ""


def _concerned(
    quantity: str, frames: Sequence[frame.Frame], keys: label_keys.LabelKeys
) -> list[frame.Frame]:
    """Frames with numbers that the unit applies to."""
    if quantity == "length":
        return list(frames)
    every = (keys.energy, keys.forces, keys.stress)
    own = every if quantity == "energy" else (getattr(keys, quantity),)
    return [f for f in frames if any(key is not None and key in f.values for key in own)]


def _stress_scale(key: str | None, unit: str | None, energy: float, length: float) -> float:
    if key is not None and labels.is_virial(key):
        return units.energy_in_ev(unit) if unit else energy
    return units.stress_in_ev_per_cubic_angstrom(unit) if unit and key else energy / length**3
