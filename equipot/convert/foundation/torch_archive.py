"""Reads what ``torch.save`` wrote, without torch and without running anything that stands in it.

Such a file is a zip of one pickle and of raw numbers. A pickle may name any function and have it
called, which is why opening one is a matter of trust. Here a name leads to one of a few things:
ordered dictionaries, tensors, kinds of numbers, and for what settings hold besides – NumPy's arrays
and torch's devices – a placeholder that does nothing. Any other name ends the reading.
"""

import collections
import math
import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from equipot import errors
from equipot.convert import files

_KINDS = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}
_MAX_PICKLE = 64 * 2**20  # bytes; those of published models have a thousandth of it

_MOST_REPEATED = 2**24  # numbers of a tensor that repeats a few of its storage

_DAMAGE = (  # what an unpickler meets with bytes that are none of a pickle's
    *files.DAMAGES,
    pickle.UnpicklingError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
)


class Ignored:
    """What stands in the place of an object that nobody reads."""

    def __init__(self, *args: Any) -> None:
        """Takes what the object was to be made of, and forgets it."""

    def __setstate__(self, state: Any) -> None:
        """Likewise."""


_IGNORED = {
    ("_codecs", "encode"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("torch", "device"),
}


def read(path: Path) -> Any:
    """The objects of a file: dictionaries, lists, numbers, text, and tensors as NumPy arrays.

    Args:
      path: A file of ``torch.save``, of torch 1.6 or later.

    Raises:
      ConversionError: If the file is damaged, or names anything else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            parts = {info.filename: info for info in archive.infolist()}
            _check_sizes(path, list(parts.values()))
            name = next((part for part in parts if part.endswith("/data.pkl")), None)
            if name is None or parts[name].file_size > _MAX_PICKLE:
                raise errors.ConversionError(
                    f"{path}: expected a file of torch.save, found no pickle"
                )
            folder = name.removesuffix("data.pkl")
            with archive.open(name) as file:
                return _Reader(file, archive, folder, path).load()
    except errors.EquipotError:
        raise
    except _DAMAGE as error:
        raise errors.ConversionError(
            f"{path}: the file is damaged ({errors.brief(error)}); fetch it again"
        ) from error


def _check_sizes(path: Path, parts: Sequence[zipfile.ZipInfo]) -> None:
    """Refuses what would become far larger than the file; torch packs nothing."""
    packed = [part.filename for part in parts if part.compress_type != zipfile.ZIP_STORED]
    if packed or sum(part.file_size for part in parts) > path.stat().st_size:
        raise errors.ConversionError(
            f"{path}: expected parts that are stored as they are, as torch.save writes them, found"
            f" {packed[0] if packed else 'more bytes than the file has'}"
        )


class _Reader(pickle.Unpickler):
    """An unpickler that knows the names above."""

    def __init__(self, file: Any, archive: zipfile.ZipFile, folder: str, path: Path) -> None:
        super().__init__(file)
        self._archive, self._folder, self._path = archive, folder, path
        self._read: dict[str, np.ndarray] = {}

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the pickle leads to."""
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in _KINDS:
            return np.dtype(_KINDS[name])
        if (module, name) in _IGNORED:
            return Ignored
        raise errors.ConversionError(
            f"{self._path}: names {module}.{name}, which is no tensor or setting, and would be run"
            " if the file were opened with torch; nothing was converted"
        )

    def persistent_load(self, pid: Any) -> np.ndarray:
        """The numbers of a storage: ("storage", kind, key, device, count)."""
        word, kind, key, _, count = pid
        if word != "storage" or not isinstance(kind, np.dtype):
            raise pickle.UnpicklingError(f"expected a storage of numbers, found {word!r}")
        if key not in self._read:
            info = self._archive.getinfo(f"{self._folder}data/{key}")
            if info.file_size != int(count) * kind.itemsize:
                raise pickle.UnpicklingError(
                    f"expected {count} numbers in {info.filename}, found {info.file_size} bytes"
                )
            self._read[key] = np.frombuffer(self._archive.read(info), kind)
        return self._read[key]


def _tensor(
    storage: np.ndarray, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> np.ndarray:
    """A tensor in its storage; strides count numbers."""
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if min(offset, *shape, *strides, 0) < 0 or (0 not in shape and last >= len(storage)):
        raise pickle.UnpicklingError(f"a tensor of shape {shape} reaches beyond its numbers")
    if math.prod(shape) > max(len(storage), _MOST_REPEATED):
        raise pickle.UnpicklingError(f"a tensor of shape {shape} repeats {len(storage)} numbers")
    steps = [step * storage.itemsize for step in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps).copy()
