"""Which configurations stand in two splits, or twice in training, told by digests alone."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from equipot.data import fingerprint, structure
from equipot.data.stored.structures import StoredStructures

Place = tuple[str, int]
"""A split, and the place of a structure there."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overlap:
    """What repeats.

    Attributes:
      shared: Number of structures of a configuration that an earlier split has.
      example: The first of them, and what it repeats; None if there is none.
      repeats: Places in the training split of structures that repeat an earlier one, after that of
        the one that they repeat.
    """

    shared: int
    example: tuple[Place, Place] | None
    repeats: list[tuple[int, int]]


def find(splits: Mapping[str, Sequence[structure.Structure]]) -> Overlap:
    """Compares all structures with one another.

    Structures of several levels of theory may be of one configuration.

    Args:
      splits: By name, training first.
    """
    stores = {part.folder for part in splits.values() if isinstance(part, StoredStructures)}
    if all(isinstance(part, StoredStructures) for part in splits.values()):
        if len(stores) == 1 and stores.pop().firsts is None:
            return Overlap(shared=0, example=None, repeats=[])
    names = list(splits)
    sizes = [len(part) for part in splits.values()]
    heads: dict[str, int] = {}
    parts = [_keys(part, heads) for part in splits.values()]
    split = np.repeat(np.arange(len(names)), sizes)
    place = np.concatenate([np.arange(size) for size in sizes])
    first = firsts(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    again = np.flatnonzero(first != np.arange(len(first)))
    crossing = again[split[first[again]] != split[again]]
    within = again[(split[again] == 0) & (split[first[again]] == 0)]
    example = None
    if len(crossing) and names:
        pair = int(first[crossing[0]]), int(crossing[0])
        one, other = ((names[split[i]], int(place[i])) for i in pair)
        example = one, other
    return Overlap(
        shared=len(crossing),
        example=example,
        repeats=list(zip(place[first[within]].tolist(), place[within].tolist(), strict=True)),
    )


def firsts(digests: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """For each structure the first of its configuration and level of theory, [structures].

    Args:
      digests: Two words of each, [structures, 2].
      heads: Number of the level of theory, [structures].
    """
    keys = digests[:, 0], digests[:, 1], heads
    order = np.lexsort(keys)
    new = np.ones(len(order), bool)
    new[1:] = np.any([key[order[1:]] != key[order[:-1]] for key in keys], axis=0)
    found = np.empty(len(order), np.int64)
    found[order] = order[np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))]
    return found


def _keys(
    part: Sequence[structure.Structure], heads: dict[str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Digest and number of the level of theory of each structure."""
    if isinstance(part, StoredStructures):
        places, known = part.texts("head")
        numbers = np.array([heads.setdefault(name, len(heads)) for name in known], np.int64)
        return part.column("digest"), numbers[places]
    digests = b"".join(bytes.fromhex(one)[:16] for one in fingerprint.configurations(part))
    own = [heads.setdefault(s.head, len(heads)) for s in part]
    return np.frombuffer(digests, "<u8").reshape(-1, 2), np.array(own, np.int64)
