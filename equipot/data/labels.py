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
        asymmetry = np.linalg.norm(converted - converted.T)
        if asymmetry > max(_ASYMMETRY * np.linalg.norm(converted), _ROUNDING):
            raise errors.DataError(
                f"{where}: '{key}' is not symmetric ({full.tolist()}); mend it, or set "
                f"data.stress_key=none"
            )
        return 0.5 * (converted + converted.T)


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
