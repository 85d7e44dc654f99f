"""The files of a configuration cut into pieces, which several processes read independently."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

from equipot import errors
from equipot.data import config as data_config
from equipot.data import contents, label_keys, label_units, paths, readers, structure
from equipot.data.formats import ase_files, extxyz, frame, mace_h5, packed
from equipot.data.stored import folder
from equipot.quantities import every

SHARD = 16_384
"""Structures in one file of a store, at most."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Piece:
    """A file, or a part of one.

    Attributes:
      split: Which split it belongs to.
      name: The file, for messages.
      path: The file, unpacked.
      part: Bytes, frame and line of a piece of an extended xyz; None for the whole file.
      size: Bytes, for a bar of progress.
    """

    split: str
    name: str
    path: pathlib.Path
    part: tuple[int, int, int, int] | None
    size: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seen:
    """What one block of frames gave beside its structures.

    Attributes:
      name: The file.
      place: Where it is; two files may have one name.
      frames: How many structures, isolated atoms not counted.
      counts: How many of them have a label of each quantity.
      keys: Under which keys labels were found.
      scales: Units in which they were read.
      contents: Isolated atoms and sentences; its structures are left out.
    """

    name: str
    place: str
    frames: int
    counts: dict[str, int]
    keys: label_keys.LabelKeys
    scales: label_units.Scales
    contents: contents.FileContents


@contextlib.contextmanager
def pieces(config: data_config.DataConfig) -> Iterator[Iterator[Piece]]:
    """The pieces of all files, in order; unpacked files last as long as the context.

    Raises:
      DataError: If a file is not there.
    """
    with contextlib.ExitStack() as stack:
        yield _pieces(config, stack)


def _pieces(config: data_config.DataConfig, stack: contextlib.ExitStack) -> Iterator[Piece]:
    for split in folder.SPLITS:
        for given in config.files(split):
            path = paths.resolve(given)
            if folder.is_store(path):
                raise errors.DataError(f"{path}: is a store already; name the files it was made of")
            name = readers.name_of(path)
            if path.is_file() and ase_files.is_xyz(path, config.format):
                plain = stack.enter_context(packed.plain_file(path.absolute()))
                for part in extxyz.ranges(plain, SHARD):
                    size = part[1] - part[0]
                    yield Piece(split=split, name=name, path=plain, part=part, size=size)
            else:
                size = path.stat().st_size
                yield Piece(split=split, name=name, path=path, part=None, size=size)


def read(
    piece: Piece, config: data_config.DataConfig
) -> Iterator[tuple[tuple[structure.Structure, ...], Seen]]:
    """Yields the structures of a piece, as many as one file of a store holds.

    Args:
      piece: One of ``pieces``.
      config: Keys and units.

    Raises:
      DataError: If it cannot be read, or a label in it is wrong.
    """
    if piece.part is not None:
        blocks = iter([ase_files.read_piece(piece.path, piece.name, piece.part)])
    else:
        blocks = _blocks(piece.path, config)
    for block in blocks:
        own = _restricted(config, block, piece.name)
        made, keys, scales = readers.convert_with(block, own, piece.name)
        counts = {
            name: sum(s.label(name) is not None for s in made.structures)
            for name in every(config.declared)
        }
        yield (
            tuple(made.structures),
            Seen(
                name=piece.name,
                place=str(piece.path),
                frames=len(made.structures),
                counts=counts,
                keys=keys,
                scales=scales,
                contents=dataclasses.replace(made, structures=()),
            ),
        )


def _blocks(path: pathlib.Path, config: data_config.DataConfig) -> Iterator[frame.FrameFile]:
    """Frames of a whole file, some at a time where the format allows it."""
    chosen = config.format
    if chosen == "h5" or (chosen is None and mace_h5.is_h5(path)):
        yield from mace_h5.blocks(path, SHARD)
    elif chosen in ("npz", "deepmd") or path.suffix == ".npz" or path.is_dir():
        content = readers.read_frames(path, chosen, config.declared)
        for begin in range(0, len(content.frames), SHARD):
            yield dataclasses.replace(content, frames=content.frames[begin : begin + SHARD])
    else:
        yield from ase_files.blocks(path, chosen, SHARD)


def _restricted(
    config: data_config.DataConfig, block: frame.FrameFile, name: str
) -> data_config.DataConfig:
    """Without keys that no frame of this block has, but perhaps one of another."""
    present = label_keys.present_keys(block.frames)
    changes: dict[str, Any] = {}
    for option in ("energy_key", "forces_key", "stress_key"):
        key = getattr(config, option)
        if key not in (None, data_config.IGNORED, *present):
            changes[option] = data_config.IGNORED
    if "energy_key" in changes:
        readers.check_no_isolated(block, config.energy_key or "", name)
    if config.group_key is not None and config.group_key not in present:
        changes |= {"group_key": None, "split": "random"}  # others need a key of groups
    return dataclasses.replace(config, **changes) if changes else config
