"""The folder of a store: its manifest, and its columns as arrays over all shards.

A store is whole or not there: it is written beside its place, its manifest last, and renamed.

    manifest.json        what the store holds, with the record of each file of arrays
    00012-00.arrays      structures, 16 384 at most
    facts.arrays         what is known of all of them together
    neighbors-5.0/       pairs within a cutoff of 5 Å, with a manifest of their own
"""

import bisect
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from equipot import config as configuration
from equipot import errors
from equipot import quantities as quantities_
from equipot.data import contacts
from equipot.data.stored import extremes, packing, shards

MANIFEST = "manifest.json"
FORMAT, VERSION = "equipot store", 1
FACTS = "facts"
READ_WITH = "read_with"
"""All settings of reading, in the manifest; its fingerprint is of those that matter."""
Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


def is_store(path: Path) -> bool:
    """Whether a folder is a store, or was to be one."""
    return path.is_dir() and (path / MANIFEST).is_file()


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest in a folder.

    Raises:
      DataError: If it is damaged, or of a version that this program does not know.
    """
    again = "make the store again with equipot prepare"
    try:
        found = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise errors.DataError(
            f"{path / MANIFEST}: expected the manifest of a store ({errors.brief(error)}); {again}"
        ) from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise errors.DataError(f"{path / MANIFEST}: is no manifest of a store; {again}")
    if found.get("version") != VERSION:
        raise errors.DataError(
            f"{path}: expected a store of version {VERSION}, found {found.get('version')}; {again}"
        )
    return found


class Folder:
    """An open store.

    Attributes:
      path: The folder.
      manifest: What the store says of itself.
      starts: Index of the first structure of each shard, and the number of all, [shards + 1].
      shards: The files of arrays.
      quantities: The declared ones whose labels are there, by name.
    """

    def __init__(self, path: Path) -> None:
        """Reads the manifest, nothing else.

        Raises:
          DataError: If it is no whole store.
        """
        self.path, self.manifest = path, read_manifest(path)
        records = self.manifest["shards"]
        self.shards = [shards.Shard(path, record) for record in records]
        counts = [record["count"] for record in records]
        self.starts = np.cumsum([0, *counts], dtype=np.int64)
        self._starts = self.starts.tolist()
        self._texts = [record["texts"] for record in records]
        self.quantities = quantities_.declared(
            {
                name: configuration.from_mapping(quantities_.QuantityConfig, own, name)
                for name, own in self.manifest["settings"]["quantities"].items()
            }
        )

    def __len__(self) -> int:
        return self._starts[-1]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that it holds."""
        return self.manifest["fingerprint"]

    def indices(self, split: str) -> np.ndarray:
        """The structures that come from the files of one split, isolated atoms left out."""
        counts = [self.manifest["splits"][name] for name in SPLITS]
        place = SPLITS.index(split)
        first = sum(counts[:place])
        found = np.arange(first, first + counts[place])
        return np.setdiff1d(found, self.manifest["left_out"], assume_unique=True)

    def place(self, index: int) -> tuple[int, int]:
        """The shard of a structure, and its place there."""
        number = bisect.bisect_right(self._starts, index) - 1
        return number, index - self._starts[number]

    def structure(self, index: int) -> Any:
        """One structure, with views of the arrays on the disk."""
        number, place = self.place(index)
        return packing.unpack(self.shards[number], place, self.quantities, self._texts[number])

    def column(self, name: str) -> np.ndarray:
        """A column of all structures, [structures, ...]."""
        return np.concatenate([shard[name] for shard in self.shards])

    def texts(self, name: str) -> tuple[np.ndarray, list[str]]:
        """Index of each structure's group or head in a list of them, and that list, sorted."""
        known = sorted({text for own in self._texts for text in own[f"{name}s"]})
        parts = [
            np.searchsorted(known, own[f"{name}s"])[shard[name]]
            for own, shard in zip(self._texts, self.shards, strict=True)
        ]
        return np.concatenate(parts), known

    @functools.cached_property
    def num_atoms(self) -> np.ndarray:
        """Number of atoms of each structure, [structures]."""
        return np.concatenate([np.diff(shard["ends"]) for shard in self.shards])

    @functools.cached_property
    def facts(self) -> shards.Shard:
        """What is known of all structures together."""
        return shards.Shard(self.path, self.manifest[FACTS])

    @functools.cached_property
    def contacts(self) -> extremes.Extremes:
        """The shortest distances of each pair of elements."""
        return extremes.Extremes.read(self.facts, "contacts")

    @property
    def shortest(self) -> dict[tuple[int, int], float]:
        """Shortest distance in Å of each pair of elements in any structure, smaller Z first."""
        kinds, lengths = self.contacts.smallest()
        found = zip(kinds.tolist(), lengths.tolist(), strict=True)
        return {contacts.pair(kind): length for kind, length in found}

    @property
    def firsts(self) -> np.ndarray | None:
        """For each structure the first of the same configuration and head; None if none repeats."""
        return self.facts["firsts"] if "firsts" in self.facts else None

    def check_settings(self, given: Mapping[str, Any]) -> None:
        """Refuses settings of reading other than those that the store was written with.

        Args:
          given: By name, as in the manifest; those left out do not matter.

        Raises:
          DataError: With both.
        """
        written = self.manifest.get(READ_WITH, self.manifest["settings"])
        for name, value in given.items():
            if name not in written:
                continue  # stores of earlier versions do not say it
            known = written[name]
            if packing.settings_text(known) != packing.settings_text(value):
                raise errors.DataError(
                    f"{self.path}: was written with data.{name}={known}, received {value}; leave it"
                    " out, or make another store with equipot prepare"
                )


@functools.lru_cache(maxsize=8)
def _opened(path: Path, stamp: tuple[int, int]) -> Folder:
    return Folder(path)


def opened(path: Path) -> Folder:
    """The store in a folder; the same object as long as the manifest stays as it is.

    Raises:
      DataError: If it is no whole store.
    """
    try:
        found = (path / MANIFEST).stat()
    except OSError:
        return Folder(path)  # says what is wrong
    return _opened(path.resolve(), (found.st_mtime_ns, found.st_ino))
