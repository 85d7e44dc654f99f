"""Labels of the quantities that a user declares: their keys, their numbers, their origin."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from equipot import errors
from equipot.data import labels, structure
from equipot.data.formats import frame
from equipot.quantities import Label, Quantity

CHARGE = "charge"
"""Key of the total charge of a structure."""


def find_keys(
    present: Sequence[str], quantities: Mapping[str, Quantity], name: str
) -> tuple[dict[str, str], list[str]]:
    """Finds the key of each quantity among those of a file; reports named ones that are missing.

    Args:
      present: Keys of the frames.
      quantities: The declared ones, by name.
      name: The file, for messages.

    Returns:
      Keys of the quantities that are there, by their names, and sentences.

    Raises:
      DataError: If two keys differ only in case.
    """
    found: dict[str, str] = {}
    remarks: list[str] = []
    for own, quantity in quantities.items():
        candidates = [key for key in present if key.casefold() in quantity.keys]
        exact = [key for key in candidates if key in quantity.keys or key == own]
        if len(exact or candidates) > 1:
            raise errors.DataError(
                f"{name}: {' and '.join(map(repr, candidates))} may both hold {own}; rename one,"
                f" and name the right one with data.quantities.{own}.key"
            )
        if candidates:
            found[own] = (exact or candidates)[0]
        elif own.casefold() not in quantity.keys:
            (key,) = quantity.keys
            guess = errors.did_you_mean(key, present)
            remarks.append(f"no frame has the key '{key}' (data.quantities.{own}.key).{guess}")
    return found, remarks


def charge(
    values: Mapping[str, Any],
    keys: Mapping[str, str],
    quantities: Mapping[str, Quantity],
    where: str,
) -> float:
    """The total charge of a frame if a quantity adds up to it, otherwise 0.

    Args:
      values: All that the frame holds, by key.
      keys: Of the quantities that the file has; one of them may be that of the total charge.
      quantities: The declared ones, by name.
      where: The frame, for messages.

    Raises:
      DataError: If it is not one finite number.
    """
    matters = any(quantity.sums_to_charge for quantity in quantities.values())
    if not matters or CHARGE not in values or CHARGE in keys.values():
        return 0.0
    return labels.scalar(values[CHARGE], CHARGE, where)


def read(
    values: Mapping[str, Any],
    keys: Mapping[str, str],
    quantities: Mapping[str, Quantity],
    weights: Mapping[str, float],
    total_charge: float,
    positions: np.ndarray,
    pbc: np.ndarray,
    where: str,
) -> dict[str, Label]:
    """The labels of one frame, by quantity.

    The dipole of a charged molecule depends on the origin, which is moved to the mean of the
    positions: μ − Q r̄. If a direction is periodic there is no such origin, and the dipole is
    left out.

    Args:
      values: All that the frame holds, by key.
      keys: Of the quantities that the file has.
      quantities: The declared ones, by name.
      weights: Of the labels of the frame in the loss, by quantity.
      total_charge: Q, in elementary charges.
      positions: Å, [nodes, 3].
      pbc: [3].
      where: The frame, for messages.

    Raises:
      DataError: If a label has another shape, or is no finite number.
    """
    found: dict[str, Label] = {}
    for name, key in keys.items():
        quantity = quantities[name]
        if key not in values or _has_no_origin(quantity, total_charge, pbc):
            continue
        value = labels.components(values[key], key, quantity, len(positions), where)
        structure.check_array(f"'{key}'", value, where)
        if quantity.charges:
            value = value - total_charge * np.mean(positions, axis=0)
        found[name] = Label(value, weights[name])
    return found


def remarks(
    frames: Sequence[frame.Frame],
    structures: Sequence[structure.Structure],
    keys: Mapping[str, str],
    quantities: Mapping[str, Quantity],
) -> list[str]:
    """Sentences on dipoles that were moved or left out, and on charges that do not add up.

    Args:
      frames: As the file has them, those of isolated atoms left out.
      structures: What was made of them, in the same order.
      keys: Of the quantities that the file has.
      quantities: The declared ones, by name.
    """
    said = []
    for name, key in keys.items():
        quantity = quantities[name]
        pairs = [(f, s) for f, s in zip(frames, structures, strict=True) if key in f.values]
        if quantity.charges:
            without = sum(_has_no_origin(quantity, s.charge, s.pbc) for _, s in pairs)
            moved = sum(s.charge != 0.0 for _, s in pairs) - without
            if moved:
                said.append(
                    f"the {name} of {moved} charged frames is moved to the mean of their positions"
                )
            if without:
                said.append(
                    f"the {name} of {without} frames is left out, because they are charged and"
                    " periodic: it depends on the origin"
                )
        if quantity.sums_to_charge and pairs:
            sums = [abs(float(np.sum(s.others[name].value)) - s.charge) for _, s in pairs]
            unit = f" {quantity.unit}" if quantity.unit else ""
            said.append(f"the {name} of a frame add up to its charge within {max(sums):.2g}{unit}")
    return said


def _has_no_origin(quantity: Quantity, total_charge: float, pbc: np.ndarray) -> bool:
    return bool(quantity.charges) and total_charge != 0.0 and bool(np.any(pbc))
