import dataclasses

import numpy as np
import pytest

from equipot import errors
from equipot.training import length
from equipot.training.config import TrainerConfig, train_config
from equipot.training.folder import RunFolder
from equipot.training.length import Length, Pace
from tests.training.datasets import made_of


def dataset(structures, num_train, num_valid):
    """With as many structures as asked for, the same again and again."""
    return made_of(structures[:1] * num_train, structures[:1] * num_valid)


def chosen(structures, num_train=1000, num_valid=100, devices=1, **given):
    return length.choose(TrainerConfig(**given), dataset(structures, num_train, num_valid), devices)


def test_what_is_given_is_taken(lennard_jones):
    given = {"num_steps": 7, "batch_size": 3, "valid_every": 2}
    assert chosen(lennard_jones, **given) == Length(**given)
    assert chosen(lennard_jones, num_epochs=5, batch_size=3) == Length(batch_size=3)
    assert not length.is_open(TrainerConfig(**given))
    assert length.sentence(TrainerConfig(**given), Length(**given), 3) == ""


@pytest.mark.parametrize(
    ("num_train", "devices", "expected"), [(1000, 1, 8), (30, 1, 3), (5, 1, 1), (40, 4, 1)]
)
def test_an_epoch_has_ten_batches_where_there_are_so_many_structures(
    lennard_jones, num_train, devices, expected
):
    assert len(lennard_jones[0].positions) == 4
    assert chosen(lennard_jones, num_train, devices=devices).batch_size == expected


def test_batches_of_large_structures_are_small(lennard_jones):
    small = lennard_jones[0]
    for copies, expected in ((4, 4), (16, 1), (200, 1)):
        number = len(small.positions) * copies
        large = dataclasses.replace(
            small,
            positions=np.tile(small.positions, (copies, 1)),
            atomic_numbers=np.tile(small.atomic_numbers, copies),
            forces=np.zeros((number, 3)),
        )
        assert chosen([large]).batch_size == expected


@pytest.mark.parametrize(
    ("num_train", "expected"), [(40, 5_000), (1_000, 12_500), (100_000, 100_000)]
)
def test_a_run_has_a_hundred_epochs_within_bounds(lennard_jones, num_train, expected):
    assert chosen(lennard_jones, num_train).num_steps == expected


@pytest.mark.parametrize(("num_valid", "expected"), [(8, 250), (800, 400), (80_000, 12_500)])
def test_validations_are_fifty_unless_they_would_take_too_long(lennard_jones, num_valid, expected):
    assert chosen(lennard_jones, 1_000, num_valid).valid_every == expected


def test_the_choice_is_said_with_the_keys_that_set_it(lennard_jones):
    said = length.sentence(TrainerConfig(), chosen(lennard_jones), 125)
    assert said == (
        "Chosen for the size of the data: batches of 8 structures, 12500 steps, a validation every"
        " 250 (set by trainer.batch_size, trainer.num_steps, trainer.valid_every)"
    )
    minutes = {"minutes": 20.0}
    said = length.sentence(TrainerConfig(**minutes), chosen(lennard_jones, **minutes), 125)
    assert said == (
        "Chosen for the size of the data: batches of 8 structures (set by trainer.batch_size)"
    )


def test_a_run_that_is_shorter_than_an_epoch_says_so(lennard_jones):
    own = chosen(lennard_jones, 8_000_000)
    said = length.sentence(TrainerConfig(), own, 1_000_000).splitlines()
    assert own.num_steps == 100_000
    assert said[1].startswith("These see 10 % of the training structures, once: an epoch has 10000")


@pytest.mark.parametrize(("validation", "expected"), [(0.01, 100), (0.5, 500)])
def test_steps_and_validations_fill_the_time(validation, expected):
    """Fifty of them, or as many as take a tenth of it."""
    trainer, pace = TrainerConfig(minutes=1.0), Pace(step=0.01, validation=validation)
    found = length.fill(Length(batch_size=4), trainer, pace, left=50.0)
    assert found.batch_size == 4 and found.valid_every == expected
    taken = found.num_steps * pace.step + found.num_steps / found.valid_every * pace.validation
    assert 0.99 * 50 < taken <= 50


@pytest.mark.parametrize("left", [-3.0, 0.001])
def test_one_step_is_taken_even_where_compiling_takes_all_of_the_time(left):
    trainer, pace = TrainerConfig(minutes=0.1), Pace(step=0.01, validation=0.5)
    found = length.fill(Length(batch_size=4), trainer, pace, left)
    assert (found.num_steps, found.valid_every) == (1, 1)


def test_it_is_said_where_most_of_the_time_was_gone_before_the_first_step():
    pace, one = Pace(step=0.1, validation=0.5), Length(batch_size=4, num_steps=1, valid_every=1)
    said = length.timed(one, pace, minutes=1.0, gone=80.0)
    assert "; 1 step in all, a validation every 1, in trainer.minutes=1." in said
    assert "80 of these 60 s were gone before the first step" in said
    many = Length(batch_size=4, num_steps=500, valid_every=100)
    said = length.timed(many, pace, minutes=1.0, gone=10.0)
    assert "; 500 steps in all, a validation every 100" in said and "gone" not in said


def test_a_given_interval_of_validations_stays():
    trainer, pace = TrainerConfig(minutes=1.0, valid_every=10), Pace(step=0.1, validation=1.0)
    found = length.fill(Length(batch_size=4), trainer, pace, left=60.0)
    assert (found.num_steps, found.valid_every) == (300, 10)


def test_what_was_written_is_read(tmp_path):
    place = RunFolder(tmp_path, "x")
    assert length.read(place) is None
    for own in (Length(batch_size=4), Length(batch_size=4, num_steps=8, valid_every=2)):
        length.write(place, TrainerConfig(), own)
        assert length.read(place) == own
    length.write(place, TrainerConfig(num_steps=8, valid_every=2), own)
    assert length.read(place) == Length(batch_size=4)  # what is given stands in the settings


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"minutes": 9.0}, Length(batch_size=4)),
        ({"num_steps": 90}, Length(batch_size=4, num_steps=90, valid_every=2)),
        ({"num_epochs": 9}, Length(batch_size=4, valid_every=2)),
    ],
)
def test_a_run_of_some_minutes_gets_another_length(lennard_jones, given, expected):
    known = Length(batch_size=4, num_steps=8, valid_every=2)
    found = length.begun(TrainerConfig(**given), known, dataset(lennard_jones, 9, 1), 1, True)
    assert found == expected


def configuration(**trainer):
    return train_config({"data": {"train": "x"}, "model": {"name": "nequip"}, "trainer": trainer})


@pytest.mark.parametrize("content", ["", "[]", '{"batch_size": "x"}', '{"batch_size": 0}', "{}"])
def test_a_damaged_file_is_refused(tmp_path, content):
    place = RunFolder(tmp_path, "x")
    place.length.write_text(content)
    with pytest.raises(errors.CheckpointError, match=r"length\.json: .*another name or run_dir"):
        length.read(place)


@pytest.mark.parametrize("key", ["num_steps", "num_epochs"])
def test_minutes_and_another_length_are_refused(key):
    with pytest.raises(
        errors.ConfigError,
        match=rf"trainer.minutes: .* received {key}=9 too; .* or set trainer.{key}=null",
    ):
        TrainerConfig(minutes=20.0, **{key: 9})


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf")])
def test_minutes_are_a_positive_number(value):
    with pytest.raises(errors.ConfigError, match=r"trainer.minutes: expected (more|a finite)"):
        TrainerConfig(minutes=value)


def test_processes_agree_on_one_number():
    assert length.agreed(Length(batch_size=1, num_steps=12, valid_every=3)) == (12, 3)
