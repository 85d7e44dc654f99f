import dataclasses

import numpy as np
import pytest

from equipot import errors
from equipot.data import splits, structure
from equipot.data.config import DataConfig


def _pool(*elements):
    """One structure for each set of atomic numbers, all different."""
    generator = np.random.default_rng(0)
    return [
        structure.Structure(
            positions=generator.normal(size=(len(numbers), 3)), atomic_numbers=np.array(numbers)
        )
        for numbers in elements
    ]


def _split(pool, **settings):
    config = DataConfig(train="a", **settings)
    counts = splits.plan_counts(len(pool), config, set_aside_valid=True, set_aside_test=True)
    return splits.split(pool, counts, config)


def test_every_frame_goes_to_exactly_one_split():
    train, valid, test = _split(_pool(*[[1, 8]] * 50))
    assert (len(train), len(valid), len(test)) == (40, 5, 5)
    assert sorted(train + valid + test) == list(range(50))


def test_the_same_seed_gives_the_same_split_and_another_seed_another():
    pool = _pool(*[[1, 8]] * 50)
    assert _split(pool, split_seed=3) == _split(pool, split_seed=3)
    assert _split(pool, split_seed=3) != _split(pool, split_seed=4)


@pytest.mark.parametrize("seed", range(20))
def test_every_element_stays_in_training(seed):
    rare = [[1, 8], [6], [7, 6], [9, 1], [16], [17, 1]]
    pool = _pool(*[[1, 8]] * 14, *rare)
    train, valid, test = _split(pool, split_seed=seed, valid_fraction=0.3, test_fraction=0.3)
    held = {int(z) for i in train for z in pool[i].atomic_numbers}
    assert held == {1, 6, 7, 8, 9, 16, 17}
    assert len(valid) == len(test) == 6


@pytest.mark.parametrize("seed", range(10))
def test_a_configuration_that_occurs_twice_is_never_held_out(seed):
    pool = _pool(*[[1, 8]] * 16)
    pool += [dataclasses.replace(pool[3], energy=1.0), pool[7]]
    train, _, _ = _split(pool, split_seed=seed, valid_fraction=0.3, test_fraction=0.3)
    assert {3, 7, 16, 17} <= set(train)


@pytest.mark.parametrize("split", ["random", "stratified"])
def test_frames_that_occur_twice_are_not_preferred_for_training(split):
    pool = _pool(*[[1, 8]] * 160)
    pool += pool[:40]
    pool = [dataclasses.replace(s, group=str(i % 2)) for i, s in enumerate(pool)]
    settings = {"num_train": 50, "num_valid": 20, "num_test": 20, "split": split}
    train, valid, test = _split(pool, **settings, group_key="parity")
    repeated = {*range(40), *range(160, 200)}
    assert not repeated & {*valid, *test}
    assert 10 < len(repeated & {*train}) < 40  # of 50, where 80 of the 160 left occur twice


def test_a_configuration_at_two_levels_of_theory_can_be_held_out():
    pool = [dataclasses.replace(s, head="dft") for s in _pool(*[[1, 8]] * 10)]
    pool += [dataclasses.replace(s, head="xtb") for s in pool]
    train, valid, test = _split(pool)
    assert (len(train), len(valid), len(test)) == (16, 2, 2)


@pytest.mark.parametrize("seed", range(20))
def test_every_level_of_theory_stays_in_training(seed):
    pool = _pool(*[[1, 8]] * 20)
    pool[4:6] = [dataclasses.replace(s, head="rare") for s in pool[4:6]]
    train, _, _ = _split(pool, split_seed=seed, num_valid=9, num_test=9)
    assert {pool[i].head for i in train} == {"", "rare"}


def test_held_out_frames_stay_the_same_when_fewer_train():
    pool = _pool(*[[1, 8]] * 40)
    _, valid, test = _split(pool, num_train=30, num_valid=4, num_test=4)
    few, valid_too, test_too = _split(pool, num_train=5, num_valid=4, num_test=4)
    assert (valid, test) == (valid_too, test_too) and len(few) == 5


def test_in_file_order_the_first_frames_train_and_the_next_validate():
    pool = _pool(*[[1, 8]] * 20)
    train, valid, test = _split(pool, split="sequential", num_train=12, num_valid=3, num_test=2)
    assert train == list(range(12)) and valid == [12, 13, 14] and test == [15, 16]


def test_a_positive_fraction_gives_at_least_one_frame():
    train, valid, test = _split(_pool(*[[1]] * 5))
    assert (len(train), len(valid), len(test)) == (3, 1, 1)
    assert _split(_pool(*[[1]] * 5), valid_fraction=0.0, test_fraction=0.0)[1:] == ([], [])


def test_a_pool_that_is_too_small_is_refused():
    message = "hold 2 frames, too few for 1 to train, 1 to validate and 1 to test"
    with pytest.raises(errors.DataError, match=message):
        _split(_pool([1], [1]))
    with pytest.raises(errors.DataError, match="too few for 19 to train, 2 to validate and 2 to"):
        _split(_pool(*[[1]] * 20), num_train=19)


def test_more_elements_than_training_frames_can_hold_are_refused():
    message = r"2 training frames cannot hold all elements \(H, C, O\), which need 3; set fewer"
    with pytest.raises(errors.DataError, match=message):
        _split(_pool([1], [6], [8], [1], [1]), num_train=2, num_valid=1, num_test=1)


def test_frames_that_must_all_train_cannot_be_set_aside():
    with pytest.raises(
        errors.DataError, match=r"6 of 6 frames are not set aside .* too few for 2 to"
    ):
        _split(_pool([1, 8]) * 6)


def test_a_split_with_its_own_files_can_be_cut():
    config = DataConfig(train="a", num_test=5, split="sequential")
    assert splits.subset(9, config, "test") == [0, 1, 2, 3, 4]
    assert splits.subset(9, config, "valid") == list(range(9))
    drawn = splits.subset(9, DataConfig(train="a", num_test=5), "test")
    assert len(set(drawn)) == 5 and drawn == sorted(drawn) != [0, 1, 2, 3, 4]
    with pytest.raises(errors.DataError, match=r"data.num_test: asks for 5 frames, but .* hold 4"):
        splits.subset(4, config, "test")


def test_a_file_names_the_frames_of_each_split(tmp_path):
    path = tmp_path / "split.json"
    path.write_text('{"train": [4, 0, 2], "test": [3]}')
    config = DataConfig(train="a", split_file=str(path), num_valid=1)
    pool = _pool(*[[1, 8]] * 5)
    expected = {"train": [0, 2, 4], "valid": [], "test": [3]}
    assert splits.choose(pool, config, ["valid"]) == expected  # the number is that of its own file
    with pytest.raises(errors.DataError, match=r"num_valid: has no effect beside"):
        splits.choose(pool, config, [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"train": [0', "cannot be read as JSON"),
        ("[0, 1]", "expected an object with lists train, valid, test"),
        ('{"train": [], "valid": [1]}', "train not empty"),
        ('{"train": [0], "validation": [1]}', "expected an object"),
        ('{"train": [0], "valid": 1}', "'valid' is 1"),
        ('{"train": [0, 5]}', "'train' has 5; expected frame numbers from 0 to 4"),
        ('{"train": [-1]}', "'train' has -1"),
        ('{"train": [true]}', "'train' has True"),
        ('{"train": [0, 1], "valid": [1]}', "frame 1 is in 'train' and again in 'valid'"),
        ('{"train": [0], "test": [1]}', "names frames for 'test', but data.test gives it files"),
    ],
)
def test_a_file_of_frames_that_cannot_be_followed_is_refused(tmp_path, text, said):
    path = tmp_path / "split.json"
    path.write_text(text)
    config = DataConfig(train="a", split_file=str(path))
    with pytest.raises(errors.DataError, match=said):
        splits.choose(_pool(*[[1, 8]] * 5), config, ["test"])
