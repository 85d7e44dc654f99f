"""Arrays as bytes in the form ``.npy``, and nothing but plain numbers.

numpy's own reader believes the header: it allocates what is claimed, and evaluates text as Python.
This one takes only headers as ``to_bytes`` writes them, and only as many numbers as follow.
"""

import io
import math
import re

import numpy as np

_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(
    rb"\{'descr': '(<f4|<f8|<i4|<i8)', 'fortran_order': False, 'shape': \(([\d, ]*)\), \} *\n"
)


def to_bytes(array: np.ndarray) -> bytes:
    """The array as the contents of an npy file, in rows."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array, order="C"), (1, 0), allow_pickle=False)
    return buffer.getvalue()


def from_bytes(data: bytes) -> np.ndarray:
    """The inverse of ``to_bytes``.

    Raises:
      ValueError: If there is no header of an array of floats or integers, or not as many numbers
        behind it as it says.
    """
    start = len(_MAGIC) + 2
    end = start + int.from_bytes(data[len(_MAGIC) : start], "little")
    header = _HEADER.fullmatch(data[start:end]) if data.startswith(_MAGIC) else None
    if header is None:
        raise ValueError("it has no header of an array of 32 or 64 bits")
    dtype = np.dtype(header[1].decode())
    shape = tuple(int(count) for count in header[2].replace(b",", b" ").split())
    if math.prod(shape) * dtype.itemsize != len(data) - end or max(shape, default=0) > len(data):
        raise ValueError(f"it claims the shape {shape} and has {len(data) - end} bytes")
    return np.frombuffer(data, dtype, offset=end).reshape(shape).copy()
