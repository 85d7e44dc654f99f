"""Numbers as a file has them, and never what a cast would make of something else."""

from typing import Any

import numpy as np

from equipot import errors

_KINDS = {
    "b": "true or false",
    "c": "complex numbers",
    "M": "dates",
    "m": "durations",
    "O": "Python objects",
    "S": "text",
    "T": "text",
    "U": "text",
    "V": "records",
}


def real(value: Any, what: str, where: str) -> np.ndarray:
    """Returns real numbers as float64, in the shape they have.

    Args:
      value: An array, or anything NumPy makes one of.
      what: Its name, for messages.
      where: File and frame, for messages.

    Raises:
      DataError: If it holds anything but integers and real numbers: text, logical values, complex
        numbers, dates.
    """
    return _array(value, what, where, "numbers").astype(np.float64)


def whole(value: Any, what: str, where: str) -> np.ndarray:
    """Returns whole numbers as int64; 8.0 is one, 18.7 and ``True`` are not.

    Args:
      value: An array, or anything NumPy makes one of.
      what: Its name, for messages.
      where: File and frame, for messages.

    Raises:
      DataError: If it holds anything but whole numbers of at most 15 digits.
    """
    array = _array(value, what, where, "whole numbers")
    is_whole = np.isfinite(array) & (np.abs(array.astype(np.float64)) < 1e15)
    is_whole &= array == np.round(np.where(is_whole, array, 0))
    if not is_whole.all():
        found = array[~is_whole].ravel()[0]
        raise errors.DataError(f"{where}: expected whole numbers for {what}, found {found}")
    return array.astype(np.int64)


def _array(value: Any, what: str, where: str, expected: str) -> np.ndarray:
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError):
        raise errors.DataError(
            f"{where}: {what} is {brief(value)}, expected {expected}; mend the file"
        ) from None
    if array.dtype.kind in "iuf":
        return array
    found = _KINDS.get(array.dtype.kind, f"of type {array.dtype}")
    raise errors.DataError(
        f"{where}: {what} is {brief(value)} ({found}), expected {expected}; mend the file"
    )


def brief(value: Any) -> str:
    """The value for a message, cut after 40 characters."""
    array = value if isinstance(value, np.ndarray) else None
    if array is not None and array.size > 1:
        return f"{str(array.ravel()[0])[:40]}, … of shape {array.shape}"
    text = str(value) if array is not None else repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
