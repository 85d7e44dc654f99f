"""Chooses the frames for training, validation and test if the user does not.

At random, from all frames or from each group, every element stays in training, at each level of
theory, and so does every configuration that occurs twice; in file order, the first frames train,
the next validate and the next test.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from equipot import errors
from equipot.data import columns, fingerprint, paths, stratified, structure
from equipot.data import config as data_config
from equipot.data.stored import covering
from equipot.data.stored.structures import StoredStructures

_NAMES = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counts:
    """Number of frames of a pool that each split gets.

    Attributes:
      train: Training frames, at least 1.
      valid: Validation frames set aside.
      test: Test frames set aside.
    """

    train: int
    valid: int
    test: int


def choose(
    structures: Sequence[structure.Structure],
    config: data_config.DataConfig,
    own_files: Sequence[str],
) -> Mapping[str, list[int] | np.ndarray]:
    """Chooses the frames of each split out of a pool.

    Args:
      structures: The pool.
      config: How.
      own_files: Splits that have files of their own; they get nothing from the pool.

    Returns:
      Indices, ascending, by the name of the split.

    Raises:
      DataError: If the pool is too small, or the file that names the frames cannot be followed.
    """
    if config.split_file is not None:
        for name in _NAMES:
            if name not in own_files and getattr(config, f"num_{name}") is not None:
                raise errors.DataError(
                    f"data.num_{name}: has no effect beside data.split_file, which names the"
                    " frames; leave one of them out"
                )
        return _listed(config.split_file, len(structures), own_files)
    counts = plan_counts(
        len(structures),
        config,
        set_aside_valid="valid" not in own_files,
        set_aside_test="test" not in own_files,
    )
    return dict(zip(_NAMES, _split(structures, counts, config), strict=True))


def _listed(name: str, num: int, own_files: Sequence[str]) -> dict[str, list[int]]:
    """The splits that a file names."""
    path = paths.resolve(name)
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise errors.DataError(f"{name}: cannot be read as JSON: {str(error)[:80]}") from error
    expected = f"{name}: expected an object with lists {', '.join(_NAMES)} of frame numbers"
    if not isinstance(found, dict) or not found.keys() <= set(_NAMES) or not found.get("train"):
        raise errors.DataError(f"{expected}, train not empty; received {str(found)[:80]}")
    places: dict[int, str] = {}
    for part, numbers in found.items():
        if part in own_files and numbers:
            raise errors.DataError(
                f"{name}: names frames for '{part}', but data.{part} gives it files; leave one out"
            )
        if not isinstance(numbers, list):
            raise errors.DataError(f"{expected}; '{part}' is {str(numbers)[:80]}")
        for number in numbers:
            if type(number) is not int or not 0 <= number < num:
                raise errors.DataError(
                    f"{name}: '{part}' has {str(number)[:80]}; expected frame numbers from 0 to"
                    f" {num - 1}, since the training files hold {num} frame{'s' * (num != 1)}"
                )
            if number in places:
                raise errors.DataError(
                    f"{name}: frame {number} is in '{places[number]}' and again in '{part}'"
                )
            places[number] = part
    return {part: sorted(found.get(part, ())) for part in _NAMES}


def plan_counts(
    num: int, config: data_config.DataConfig, *, set_aside_valid: bool, set_aside_test: bool
) -> Counts:
    """Divides a pool of frames.

    Args:
      num: Frames in the pool.
      config: Exact counts, which win, or fractions, rounded up.
      set_aside_valid: Whether validation frames come out of the pool.
      set_aside_test: Whether test frames do.

    Raises:
      DataError: If the pool is too small.
    """
    valid = _count(num, config.num_valid, config.valid_fraction) if set_aside_valid else 0
    test = _count(num, config.num_test, config.test_fraction) if set_aside_test else 0
    train = num - valid - test if config.num_train is None else config.num_train
    if train < 1 or train + valid + test > num:
        raise errors.DataError(
            f"the training files hold {num} frame{'s' * (num != 1)}, too few for"
            f" {max(train, 1)} to train, {valid} to validate and {test} to test; change"
            " data.num_train, data.num_valid, data.num_test or the fractions, or give data.valid"
            " and data.test"
        )
    return Counts(train=train, valid=valid, test=test)


def split(
    structures: Sequence[structure.Structure], counts: Counts, config: data_config.DataConfig
) -> tuple[list[int], list[int], list[int]]:
    """Chooses the frames of each split; the same for the same seed, and ascending within each.

    Args:
      structures: The pool.
      counts: Number of frames of the pool for each split.
      config: Random, stratified or sequential, and the seed.

    Returns:
      Indices of the training, validation and test frames.

    Raises:
      DataError: If the requested number of training frames cannot cover every element.
    """
    train, valid, test = (own.tolist() for own in _split(structures, counts, config))
    return train, valid, test


def _split(
    structures: Sequence[structure.Structure], counts: Counts, config: data_config.DataConfig
) -> list[np.ndarray]:
    """As ``split``, in arrays."""
    order, generator = np.arange(len(structures)), np.random.default_rng(config.split_seed)
    if config.split == "stratified":
        order, needed, pinned = _training_first(structures, generator, counts)
        wanted = (counts.train, counts.valid, counts.test)
        found = stratified.chosen(order, columns.groups(structures), needed, pinned, wanted)
        return [np.asarray(own, np.int64) for own in found]
    if config.split == "random":
        order, needed, pinned = _training_first(structures, generator, counts)
        order = stratified.arranged(order, needed, pinned, counts.valid + counts.test)
        train, rest = order[: counts.train], order[counts.train :][::-1]
    else:
        train, rest = order[: counts.train], order[counts.train :]
    valid, test = np.split(rest[: counts.valid + counts.test], [counts.valid])
    return [np.sort(own) for own in (train, valid, test)]


def subset(num: int, config: data_config.DataConfig, name: str) -> list[int]:
    """Chooses which of the ``num`` frames of a split with its own files are used.

    Raises:
      DataError: If there are fewer.
    """
    wanted: int | None = getattr(config, f"num_{name}")
    if wanted is None:
        return list(range(num))
    if wanted > num:
        raise errors.DataError(
            f"data.num_{name}: asks for {wanted} frames, but the files of data.{name} hold {num}"
        )
    if config.split == "sequential":
        return list(range(wanted))
    return sorted(np.random.default_rng(config.split_seed).permutation(num)[:wanted].tolist())


def _count(num: int, exact: int | None, fraction: float) -> int:
    return exact if exact is not None else math.ceil(round(fraction * num, 9))


def _training_first(
    structures: Sequence[structure.Structure], generator: np.random.Generator, counts: Counts
) -> tuple[np.ndarray, set[int], set[int]]:
    """A random order, the frames that must train, and those that are not set aside.

    The latter are the former and those that occur twice.
    """
    order = generator.permutation(len(structures))
    if isinstance(structures, StoredStructures):
        every, needed = covering.find(structures, order)
        repeated = covering.repeated(structures)
    else:
        elements = _elements(structures)
        every, needed = frozenset().union(*elements), _covering(elements, order)
        repeated = _repeated(structures)
    if len(needed) > counts.train:
        symbols = ", ".join(chemical_symbols[z] for z in sorted({z for z, _ in every}))
        levels = " at each level of theory" if len({head for _, head in every}) > 1 else ""
        raise errors.DataError(
            f"{counts.train} training frames cannot hold all elements ({symbols}){levels}, which "
            f"need {len(needed)}; set fewer frames aside, or raise data.num_train"
        )
    held_out = counts.valid + counts.test
    pinned = needed | repeated
    if len(structures) - len(pinned) < held_out:
        raise errors.DataError(
            f"{len(pinned)} of {len(structures)} frames are not set aside (they hold the only "
            f"atoms of an element, or occur twice), which leaves too few for {held_out} to "
            "validate and test; ask for fewer"
        )
    return order, needed, pinned


def _elements(structures: Sequence[structure.Structure]) -> list[frozenset[tuple[int, str]]]:
    """The elements of each structure with its level of theory; alike ones share a set."""
    known: dict[tuple[bytes, str], frozenset[tuple[int, str]]] = {}
    found = []
    for s in structures:
        key = (s.atomic_numbers.tobytes(), s.head)
        if key not in known:
            known[key] = frozenset((z, s.head) for z in s.atomic_numbers.tolist())
        found.append(known[key])
    return found


def _covering(elements: Sequence[frozenset[tuple[int, str]]], order: np.ndarray) -> set[int]:
    """A small set of frames that has every element at its level of theory, rare ones first."""
    frequency: dict[tuple[int, str], int] = {}
    for present in elements:
        for element in present:
            frequency[element] = frequency.get(element, 0) + 1
    chosen: set[int] = set()
    covered: set[tuple[int, str]] = set()
    for element in sorted(frequency, key=lambda one: (frequency[one], one)):
        if element not in covered:
            index = next(i for i in order.tolist() if element in elements[i])
            chosen.add(index)
            covered |= elements[index]
    return chosen


def _repeated(structures: Sequence[structure.Structure]) -> set[int]:
    """Frames whose configuration occurs more than once at one level of theory."""
    places: dict[tuple[str, str], list[int]] = {}
    digests = fingerprint.configurations(structures)
    for index, (digest, item) in enumerate(zip(digests, structures, strict=True)):
        places.setdefault((digest, item.head), []).append(index)
    return {i for group in places.values() if len(group) > 1 for i in group}
