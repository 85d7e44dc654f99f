"""One device and four give the same run."""

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from equipot.training import config, fitting

NUM_STEPS = 6


def trained_on(num_devices, run_dir, data):
    """Parameters after steps that each see the whole training split, however it is spread."""
    settings = config.train_config(
        {
            "name": "devices",
            "run_dir": str(run_dir),
            "data": {"train": str(data), "num_valid": 6, "test_fraction": 0.0, "num_train": 20},
            "model": {
                "name": "nequip",
                "cutoff": 4.5,
                "num_layers": 1,
                "lmax": 0,
                "num_channels": 2,
                "radial_widths": [4],
            },
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


def test_four_devices_train_what_one_trains(tmp_path, lennard_jones_file):
    one = trained_on(1, tmp_path / "one", lennard_jones_file)
    four = trained_on(4, tmp_path / "four", lennard_jones_file)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8), one, four)
