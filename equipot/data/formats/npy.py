"""Arrays in NumPy's npy format, checked against the bytes there are before memory is taken."""

import io
import math
import tokenize

import numpy as np

from equipot import errors

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
AGAIN = "make the file again with numpy"
"""What messages end with."""


def read(
    file: io.BufferedIOBase, size: int, where: str, *, alone: bool = True
) -> np.ndarray | None:
    """Reads one array.

    Args:
      file: At the beginning of the array.
      size: Number of bytes there are, header included.
      where: The file, for messages.
      alone: Whether nothing may follow the array.

    Returns:
      The array, or None if it is one of Python objects, which are never loaded.

    Raises:
      DataError: If it is no npy, or has fewer or more bytes than its header says.
    """
    shape, is_fortran, dtype = _header(file, where)
    if dtype.hasobject:
        return None
    expected, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if expected > there or (alone and expected != there):
        raise errors.DataError(
            f"{where}: an array of shape {shape} and type {dtype} takes {expected} bytes, but "
            f"{there} follow its header; the file is damaged, {AGAIN}"
        )
    data = file.read(expected)
    if len(data) != expected:
        raise errors.DataError(f"{where}: ends too early; the file is damaged, {AGAIN}")
    if dtype.kind == "U":
        _check_text(np.frombuffer(data, np.dtype("u4").newbyteorder(dtype.byteorder)), where)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if is_fortran else "C")


def _check_text(codes: np.ndarray, where: str) -> None:
    """NumPy makes text of any numbers, of which Python's own functions then die."""
    if np.any((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))):
        raise errors.DataError(f"{where}: holds text that is none; the file is damaged, {AGAIN}")


def _header(file: io.BufferedIOBase, where: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    try:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise errors.DataError(
                f"{where}: expected version 1 or 2 of npy, found {version[0]}; {AGAIN}"
            )
        shape, is_fortran, dtype = _HEADERS[version](file)
    except (ValueError, TypeError, SyntaxError, RecursionError, tokenize.TokenError) as error:
        if isinstance(error, errors.DataError):
            raise
        reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise errors.DataError(
            f"{where}: has no header of an npy array ({reason}); {AGAIN}"
        ) from error
    if any(not 0 <= length < 1 << 62 for length in shape):
        raise errors.DataError(f"{where}: has the shape {shape}; the file is damaged, {AGAIN}")
    return shape, is_fortran, dtype
