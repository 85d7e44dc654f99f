"""Whether memory holds the data of a run; if not, a store in the cache folder does."""

import dataclasses
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from equipot import free_memory
from equipot.data import config as data_config
from equipot.data import paths
from equipot.data.formats import packed
from equipot.data.stored import folder, reading
from equipot.store import drafts, progress, workers, writing

SHARE = 0.5
"""Of the memory that is free, what structures and graphs may take."""

_TEXT, _ARRAYS = 4.0, 8.0  # bytes of memory for each byte of text, or of arrays of numbers
_PACKED = 5.0  # bytes of text in each byte of a packed file
_NUMBERS = frozenset({".npz", ".npy", ".raw", ".h5", ".hdf5", ".traj", ".db", ".aselmdb"})


def is_needed(config: data_config.DataConfig, room: int | None = None) -> bool:
    """Whether a new run reads its data from a store that is made for it.

    It does if the data would not fit into memory, if the settings say so, or if a store of the same
    files and settings already exists.

    Args:
      config: Files and settings.
      room: Bytes of memory; None to ask the system.
    """
    if config.store != "auto":
        return config.store == "always"
    if any(folder.is_store(path) for _, path in _files(config)):
        return False
    room = free() if room is None else room
    return folder.is_store(_place(config)) or memory(config) > SHARE * room


def from_store(
    config: data_config.DataConfig,
    cutoff: float,
    needed: bool | None = None,
    room: int | None = None,
) -> tuple[data_config.DataConfig, str]:
    """The data of a run from a store, if one is needed: made once, and used from then on.

    Args:
      config: Files and settings.
      cutoff: Å, of the pairs that are found.
      needed: Whether a store is; None to ask ``is_needed``.
      room: Bytes of memory; None to ask the system.

    Returns:
      The configuration to read by, and a sentence for the log, empty if nothing changes.

    Raises:
      DataError: If a store has to be made and cannot.
    """
    files = [path for _, path in _files(config)]
    needed = is_needed(config, room) if needed is None else needed
    if not needed or any(folder.is_store(path) for path in files):
        return config, ""
    target = _place(config)
    if not folder.is_store(target):
        _make(config, target, cutoff)
    changed = dataclasses.replace(config, train=str(target), valid=None, test=None)
    taken, room = memory(config), free() if room is None else room
    about = f"about {taken / 1e9:.3g} GB in memory, where {room / 1e9:.3g} GB are free"
    why = "as data.store=always says" if config.store == "always" else about
    return changed, (
        f"The data are read from a store on the disk, {target} ({why}); data.store=never keeps them"
        " in memory"
    )


def memory(config: data_config.DataConfig) -> int:
    """Bytes that structures and graphs would take in memory, estimated from the sizes of files."""
    total = 0.0
    for _, path in _files(config):
        for own in _plain(path):
            plain = own.with_suffix("") if packed.is_packed(own) else own
            factor = _ARRAYS if plain.suffix.casefold() in _NUMBERS else _TEXT
            factor *= _PACKED if packed.is_packed(own) else 1.0
            total += factor * own.stat().st_size
    return int(total)


def free() -> int:
    """Bytes that this process may still take: of the machine, or of the group it runs in."""
    known = [own for own in (free_memory.of_machine(), free_memory.of_group()) if own is not None]
    return min(known, default=sys.maxsize)


def _make(config: data_config.DataConfig, target: Path, cutoff: float) -> None:
    with drafts.turn(target):
        if folder.is_store(target):  # another run of a sweep was first
            return
        shutil.rmtree(target, ignore_errors=True)
        total = sum(path.stat().st_size for _, path in _files(config) if path.is_file())
        with progress.shown(f"Writing {target}", total) as tell:
            writing.write(
                config,
                target,
                cutoff=cutoff,
                processes=workers.count(1 << 30),
                on_progress=lambda done, count: tell(done, f"{count:,} structures"),
            )


def _place(config: data_config.DataConfig) -> Path:
    return paths.cache_folder() / "stores" / f"{_digest(config)}.store"


def _files(config: data_config.DataConfig) -> Iterator[tuple[str, Path]]:
    for split in folder.SPLITS:
        for name in config.files(split):
            yield split, paths.resolve(name)


def _plain(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def _digest(config: data_config.DataConfig) -> str:
    """Of the settings of reading, and of name, size and time of every file."""
    every = [
        (split, str(own.resolve()), own.stat().st_size, own.stat().st_mtime_ns)
        for split, path in _files(config)
        for own in _plain(path)
    ]
    text = json.dumps([folder.VERSION, reading.settings(config), every], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
