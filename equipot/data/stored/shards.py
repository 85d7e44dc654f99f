"""Named arrays in one file, one after another, that are mapped into memory when they are asked for.

What stands where in the file is its record, plain JSON, which the manifest of a store keeps.
"""

import functools
import hashlib
import math
import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from equipot import errors

_ALIGNMENT = 64  # bytes


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Writes arrays to a new file, on the disk when this returns.

    Args:
      path: The file.
      arrays: By name.

    Returns:
      The record: name and size of the file, its SHA-256, and type, shape and place of each array.
    """
    digest = hashlib.sha256()
    table: dict[str, list[Any]] = {}
    place = 0
    with path.open("wb") as file:
        for name, array in arrays.items():
            padding = -place % _ALIGNMENT
            data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
            for part in (bytes(padding), data):
                file.write(part)
                digest.update(part)
            table[name] = [array.dtype.str, list(array.shape), place + padding]
            place += padding + array.nbytes
        file.flush()
        os.fsync(file.fileno())
    return {"file": path.name, "size": place, "sha256": digest.hexdigest(), "arrays": table}


class Shard:
    """One file of arrays."""

    def __init__(self, folder: Path, record: Mapping[str, Any]) -> None:
        """Opens nothing yet.

        Args:
          folder: Where the file is.
          record: As ``write`` returned it.
        """
        self.path, self._record = folder / record["file"], record
        self._arrays: dict[str, np.ndarray] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._record["arrays"]

    def __getitem__(self, name: str) -> np.ndarray:
        """An array as it stands in the file, read-only.

        Raises:
          DataError: If the file is missing or has another size.
        """
        found = self._arrays.get(name)
        if found is None:
            dtype, shape, place = self._record["arrays"][name]
            count = math.prod(shape)
            if count:
                found = np.frombuffer(self._map, dtype, count, place).reshape(shape)
            else:
                found = np.zeros(shape, dtype)
            self._arrays[name] = found
        return found

    @functools.cached_property
    def _map(self) -> mmap.mmap:
        expected = self._record["size"]
        try:
            with self.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size == expected:
                    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise errors.DataError(
                f"{self.path}: cannot be opened ({error.strerror}), but the store was written with"
                " it; make the store again with equipot prepare"
            ) from error
        raise errors.DataError(
            f"{self.path}: expected {expected:,} bytes, found {size:,}; the store is damaged, make"
            " it again with equipot prepare"
        )

    def __getstate__(self) -> dict[str, Any]:
        """Another process maps the file itself."""
        return {"path": self.path, "_record": self._record, "_arrays": {}}
