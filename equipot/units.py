"""Units that labels come in, by name, and what each is in eV and Å.

Constants: CODATA 2018, Tiesinga et al., Rev. Mod. Phys. 93, 025010 (2021),
doi:10.1103/RevModPhys.93.025010
"""

from collections.abc import Mapping

from equipot import errors

ELEMENTARY_CHARGE = 1.602176634e-19  # C, exact
AVOGADRO = 6.02214076e23  # 1/mol, exact
HARTREE = 27.211386245988  # eV
BOHR = 0.529177210903  # Å
KILOJOULE_PER_MOL = 1e3 / (AVOGADRO * ELEMENTARY_CHARGE)  # eV
KILOCALORIE_PER_MOL = 4.184 * KILOJOULE_PER_MOL  # eV, the thermochemical calorie
PASCAL = 1e-30 / ELEMENTARY_CHARGE  # eV/Å³

_ENERGIES: Mapping[str, float] = {
    "eV": 1.0,
    "meV": 1e-3,
    "kcal/mol": KILOCALORIE_PER_MOL,
    "kJ/mol": KILOJOULE_PER_MOL,
    "Hartree": HARTREE,
    "Ha": HARTREE,
    "mHa": 1e-3 * HARTREE,
    "Rydberg": 0.5 * HARTREE,
    "Ry": 0.5 * HARTREE,
}
_LENGTHS: Mapping[str, float] = {
    "Angstrom": 1.0,
    "Ang": 1.0,
    "A": 1.0,
    "Å": 1.0,
    "Bohr": BOHR,
    "a0": BOHR,
    "nm": 10.0,
    "pm": 0.01,
}
_PRESSURES: Mapping[str, float] = {
    "Pa": PASCAL,
    "GPa": 1e9 * PASCAL,
    "bar": 1e5 * PASCAL,
    "kbar": 1e8 * PASCAL,
    "kB": 1e8 * PASCAL,
}


def energy_in_ev(name: str) -> float:
    """Returns one ``name`` in eV: ``"kcal/mol"`` gives 0.0434.

    Raises:
      ConfigError: If no unit of energy has that name.
    """
    return _look_up(name, _ENERGIES, "energy")


def is_energy(name: str) -> bool:
    """Whether a name is that of a unit of energy."""
    try:
        energy_in_ev(name)
    except errors.ConfigError:
        return False
    return True


def length_in_angstrom(name: str) -> float:
    """Returns one ``name`` in Å: ``"Bohr"`` gives 0.529.

    Raises:
      ConfigError: If no unit of length has that name.
    """
    return _look_up(name, _LENGTHS, "length")


def force_in_ev_per_angstrom(name: str) -> float:
    """Returns one ``name``, an energy over a length such as ``"Hartree/Bohr"``, in eV/Å.

    Raises:
      ConfigError: If ``name`` is not an energy, a slash and a length.
    """
    energy, slash, length = name.rpartition("/")
    if not slash:
        raise errors.ConfigError(
            f"expected a unit of force, an energy over a length such as eV/Angstrom or "
            f"kcal/mol/Angstrom; received {name!r}"
        )
    return energy_in_ev(energy) / length_in_angstrom(length)


def stress_in_ev_per_cubic_angstrom(name: str) -> float:
    """Returns one ``name``, a pressure or an energy over a volume, in eV/Å³.

    Args:
      name: ``"GPa"``, ``"kbar"``, ``"Hartree/Bohr^3"`` and the like.

    Raises:
      ConfigError: If no unit of stress has that name.
    """
    energy, slash, volume = name.rpartition("/")
    for power in ("**3", "^3", "³", "3"):
        if slash and volume.endswith(power):
            return energy_in_ev(energy) / length_in_angstrom(volume.removesuffix(power)) ** 3
    return _look_up(name, _PRESSURES, "stress", also="eV/Angstrom^3")


def _look_up(name: str, table: Mapping[str, float], quantity: str, also: str = "") -> float:
    folded = {known.casefold(): value for known, value in table.items()}
    if name.strip() in table:
        return table[name.strip()]
    if name.strip().casefold() in folded:
        return folded[name.strip().casefold()]
    known = ", ".join([*table, also] if also else table)
    guess = errors.did_you_mean(name, table)
    raise errors.ConfigError(f"unknown unit of {quantity} {name!r}.{guess} Known: {known}")
