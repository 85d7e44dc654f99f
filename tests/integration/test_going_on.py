"""Runs that go on with changed settings, and runs whose time is up."""

import dataclasses
import json
import time

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from equipot import errors
from equipot.training import fitting, length, time_limit, trainer
from equipot.training.config import TrainerConfig
from tests.integration.test_fit import records
from tests.integration.tiny import NUM_STEPS, settings

CONSTANT = {"schedule": "constant", "ema_decay": None}


def parameters(run_dir, step):
    with ocp.training.Checkpointer((run_dir / "checkpoints").absolute()) as saved:
        return saved.load_checkpointables(step, {"params": None, "opt": None})


def changed(config, **trainer_settings):
    return dataclasses.replace(
        config,
        resume="changed",
        trainer=dataclasses.replace(config.trainer, **trainer_settings),
    )


@pytest.mark.wide
def test_a_finished_run_is_lengthened_as_if_it_had_been_longer_from_the_start(
    tmp_path, lennard_jones_file, capsys
):
    """Where the rate does not depend on the length."""
    short = settings(
        tmp_path / "run", lennard_jones_file, optimizer=CONSTANT, trainer={"num_steps": 8}
    )
    fitting.fit(short)
    longer = dataclasses.replace(short, trainer=dataclasses.replace(short.trainer, num_steps=16))
    with pytest.raises(
        errors.CheckpointError, match=r"num_steps=8, now it is 16; add resume=changed"
    ):
        fitting.fit(longer)
    fitting.fit(changed(short, num_steps=16))
    assert "From step 8 on, settings of this run have changed" in capsys.readouterr().out
    at_once = settings(
        tmp_path / "one", lennard_jones_file, optimizer=CONSTANT, trainer={"num_steps": 16}
    )
    fitting.fit(at_once)
    assert records(tmp_path / "run") == records(tmp_path / "one")
    jax.tree.map(
        np.testing.assert_array_equal,
        parameters(tmp_path / "run", 16),
        parameters(tmp_path / "one", 16),
    )
    with pytest.raises(errors.CheckpointError, match=r"16 steps are done, .* end after 12;"):
        fitting.fit(changed(short, num_steps=12))
    fitting.fit(longer)  # the settings of now are those of the run
    assert "this run is finished" in capsys.readouterr().out


def test_what_makes_another_run_is_refused_however_it_is_asked_for(tmp_path, lennard_jones_file):
    short = settings(tmp_path / "run", lennard_jones_file)
    fitting.fit(short)
    other = dataclasses.replace(changed(short, num_steps=30, batch_size=3), seed=2)
    with pytest.raises(
        errors.CheckpointError, match=r"run with seed=0, now it is 2; trainer\.batch_size=null"
    ):
        fitting.fit(other)


def test_a_run_ends_when_its_time_is_up_and_the_same_command_goes_on(
    tmp_path, lennard_jones_file, monkeypatch
):
    whole = settings(tmp_path / "whole", lennard_jones_file)
    fitting.fit(whole)
    same = settings(tmp_path / "run", lennard_jones_file, trainer={"max_minutes": 1e-4})
    with pytest.raises(
        errors.TimeUpError, match=rf"stopped by trainer.max_minutes after step 1 of {NUM_STEPS}"
    ):
        fitting.fit(same)
    monkeypatch.setenv(time_limit.SLURM_END, str(int(time.time()) + 30))
    unlimited = settings(tmp_path / "run", lennard_jones_file)
    with pytest.raises(errors.TimeUpError, match="by the end of the job's time after step 2"):
        fitting.fit(unlimited)
    monkeypatch.setenv(time_limit.SLURM_END, str(int(time.time()) + 3600))
    fitting.fit(unlimited)
    assert records(tmp_path / "run") == records(tmp_path / "whole")


def test_the_limit_that_comes_first_counts_and_leaves_room_for_the_longest_step(monkeypatch):
    now = time.monotonic()
    assert not time_limit.TimeLimit.of(TrainerConfig(), now).reached
    monkeypatch.setenv(time_limit.SLURM_END, str(int(time.time()) + 200))
    limit = time_limit.TimeLimit.of(TrainerConfig(max_minutes=60.0), now)
    assert not limit.reached
    for past in (0.0, 100.0, 400.0, 500.0):  # the longest two compiled a program
        limit._last = time.monotonic() - past
        limit.note_step()
    # a validation of 100 s does not fit into the 80 s that are left
    assert limit.reached == "the end of the job's time"
    limit = time_limit.TimeLimit.of(TrainerConfig(max_minutes=1.0), now)
    assert not limit.reached
    past = time_limit.TimeLimit.of(TrainerConfig(max_minutes=1.0), now - 61)
    assert past.reached == "trainer.max_minutes"


def test_a_limit_just_before_the_end_of_a_job_does_not_take_its_room(monkeypatch):
    monkeypatch.setenv(time_limit.SLURM_END, str(int(time.time()) + 90))
    limit = time_limit.TimeLimit.of(TrainerConfig(max_minutes=1.0), time.monotonic())
    assert limit.reached == "the end of the job's time"


@pytest.mark.slow
def test_other_minutes_are_timed_anew_and_counted_from_the_steps_that_are_done(
    tmp_path, lennard_jones_file, monkeypatch
):
    monkeypatch.setattr(trainer, "_TIMED", 3)
    fitted = {1.0: 6, 2.0: 4}
    monkeypatch.setattr(
        length,
        "fill",
        lambda known, own, *_: dataclasses.replace(
            known, num_steps=fitted[own.minutes], valid_every=2
        ),
    )
    timed = {"num_steps": None, "valid_every": None, "batch_size": 4}
    first = settings(tmp_path / "run", lennard_jones_file, trainer={**timed, "minutes": 1.0})
    fitting.fit(first)
    more = changed(first, minutes=2.0)
    fitting.fit(more)
    assert json.loads((tmp_path / "run" / "length.json").read_text())["num_steps"] == 10
    assert "step 10/10" in (tmp_path / "run" / "train.log").read_text()
    fitting.fit(changed(first, minutes=None, num_steps=12))
    assert "step 12/12" in (tmp_path / "run" / "train.log").read_text()
