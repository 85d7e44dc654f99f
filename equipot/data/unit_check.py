"""A stop where energies or forces are evidently in another unit than eV and eV/Å."""

import math

from equipot import errors, units
from equipot.data import columns, energy_scale
from equipot.data import dataset as data_dataset

_MOST = 5_000  # structures of a store that are looked at
_ENERGIES = {
    "kcal/mol": units.KILOCALORIE_PER_MOL,
    "kJ/mol": units.KILOJOULE_PER_MOL,
    "Hartree": units.HARTREE,
    "Rydberg": 0.5 * units.HARTREE,
}
_FORCES = {
    "kcal/mol/Angstrom": units.KILOCALORIE_PER_MOL,
    "kJ/mol/Angstrom": units.KILOJOULE_PER_MOL,
    "Hartree/Bohr": units.HARTREE / units.BOHR,
    "Rydberg/Bohr": 0.5 * units.HARTREE / units.BOHR,
    "kJ/mol/nm": 0.1 * units.KILOJOULE_PER_MOL,
}
_STIFFNESS = 5.0  # times too stiff or too soft; right labels were found within 1.25
_STRETCH = (0.25, 15.0)  # right labels were found between 0.8 and 5.2
_ALL_ELECTRONS = (0.985, 1.03)  # right labels were found between 1.001 and 1.010


def check(dataset: data_dataset.Dataset) -> None:
    """Compares the labels of the training split with what they must be in eV and Å.

    Of a store, 5 000 structures at random are looked at.

    Units that the configuration or the file states are believed.

    Raises:
      DataError: Naming the probable units and the settings, if the labels cannot be in eV.
    """
    if {"energy", "forces"} <= set(dataset.units_given):
        return
    train = columns.drawn(dataset.train, _MOST)
    stiffness = energy_scale.bond_stiffness(train)
    stretch = energy_scale.stretch_ratio(train)
    total = energy_scale.all_electron_ratio(train)
    forces, reason = "", ""
    if "forces" not in dataset.units_given and stiffness is not None:
        forces, reason = _forces_unit(stiffness)
    energy = ""
    if "energy" not in dataset.units_given:
        energy, cause = _energy_unit(forces, stretch, total)
        reason = reason or cause
    if not reason:
        return
    named = [
        f"{what} look like {unit}"
        for what, unit in (("energies", energy), ("forces", forces))
        if unit not in ("", "eV")
    ]
    settings = [f"data.energy_unit={energy}"] if energy else []
    if forces or stiffness is not None:
        settings.append(f"data.forces_unit={forces or 'eV/Angstrom'}")
    raise errors.DataError(
        f"{' and '.join(named)}, not eV and Å: {reason}. Set {' '.join(settings)}; or, if they are "
        f"right, data.energy_unit=eV data.forces_unit=eV/Angstrom"
    )


def _forces_unit(stiffness: float) -> tuple[str, str]:
    """The unit of forces that explains how stiff bonds are, and a sentence; empty for eV/Å."""
    if 1.0 / _STIFFNESS < stiffness < _STIFFNESS:
        return "", ""
    unit = min(_FORCES, key=lambda name: abs(math.log(stiffness * _FORCES[name])))
    much = (
        f"{stiffness:.3g} times stiffer" if stiffness > 1 else f"{1 / stiffness:.3g} times softer"
    )
    near = "; Hartree/Angstrom is as near" if unit == "Rydberg/Bohr" else ""
    return unit, f"by the forces, bonds between nonmetals are {much} than such bonds are{near}"


def _energy_unit(forces: str, stretch: float | None, total: float | None) -> tuple[str, str]:
    """The unit of energies, and a sentence; empty for eV."""
    low, high = _ALL_ELECTRONS
    for unit in ("kcal/mol", "kJ/mol", "Hartree"):
        if total is not None and low < total * _ENERGIES[unit] < high:
            agrees = stretch is not None and _STRETCH[0] < stretch < _STRETCH[1]
            if not (agrees and not forces):
                return unit, (
                    f"the energies are {total:.4g} times the sum of the total energies of the "
                    f"atoms in eV, all electrons counted"
                )
    own = forces.rpartition("/")[0] if forces else "eV"
    size = _FORCES[forces] if forces else 1.0
    known = {"eV": 1.0, **_ENERGIES}
    if stretch is None:
        return ("" if own == "eV" else own), ""
    fits = [
        unit for unit, value in known.items() if _STRETCH[0] < stretch * value / size < _STRETCH[1]
    ]
    if own in fits or not fits:
        return ("" if own == "eV" else own), ""
    others = f"; {' or '.join(fits[1:])} would do too" if fits[1:] else ""
    return fits[0], (
        f"the energies vary {stretch:.2g} times as much with the lengths of bonds as the forces "
        f"along them say{others}"
    )
