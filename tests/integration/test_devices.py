"""One device and four give the same run, also where it changes between them."""

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from equipot import errors
from equipot.training import config, fitting
from tests.integration import host_run, tiny

NUM_STEPS = 6


def trained_on(num_devices, run_dir, data):
    """Parameters after steps that each see the whole training split, however it is spread."""
    settings = config.train_config(
        {
            "name": "devices",
            "run_dir": str(run_dir),
            "data": {"train": str(data), "num_valid": 6, "test_fraction": 0.0, "num_train": 20},
            "model": tiny.MODEL,
            "potential": {"dtype": "float64"},
            "loss": {"stress": 10.0},
            "trainer": {
                "num_steps": NUM_STEPS,
                "batch_size": 24 // num_devices,
                "valid_every": NUM_STEPS,
                "num_devices": num_devices,
            },
        }
    )
    folder = fitting.fit(settings)
    with ocp.training.Checkpointer((folder / "checkpoints").absolute()) as saved:
        return saved.load_checkpointables(None, {"params": None, "ema": None})


@pytest.mark.slow  # in the suite one step is compared, and two hosts with one
def test_four_devices_train_what_one_trains(tmp_path, lennard_jones_file):
    one = trained_on(1, tmp_path / "one", lennard_jones_file)
    four = trained_on(4, tmp_path / "four", lennard_jones_file)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8), one, four)


def parameters(run_dir):
    with ocp.training.Checkpointer((run_dir / "checkpoints").absolute()) as saved:
        assert saved.latest.step == host_run.NUM_STEPS
        return saved.load_checkpointables(None, {"params": None, "ema": None, "opt": None})


def stopped(settings, steps):
    stop = host_run.StopsItself(steps, lambda: setattr(stop, "received", "SIGTERM"))
    with pytest.raises(errors.StoppedError, match="a checkpoint is in"):
        fitting.fit(settings, stop)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(1, 4, marks=pytest.mark.slow),  # two hosts become one in test_hosts.py
        pytest.param(4, 1, marks=pytest.mark.slow),
        pytest.param(2, 3, marks=pytest.mark.slow),
    ],
)
def test_a_run_goes_on_on_another_number_of_devices(tmp_path, lennard_jones_file, before, after):
    def settings(name, devices):
        run, size = str(tmp_path / name), 12 // before
        data = str(lennard_jones_file)
        return host_run.configuration(run, data, num_devices=devices, batch_size=size)

    whole = parameters(fitting.fit(settings("whole", before)))
    stopped(settings("moved", before), 2)
    moved = fitting.fit(settings("moved", after))
    log = (moved / "train.log").read_text()
    assert f"began on {before} devices and goes on on {after}" in log
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9),
        parameters(moved),
        whole,
    )
