"""Each label as real numbers in one shape, with its sign.

A stress is (1/V) ∂E/∂ε, tension positive, as ASE has it. A virial is −∂E/∂ε = −stress × volume, as
QUIP, NequIP, MACE and DeePMD have it. Nothing else about signs is guessed.

Reference: https://nequip.readthedocs.io/en/latest/guide/reference/conventions.html and
https://github.com/libAtoms/QUIP/issues/227
"""

from typing import Any

import numpy as np

from equipot import errors
from equipot.data import numbers
from equipot.quantities import Quantity

_ASYMMETRY = 1e-2  # largest accepted |σ − σᵀ| relative to |σ|
_ROUNDING = 1e-6  # eV/Å³, accepted whatever |σ| is: 1.6 bar


def is_virial(key: str) -> bool:
    """Whether a stress key holds a virial."""
    return "virial" in key.casefold()


def scalar(value: Any, key: str, where: str) -> float:
    """Returns the one number under a key.

    Raises:
      DataError: If it is not one finite number.
    """
    array = numbers.real(value, f"'{key}'", where)
    if array.size != 1:
        raise errors.DataError(f"{where}: '{key}' has shape {array.shape}, expected one number")
    number = float(array.reshape(()))
    if not np.isfinite(number):
        raise errors.DataError(f"{where}: '{key}' is {number}; mend or remove the frame")
    return number


def forces(value: Any, key: str, count: int, where: str) -> np.ndarray:
    """Returns forces as the file has them, [nodes, 3].

    Raises:
      DataError: If the shape is another, or they are no real numbers.
    """
    array = numbers.real(value, f"'{key}'", where)
    if array.size == 3 * count and array.shape in ((count, 3), (3 * count,)):
        return array.reshape(count, 3)
    raise errors.DataError(f"{where}: '{key}' has shape {array.shape}, expected ({count}, 3)")


def stress(value: Any, key: str, volume: float, where: str, scale: float = 1.0) -> np.ndarray:
    """Returns the symmetric stress [3, 3] in eV/Å³ from what a file has under a key.

    Args:
      value: A stress, or a virial if the key says so, in one of the shapes of ``matrix``.
      key: Its key.
      volume: Volume of the cell in Å³, positive; a virial is divided by it.
      where: The frame, for messages.
      scale: eV/Å³ per unit of the stress, or eV per unit of the virial.

    Raises:
      DataError: If the shape is another, or the matrix far from symmetric.
    """
    full = matrix(value, key, where)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused as infinite
        converted = full * scale * (-1.0 / volume if is_virial(key) else 1.0)
        if not _is_symmetric(converted, _ROUNDING):
            raise errors.DataError(
                f"{where}: '{key}' is not symmetric ({full.tolist()}); mend it, or set "
                f"data.stress_key=none"
            )
        return 0.5 * (converted + converted.T)


def components(value: Any, key: str, quantity: Quantity, count: int, where: str) -> np.ndarray:
    """Returns the label of a declared quantity, of its shape or [nodes, ...] of it.

    Args:
      value: What the file has under the key; a symmetric matrix in one of the shapes of ``matrix``,
        else all numbers of the label, those of one atom after those of another.
      key: The key.
      quantity: What it is.
      count: Number of atoms.
      where: The frame, for messages.

    Raises:
      DataError: If the shape is another, a matrix is not symmetric, or they are no real numbers.
    """
    per_atom = (count,) if quantity.per == "atom" else ()
    wanted = (*per_atom, *quantity.shape)
    array = numbers.real(value, f"'{key}'", where)
    if quantity.shape == (3, 3):
        if not per_atom:
            return _symmetric(array, key, where)
        if array.shape[:1] == per_atom:
            return np.array([_symmetric(row, key, where) for row in array])
    elif array.size == np.prod(wanted) and (array.ndim < 2 or _long(array.shape) == _long(wanted)):
        return array.reshape(wanted)
    many = f"the shape {wanted}" if wanted else "one number"
    raise errors.DataError(
        f"{where}: '{key}' has shape {array.shape}, expected {many}, {quantity.irreps} per"
        f" {quantity.per} (data.quantities.{quantity.name})"
    )


def _long(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without its axes of length one."""
    return tuple(length for length in shape if length > 1)


def _symmetric(value: np.ndarray, key: str, where: str) -> np.ndarray:
    full = matrix(value, key, where)
    if not _is_symmetric(full, 0.0):
        raise errors.DataError(
            f"{where}: '{key}' is not symmetric ({full.tolist()}), as 0e+2e is; mend it"
        )
    return 0.5 * (full + full.T)


def _is_symmetric(full: np.ndarray, rounding: float) -> bool:
    asymmetry = np.linalg.norm(full - full.T)
    return not asymmetry > max(_ASYMMETRY * np.linalg.norm(full), rounding)


def matrix(value: Any, key: str, where: str) -> np.ndarray:
    """Returns [3, 3] from a matrix, nine numbers or six (xx yy zz yz xz xy).

    Raises:
      DataError: If the shape is another, or they are no real numbers.
    """
    array = numbers.real(value, f"'{key}'", where)
    if array.shape == (6,):
        xx, yy, zz, yz, xz, xy = array
        return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    if array.shape in ((9,), (3, 3)):
        return array.reshape(3, 3)
    raise errors.DataError(
        f"{where}: '{key}' has shape {array.shape}, expected (3, 3), (9,) or (6,)"
    )
