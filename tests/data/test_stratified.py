"""Splits that have their share of every group."""

from collections import Counter

import numpy as np
import pytest

from equipot.data import config, dataset, stratified


def test_parts_are_whole_and_within_their_bounds():
    shares = np.array([50, 30, 20])
    none, all_ = np.zeros(3, int), shares
    assert stratified.apportion(10, shares, none, all_).tolist() == [5, 3, 2]
    assert stratified.apportion(9, shares, none, all_).tolist() == [4, 3, 2]
    assert stratified.apportion(10, shares, none, np.array([2, 9, 9])).sum() == 10
    assert stratified.apportion(10, shares, np.array([0, 0, 6]), all_).tolist() == [3, 1, 6]


@pytest.fixture
def grouped(write, labelled_water):
    """A file of 60 waters in three groups of 40, 15 and 5."""
    frames = labelled_water(60)
    for atoms, group in zip(frames, 40 * ["a"] + 15 * ["b"] + 5 * ["c"], strict=True):
        atoms.info["config_type"] = group
    return write("grouped.extxyz", frames)


def read(path, **settings):
    own = {"split": "stratified", "group_key": "config_type", **settings}
    return dataset.read_dataset(config.DataConfig(train=path, **own))


def counts(part):
    return dict(sorted(Counter(s.group for s in part).items()))


def test_each_split_has_its_share_of_every_group(grouped):
    found = read(grouped, valid_fraction=0.2, test_fraction=0.2)
    assert counts(found.train) == {"a": 24, "b": 9, "c": 3}
    assert counts(found.valid) == counts(found.test) == {"a": 8, "b": 3, "c": 1}
    sources = [s.source for part in found.splits.values() for s in part]
    assert len(set(sources)) == 60
    assert any("at random (seed 0) from each 'config_type'" in line for line in found.found)


def test_exact_numbers_are_divided_too(grouped):
    found = read(grouped, num_train=12, num_valid=6, num_test=0)
    assert counts(found.train) == {"a": 8, "b": 3, "c": 1}
    assert counts(found.valid) == {"a": 4, "b": 2}
    again = read(grouped, num_train=12, num_valid=6, num_test=0)
    assert again.fingerprint == found.fingerprint
    other = read(grouped, num_train=12, num_valid=6, num_test=0, split_seed=1)
    assert other.fingerprint != found.fingerprint


def test_a_random_split_may_leave_a_group_out(grouped):
    """What stratified is for: at random, the smallest group is unevenly divided."""
    shares = [
        counts(read(grouped, split="random", split_seed=s).test).get("c", 0) for s in range(9)
    ]
    assert len(set(shares)) > 1
    assert {counts(read(grouped, split_seed=s).test)["a"] for s in range(9)} == {4}


def test_frames_that_must_train_are_not_set_aside(write, labelled_water):
    frames = labelled_water(12)
    for number, atoms in enumerate(frames):
        atoms.info["config_type"] = "a" if number < 6 else "b"
    frames[7].numbers[0] = 16
    frames[3] = frames[2].copy()
    frames[3].calc = frames[2].calc
    found = read(write("pinned.extxyz", frames), num_train=4, num_valid=3, num_test=3)
    assert any(16 in s.atomic_numbers for s in found.train)
    held = [s.source for s in (*found.valid, *found.test)]
    assert not any("frame 2 " in f"{s} " or "frame 3 " in f"{s} " for s in held)
    assert (len(found.valid), len(found.test)) == (3, 3)
