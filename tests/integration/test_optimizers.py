"""Optimizers with states of their own, in whole runs that are stopped and resumed."""

import signal

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from equipot import errors
from equipot.potential import artefact
from equipot.training import config, fitting, trainer
from tests.integration import tiny

NUM_STEPS = 8
CHOICES = {
    "soap": {"name": "soap", "soap": {"precondition_every": 2, "acts_on": "all"}},
    "schedule_free": {"name": "schedule_free", "schedule": "constant", "ema_decay": None},
}


def trained(optimizer, run_dir, data):
    """What the last checkpoint of a short run holds."""
    settings = config.train_config(
        {
            "name": "argon",
            "run_dir": str(run_dir),
            "data": {"train": str(data), "num_valid": 6, "test_fraction": 0.0, "num_train": 12},
            "model": tiny.MODEL,
            "potential": {"dtype": "float64"},
            "optimizer": CHOICES[optimizer],
            "trainer": {
                "num_steps": NUM_STEPS,
                "batch_size": 6,
                "valid_every": NUM_STEPS,
                "num_devices": 1,
            },
        }
    )
    folder = fitting.fit(settings)
    with ocp.training.Checkpointer((folder / "checkpoints").absolute()) as saved:
        return saved.load_checkpointables(None, {"params": None, "ema": None, "opt": None})


def stop_after_five(run, look=trainer.Trainer.look_around):
    if run.progress.step == 5:
        signal.raise_signal(signal.SIGTERM)
    look(run)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", CHOICES)
def test_a_run_that_is_stopped_ends_in_the_same_bits_as_one_left_alone(
    tmp_path, lennard_jones_file, monkeypatch, optimizer
):
    expected = trained(optimizer, tmp_path / "one", lennard_jones_file)
    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "look_around", stop_after_five)
        with pytest.raises(errors.StoppedError, match="after step 5"):
            trained(optimizer, tmp_path / "stopped", lennard_jones_file)
    resumed = trained(optimizer, tmp_path / "stopped", lennard_jones_file)
    jax.tree.map(np.testing.assert_array_equal, resumed, expected)

    kept = artefact.load(tmp_path / "one" / "argon.equipot").params
    jax.tree.map(np.testing.assert_array_equal, kept, expected["ema"])
    said = (tmp_path / "one" / "train.log").read_text()
    assert ("the optimizer's own average" in said) == (optimizer == "schedule_free")
