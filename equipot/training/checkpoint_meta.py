"""What a checkpoint holds besides its arrays: the progress of the run, and digests of everything.

Orbax has no checksum for this part, and none for all bytes of the arrays: a flipped bit would be
believed. Checkpoints written before there were digests are read without, as far as their numbers
agree with each other.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from equipot import config as configuration
from equipot import errors
from equipot.training.state import Progress
from equipot.typing import PyTree


@dataclasses.dataclass(frozen=True)
class Meta:
    """The part ``meta`` of a checkpoint.

    Attributes:
      progress: Where the run stands.
      shapes: ``float32[64, 64]`` and the like for each array, by its path.
      digests: SHA-256 of each part; empty in checkpoints of earlier versions.
    """

    progress: Progress
    shapes: Mapping[str, str]
    digests: Mapping[str, str] = dataclasses.field(default_factory=dict)


def to_strings(progress: Progress, parts: Mapping[str, PyTree]) -> dict[str, str]:
    """Returns what Orbax stores: JSON, and its digest.

    Args:
      progress: Where the run stands.
      parts: Trees of arrays by the name of their part.
    """
    meta = {
        "progress": configuration.to_mapping(progress),
        "shapes": shapes(parts),
        "digests": {name: digest(tree) for name, tree in parts.items()},
    }
    text = json.dumps(meta)
    return {"json": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def from_strings(strings: Any, step: int) -> Meta:
    """The inverse of ``to_strings``.

    Args:
      strings: What Orbax read.
      step: Of the checkpoint, by the name of its folder.

    Raises:
      CheckpointError: If it was not written by ``to_strings``, or has changed since.
    """
    text = strings.get("json") if isinstance(strings, dict) else None
    if not isinstance(text, str):
        raise errors.CheckpointError("it has no description by equipot")
    if strings.get("sha256", _sha256(text)) != _sha256(text):
        raise errors.CheckpointError("the checksum of its description differs")
    try:
        meta = configuration.from_mapping(_Json, json.loads(text), "checkpoint")
        progress = Progress.from_mapping(meta.progress)
    except (ValueError, RecursionError) as error:
        raise errors.CheckpointError(f"its description is damaged: {error}") from error
    if progress.step != step:
        raise errors.CheckpointError(f"its description is of step {progress.step}")
    return Meta(progress, meta.shapes, meta.digests)


def digest(tree: PyTree) -> str:
    """SHA-256 of all arrays of a tree with their paths, types and shapes."""
    found = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.ascontiguousarray(leaf)
        found.update(f"{jax.tree_util.keystr(path)} {_shape(np.asarray(leaf))}\n".encode())
        found.update(array.view(np.uint8).data if array.size else b"")
    return found.hexdigest()


def shapes(tree: PyTree) -> dict[str, str]:
    """``float32[64, 64]`` and the like for each leaf, by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): _shape(leaf) for path, leaf in leaves}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Json:
    progress: Any
    shapes: Mapping[str, str]
    digests: Mapping[str, str] = dataclasses.field(default_factory=dict)


def _shape(leaf: Any) -> str:
    return f"{leaf.dtype}{list(leaf.shape)}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
