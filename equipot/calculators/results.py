"""Quantities of a potential among the results of an ASE calculator, and the charge they need."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties

from equipot import errors
from equipot.quantities import Quantity

CHARGE = "charge"
"""Key of the total charge in ``atoms.info``, in elementary charges; 0 if it is missing."""

_OF_ASE = {
    "dipole": ("structure", (3,), "dipole"),
    "charges": ("atom", (), "charges"),
    "magnetic_moment": ("atom", (3,), "magmoms"),
}
"""Quantities that ASE knows by name: what each belongs to, its shape, and its name in ASE."""


def names(quantities: Sequence[Quantity]) -> dict[str, str]:
    """Name of each quantity in the results of a calculator.

    ``dipole``, ``charges`` and ``magnetic_moment`` are what ASE's ``get_dipole_moment``,
    ``get_charges`` and ``get_magnetic_moments`` ask for, if they are of the kind that ASE means. A
    quantity that has one of ASE's names but means something else is called ``own_<name>``.
    """
    found = {}
    for quantity in quantities:
        per, shape, name = _OF_ASE.get(quantity.name, ("", (), ""))
        if (per, shape) == (quantity.per, quantity.shape):
            found[quantity.name] = name
        elif quantity.name in all_properties:
            found[quantity.name] = f"own_{quantity.name}"
        else:
            found[quantity.name] = quantity.name
    return found


def of(others: Mapping[str, np.ndarray], quantities: Sequence[Quantity]) -> dict[str, Any]:
    """The results of a calculator: a number if there is one per structure, otherwise an array."""
    named = names(quantities)
    return {
        named[name]: float(value) if np.ndim(value) == 0 else value
        for name, value in others.items()
    }


def total_charge(atoms: Atoms) -> float:
    """The charge of a structure, in elementary charges.

    Raises:
      DataError: If ``atoms.info`` holds anything other than a finite number.
    """
    value = atoms.info.get(CHARGE, 0.0)
    is_number = isinstance(value, int | float | np.integer | np.floating)
    if isinstance(value, bool) or not is_number or not np.isfinite(value):
        raise errors.DataError(
            f"atoms.info['{CHARGE}']: expected the total charge, a number in elementary charges,"
            f" received {value!r}"
        )
    return float(value)
