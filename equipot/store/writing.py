"""Writes a store: one pass over the files, in several processes, and its manifest at the end."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from equipot import errors, files
from equipot.data import config as data_config
from equipot.data.stored import (
    extremes,
    folder,
    merging,
    overlap,
    packing,
    reading,
    shards,
    sources,
)
from equipot.store import drafts, neighbor_files, pair_shards, stored_graphs, workers


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Job:
    """What all pieces of work share."""

    config: data_config.DataConfig
    draft: Path
    neighbors: Path | None
    cutoff: float
    with_pairs: bool


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Written:
    """One shard."""

    split: str
    record: dict[str, Any]
    seen: sources.Seen
    contacts: extremes.Extremes
    lone: list[merging.Lone]
    bound: list[int]
    pairs: tuple[dict[str, Any], pair_shards.Facts] | None


def write(
    config: data_config.DataConfig,
    target: Path,
    *,
    cutoff: float | None = None,
    with_pairs: bool = True,
    processes: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> folder.Folder:
    """Writes the structures of all files of a configuration to a store.

    Args:
      config: Files, keys and units.
      target: The folder, which must not be there.
      cutoff: Å; pairs within it are found too. None for none.
      with_pairs: Whether to keep the pairs, or only how many there are.
      processes: How many processes read and write.
      on_progress: Called with the bytes of files and the structures done so far.

    Returns:
      The store, open.

    Raises:
      DataError: If the target is there, a file cannot be read, or a label is wrong.
    """
    if target.exists():
        raise errors.DataError(f"{target}: is there already; take another name, or remove it")
    with drafts.whole(target) as draft, sources.pieces(config) as pieces:
        neighbors = None if cutoff is None else stored_graphs.neighbors_folder(draft, cutoff)
        if neighbors is not None:
            neighbors.mkdir()
        job = _Job(
            config=config,
            draft=draft,
            neighbors=neighbors,
            cutoff=cutoff or 0.0,
            with_pairs=with_pairs,
        )
        written: list[_Written] = []
        work, done = functools.partial(_work, job), 0
        for size, own in workers.results(work, enumerate(pieces), processes):
            written += own
            done += size
            if on_progress is not None:
                on_progress(done, sum(one.record["count"] for one in written))
        _finish(job, written)
    return folder.Folder(target)


def _work(job: _Job, numbered: tuple[int, sources.Piece]) -> tuple[int, list[_Written]]:
    """Writes the shards of one piece."""
    number, piece = numbered
    written = []
    for part, (structures, seen) in enumerate(sources.read(piece, job.config)):
        stem = f"{number:05}-{part:02}"
        packed = packing.pack(structures, job.config.declared)
        record = shards.write(job.draft / f"{stem}.arrays", packed.arrays)
        near = packed.contacts
        several = [
            bits
            for s, bits in zip(structures, packed.arrays["elements"], strict=True)
            if len(s.positions) > 1
        ]
        pairs = None
        if job.neighbors is not None:
            pairs = neighbor_files.write(
                job.neighbors, stem, structures, job.cutoff, job.with_pairs
            )
        written.append(
            _Written(
                split=piece.split,
                record={**record, "count": len(structures), "texts": packed.texts},
                seen=seen,
                contacts=extremes.Extremes.of(near.kinds, near.lengths, near.owners, None),
                lone=merging.lone(structures),
                bound=packing.elements(np.array(several, np.uint64).reshape(-1, 2)),
                pairs=pairs,
            )
        )
    return piece.size, written


def _finish(job: _Job, written: Sequence[_Written]) -> None:
    """Writes what is known of all structures together, and the manifests."""
    counts = [one.record["count"] for one in written]
    starts = np.cumsum([0, *counts]).tolist()
    if not starts[-1]:
        named = ", ".join(dict.fromkeys(one.seen.name for one in written)) or "no file"
        raise errors.DataError(f"{named}: no structures but isolated atoms; nothing to store")
    lone = [
        dataclasses.replace(atom, index=atom.index + start)
        for one, start in zip(written, starts, strict=False)
        for atom in one.lone
    ]
    bound = sorted({z for one in written for z in one.bound})
    said = merging.merged([one.seen for one in written], job.config, lone, bound)
    contacts = extremes.Extremes.joined([one.contacts for one in written], starts[:-1])
    manifest = {
        "format": folder.FORMAT,
        "version": folder.VERSION,
        "count": starts[-1],
        "splits": {
            split: sum(one.record["count"] for one in written if one.split == split)
            for split in folder.SPLITS
        },
        "settings": reading.settings(job.config),
        "shards": [one.record for one in written],
        **said,
    }
    shown = {key: value for key, value in manifest.items() if key != "found"}
    manifest["fingerprint"] = hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()
    manifest[folder.READ_WITH] = job.config.of_reading()
    arrays = {**contacts.arrays("contacts"), **_firsts(job.draft, manifest)}
    manifest[folder.FACTS] = shards.write(job.draft / "facts.arrays", arrays)
    if job.neighbors is not None:
        pairs = [one.pairs for one in written if one.pairs is not None]
        neighbor_files.write_manifest(
            job.neighbors,
            manifest["fingerprint"],
            job.cutoff,
            job.with_pairs,
            [record for record, _ in pairs],
            [facts for _, facts in pairs],
        )
    files.write(job.draft / folder.MANIFEST, json.dumps(manifest))


def _firsts(draft: Path, manifest: dict[str, Any]) -> dict[str, np.ndarray]:
    """For each structure the first of its configuration and head; nothing if none repeats."""
    every = [shards.Shard(draft, record) for record in manifest["shards"]]
    known: dict[str, int] = {}
    heads = [
        np.array([known.setdefault(name, len(known)) for name in record["texts"]["heads"]])[
            shard["head"]
        ]
        for record, shard in zip(manifest["shards"], every, strict=True)
        if record["count"]
    ]
    digests = [shard["digest"] for shard in every]
    found = overlap.firsts(np.concatenate(digests), np.concatenate(heads))
    return {} if (found == np.arange(len(found))).all() else {"firsts": found}
