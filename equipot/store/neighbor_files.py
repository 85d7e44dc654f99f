"""Makes and opens the pairs that a store keeps for a cutoff."""

import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from equipot import files
from equipot.data.stored import folder, shards
from equipot.data.stored.structures import StoredStructures
from equipot.store import drafts, pair_shards, progress, workers
from equipot.store.stored_graphs import Pairs, neighbors_folder


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Job:
    store: Path
    draft: Path
    cutoff: float
    with_pairs: bool


def opened(own: folder.Folder, cutoff: float) -> Pairs:
    """The pairs of a store within a cutoff, found now if they are not there.

    Raises:
      DataError: If a structure has none (two atoms at one place, say), or the store cannot be
        written to.
    """
    if not are_there(own, cutoff):
        title = f"Pairs within {cutoff:g} Å of {own.path.name}"
        with progress.shown(title, len(own)) as tell:
            make(
                own,
                cutoff,
                processes=workers.count(len(own.shards)),
                on_progress=lambda done: tell(done, f"{done:,} structures"),
            )
    return Pairs(own, cutoff)


def are_there(own: folder.Folder, cutoff: float) -> bool:
    """Whether a store has the pairs within a cutoff."""
    return (neighbors_folder(own.path, cutoff) / folder.MANIFEST).is_file()


def make(
    own: folder.Folder,
    cutoff: float,
    *,
    with_pairs: bool = True,
    processes: int = 1,
    on_progress: Callable[[int], None] | None = None,
) -> None:
    """Finds the pairs of all structures of a store, unless they are there.

    Args:
      own: The store.
      cutoff: Å.
      with_pairs: Whether to keep the pairs, or only how many there are.
      processes: How many processes do it.
      on_progress: Called with the number of structures done so far.

    Raises:
      DataError: As ``host_graph.build_graph`` does, or if the store cannot be written to.
    """
    target = neighbors_folder(own.path, cutoff)
    if are_there(own, cutoff):
        return
    with drafts.turn(target):
        if are_there(own, cutoff):  # another process was first
            return
        with drafts.whole(target) as draft:
            job = _Job(store=own.path, draft=draft, cutoff=cutoff, with_pairs=with_pairs)
            work = functools.partial(_work, job)
            records, facts = [], []
            for record, found in workers.results(work, range(len(own.shards)), processes):
                records.append(record)
                facts.append(found)
                if on_progress is not None:
                    on_progress(int(own.starts[len(records)]))
            write_manifest(draft, own.fingerprint, cutoff, with_pairs, records, facts)


def _work(job: _Job, number: int) -> tuple[dict[str, Any], pair_shards.Facts]:
    own = folder.opened(job.store)
    first, last = own.starts[number : number + 2].tolist()
    structures = list(StoredStructures(own, np.arange(first, last)))
    return write(job.draft, own.shards[number].path.stem, structures, job.cutoff, job.with_pairs)


def write(
    draft: Path, stem: str, structures: Sequence[Any], cutoff: float, with_pairs: bool
) -> tuple[dict[str, Any], pair_shards.Facts]:
    """Writes the file of pairs of one shard.

    Args:
      draft: The folder of pairs.
      stem: Name of the shard.
      structures: Its structures.
      cutoff: Å.
      with_pairs: Whether to keep the pairs.

    Returns:
      The record of the file with the number of structures, and what the pairs say.
    """
    arrays, facts = pair_shards.pack(structures, cutoff, with_pairs)
    record = shards.write(draft / f"{stem}.pairs", arrays)
    return {**record, "count": len(structures)}, facts


def write_manifest(
    draft: Path,
    fingerprint: str,
    cutoff: float,
    with_pairs: bool,
    records: Sequence[dict[str, Any]],
    facts: Sequence[pair_shards.Facts],
) -> None:
    """Ends a folder of pairs: what they say together, and the manifest."""
    starts = np.cumsum([0, *(record["count"] for record in records)]).tolist()[:-1]
    every = pair_shards.Facts.joined(facts, starts)
    manifest = {
        "fingerprint": fingerprint,
        "cutoff": cutoff,
        "with_pairs": with_pairs,
        "shards": list(records),
        "facts": shards.write(draft / "facts.pairs", every.arrays()),
    }
    files.write(draft / folder.MANIFEST, json.dumps(manifest))
