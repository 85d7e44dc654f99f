"""Divides frames among the splits so that each split has its share of every group."""

from collections.abc import Sequence, Set

import numpy as np


def chosen(
    order: np.ndarray,
    groups: Sequence[str],
    needed: Set[int],
    fixed: Set[int],
    counts: tuple[int, int, int],
) -> tuple[list[int], list[int], list[int]]:
    """Chooses the frames of each split, as near to the share of each group as whole frames allow.

    Args:
      order: Indices of all frames at random.
      groups: Group of each frame.
      needed: Frames that must train.
      fixed: Frames that are not set aside, those among them.
      counts: Number of training, validation and test frames; enough frames are not fixed.

    Returns:
      Indices of the training, validation and test frames, each ascending.
    """
    names, which = np.unique(np.asarray(groups), return_inverse=True)
    by_group = order[np.argsort(which[order], kind="stable")]
    members = np.split(by_group, np.cumsum(np.bincount(which, minlength=len(names)))[:-1])
    sizes = np.array([len(own) for own in members])
    free = np.array([sum(i not in fixed for i in own.tolist()) for own in members])
    least = np.array([sum(i in needed for i in own.tolist()) for own in members])
    train, valid, test = counts
    none = np.zeros_like(least)
    num_valid = apportion(valid, sizes, none, _most(valid, test, free))
    num_test = apportion(test, sizes, none, free - num_valid)
    num_train = apportion(train, sizes, least, sizes - num_valid - num_test)
    splits: tuple[list[int], list[int], list[int]] = ([], [], [])
    for own, wanted in zip(members, zip(num_train, num_valid, num_test, strict=True), strict=True):
        first, second, third = map(int, wanted)
        own, end = arranged(own, needed, fixed, second + third), len(own)
        splits[0].extend(own[:first].tolist())
        splits[1].extend(own[end - second :].tolist())
        splits[2].extend(own[end - second - third : end - second].tolist())
    return sorted(splits[0]), sorted(splits[1]), sorted(splits[2])


def arranged(order: np.ndarray, needed: Set[int], fixed: Set[int], set_aside: int) -> np.ndarray:
    """Frames that must train first and those set aside last, each in the order given.

    Args:
      order: Indices at random.
      needed: Frames that must train.
      fixed: Frames that are not set aside, those among them; enough are not.
      set_aside: How many are.
    """
    must = np.isin(order, list(needed))
    free = np.flatnonzero(~np.isin(order, list(fixed)))
    rank = np.where(must, 0, 1)
    rank[free[len(free) - set_aside :]] = 2
    return order[np.argsort(rank, kind="stable")]


def _most(valid: int, test: int, free: np.ndarray) -> np.ndarray:
    """Validation frames of a group at most, so that testing finds its share of what is free."""
    return np.ceil(free * valid / max(valid + test, 1)).astype(np.int64)


def apportion(total: int, shares: np.ndarray, least: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Divides a number into whole parts in proportion to shares, by the largest remainders.

    Args:
      total: At least the sum of ``least``, at most that of ``most``.
      shares: Positive.
      least: Lower bound of each part.
      most: Upper bound of each part.
    """
    ideal = total * shares / shares.sum()
    parts = np.clip(np.floor(ideal).astype(np.int64), least, most)
    while parts.sum() < total:
        parts[int(np.argmax(np.where(parts < most, ideal - parts, -np.inf)))] += 1
    while parts.sum() > total:
        parts[int(np.argmax(np.where(parts > least, parts - ideal, -np.inf)))] -= 1
    return parts
