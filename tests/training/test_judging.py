"""What decides on the best: stages, measures, and runs without validation."""

import dataclasses
import math

import pytest

from equipot import errors
from equipot.training import config, judging
from equipot.training.state import Progress
from tests.training.datasets import made_of

BASE = {"data": {"train": "x"}, "model": {"name": "nequip"}}


def settings(**changes):
    return config.train_config({**BASE, **changes})


def after(judge, values):
    """The progress after a validation every ten steps with these values."""
    progress = Progress()
    for number, value in enumerate(values, start=1):
        progress = dataclasses.replace(progress, step=10 * number)
        progress = judge.validated(progress, value)
    return progress


def test_the_best_of_a_second_stage_is_chosen_in_it():
    own = settings(stage_two={"start": 0.5, "energy": 10.0})
    judge = judging.Judge.of(own, 60)
    first = after(judge, [3.0, 1.0, 2.0])
    assert (first.best_step, first.best_loss, first.waited) == (20, 1.0, 1)
    second = after(judge, [3.0, 1.0, 2.0, 9.0, 8.0])
    assert (second.best_step, second.best_loss, second.waited) == (50, 8.0, 0)
    assert after(judge, [3.0, 1.0, 2.0, 9.0, 9.5]).best_step == 40
    assert judging.Judge.of(settings(), 60).begins is None
    assert after(judging.Judge.of(settings(), 60), [3.0, 1.0, 2.0, 9.0]).best_step == 20


def test_each_stage_is_judged_by_the_weights_that_it_ends_with():
    own = settings(
        stage_two={"start": 0.5, "energy": 10.0},
        loss={"changes": {"forces": {"to": 4.0}}},
    )
    judge = judging.Judge.of(own, 60)
    terms = [judge.loss(Progress(step=step)).last_terms for step in (10, 30, 31)]
    assert terms[0] == terms[1] == {"energy": 1.0, "forces": 4.0, "stress": 0.0}
    assert terms[2] == {"energy": 10.0, "forces": 4.0, "stress": 0.0}


def test_early_stopping_does_not_lose_the_second_stage():
    own = settings(stage_two={"start": 0.5}, trainer={"early_stopping_patience": 2})
    judge = judging.Judge.of(own, 100)
    waits = after(judge, [1.0, 2.0, 3.0, 4.0])
    assert waits.waited == 3 and not judge.stops(waits)
    assert not judge.stops(dataclasses.replace(waits, step=51))  # begun, but not validated yet
    assert judge.stops(after(judge, [*5 * [1.0], 2.0, 3.0, 4.0]))
    alone = judging.Judge.of(settings(trainer={"early_stopping_patience": 2}), 100)
    assert alone.stops(waits)


def test_plateau_begins_anew_in_a_second_stage_and_rests_if_that_has_its_own_rate():
    optimizer = {"schedule": "plateau", "plateau_patience": 1}
    values = [1.0, 5.0, 5.0, 9.0, 9.0]
    factors = {}
    for rate in (None, 0.1):
        own = settings(optimizer=optimizer, stage_two={"start": 0.6, "learning_rate": rate})
        factors[rate] = after(judging.Judge.of(own, 50), values).plateau
    assert factors[None].factor == 0.125 and factors[None].best == 9.0
    assert factors[0.1].factor == 0.25 and factors[0.1].best == math.inf


def test_a_stage_that_never_begins_is_refused():
    own = settings(stage_two={"start": 50})
    judging.check_moments(own, 51)
    judging.check_moments(own, 0)
    with pytest.raises(errors.ConfigError, match="fewer than the 50 steps of the run, received 50"):
        judging.check_moments(own, 50)


@pytest.mark.parametrize(
    ("change", "steps"),
    [
        ({"start": 50_000, "end": 60_000}, "which are the steps 50000 and 60000"),
        ({"start": 0.9, "end": 1_000}, "which are the steps 18000 and 1000"),
        ({"start": 0.5, "end": 30_000}, "which are the steps 10000 and 30000"),
    ],
)
def test_changes_that_the_run_does_not_reach_are_refused(change, steps):
    own = settings(loss={"changes": {"energy": {"to": 10.0, **change}}})
    judging.check_moments(own, 0)
    judging.check_moments(own, 20_000, is_new=False)
    with pytest.raises(errors.ConfigError, match=f"loss.changes.energy: expected .*{steps}"):
        judging.check_moments(own, 20_000)


def test_a_warm_up_that_outlasts_the_run_is_said(lennard_jones):
    own = settings(optimizer={"warmup_steps": 500})
    data = made_of(lennard_jones[:2], lennard_jones[2:3])
    assert any("rises for 500 steps" in note for note in judging.notes(own, data, 200))
    assert not any("rises" in note for note in judging.notes(own, data, 2_000))


WITHOUT = {"train": "x", "valid_fraction": 0.0}


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"trainer": {"early_stopping_patience": 3}}, "trainer.early_stopping_patience"),
        ({"optimizer": {"schedule": "plateau"}}, "optimizer.schedule=plateau"),
        ({"trainer": {"best": "forces_rmse"}}, "trainer.best=forces_rmse"),
    ],
)
def test_what_needs_validation_frames_is_refused_without(lennard_jones, changes, setting):
    data = made_of(lennard_jones[:2])
    judging.check(settings(data=WITHOUT), data)
    with pytest.raises(errors.ConfigError, match=f"{setting}: expected validation frames"):
        judging.check(settings(data=WITHOUT, **changes), data)


def test_a_split_that_happens_to_be_empty_is_none_that_was_asked_for(lennard_jones):
    with pytest.raises(errors.DataError, match=r"or data.valid_fraction=0 to train without"):
        judging.check(settings(), made_of(lennard_jones[:2]))


def test_a_measure_without_labels_is_refused(lennard_jones):
    bare = [dataclasses.replace(s, stress_weight=0.0) for s in lennard_jones[:2]]
    own = settings(trainer={"best": "valid_stress_mae"})
    assert own.best_column == "valid_stress_mae"
    judging.check(own, made_of(lennard_jones[:2], lennard_jones[:2]))
    with pytest.raises(errors.DataError, match="none of the 2 validation frames has a label of st"):
        judging.check(own, made_of(lennard_jones[:2], bare))
