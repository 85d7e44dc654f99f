"""A run that is to last for some minutes: timed once, then as long as was written down."""

import json
import re

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from equipot import errors
from equipot.training import fitting, length, trainer
from tests.integration.test_optimizers import stop_after_five
from tests.integration.tiny import NUM_STEPS, settings

LENGTH = length.Length(batch_size=2, num_steps=NUM_STEPS, valid_every=8)


@pytest.fixture
def train(tmp_path, lennard_jones_file, monkeypatch):
    """Trains for a minute, which is found to be some steps; says how often it was timed."""
    timed = []
    monkeypatch.setattr(length, "fill", lambda *_: timed.append(1) or LENGTH)
    monkeypatch.setattr(trainer, "_TIMED", 3)

    def run(name):
        timed.clear()
        steps = {"num_steps": None, "minutes": 1.0, "valid_every": None, "batch_size": 2}
        same = settings(tmp_path / name, lennard_jones_file, trainer=steps)
        try:
            return fitting.fit(same)
        finally:
            run.timed = len(timed)

    return run


def parameters(run_dir):
    with ocp.training.Checkpointer((run_dir / "checkpoints").absolute()) as saved:
        assert saved.latest.step == NUM_STEPS
        return saved.load_checkpointables(None, {"params": None, "ema": None, "opt": None})


@pytest.mark.wide
def test_a_run_is_timed_until_its_length_is_written_and_goes_on_with_that(
    tmp_path, train, monkeypatch
):
    undisturbed = train("one")
    assert train.timed == 1
    assert json.loads((undisturbed / "length.json").read_text()) == {
        "batch_size": 2,
        "num_steps": NUM_STEPS,
        "valid_every": 8,
    }
    said = (undisturbed / "train.log").read_text()
    assert re.search(
        r"Timed: .* ms a step, .* s a validation; 24 steps in all, a validation every 8", said
    )
    assert "step 8/24" in said and "step 24/24" in said

    with monkeypatch.context() as patch:
        patch.setattr(length, "fill", lambda *_: exec("raise KeyboardInterrupt"))
        with pytest.raises(KeyboardInterrupt):
            train("stopped")
    assert json.loads((tmp_path / "stopped" / "length.json").read_text())["num_steps"] is None
    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "look_around", stop_after_five)
        with pytest.raises(errors.StoppedError, match="after step 5 of 24"):
            train("stopped")
    assert train.timed == 1
    resumed = train("stopped")
    assert train.timed == 0
    jax.tree.map(np.testing.assert_array_equal, parameters(resumed), parameters(undisturbed))


@pytest.mark.slow
def test_the_number_of_steps_of_a_run_that_has_begun_must_be_there(tmp_path, train, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "look_around", stop_after_five)
        with pytest.raises(errors.StoppedError):
            train("run")
    (tmp_path / "run" / "length.json").unlink()
    with pytest.raises(errors.CheckpointError, match=r"length.json: expected the number of steps"):
        train("run")


def test_a_few_seconds_are_filled(tmp_path, lennard_jones_file):
    """With what is left after compiling; the command itself, without anything in its place."""
    steps = {"num_steps": None, "minutes": 0.01, "valid_every": None}
    run_dir = fitting.fit(settings(tmp_path / "run", lennard_jones_file, trainer=steps))
    found = json.loads((run_dir / "length.json").read_text())
    last = json.loads((run_dir / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["step"] == found["num_steps"] >= 1
    assert "Chosen for the size of the data: batches of 2" in (run_dir / "train.log").read_text()
