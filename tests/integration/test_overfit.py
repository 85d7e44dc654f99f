"""Four structures can be learnt by heart."""

import json

import ase.io
import pytest

from equipot.training import config, fitting


@pytest.mark.slow
def test_four_structures_are_learnt_by_heart(tmp_path, lennard_jones_file):
    frames = ase.io.read(lennard_jones_file, ":4")
    ase.io.write(tmp_path / "four.extxyz", frames)
    mapping = {
        "name": "four",
        "run_dir": str(tmp_path / "run"),
        "data": {"train": str(tmp_path / "four.extxyz"), "valid": str(lennard_jones_file)},
        "model": {
            "name": "nequip",
            "cutoff": 4.5,
            "num_layers": 2,
            "lmax": 1,
            "num_channels": 8,
            "radial_widths": [16],
        },
        "optimizer": {"learning_rate": 0.02},
        "trainer": {
            "num_steps": 200,
            "batch_size": 4,
            "valid_every": 100,
            "log_every": 10,
            "num_devices": 1,
        },
    }
    mapping["data"] |= {"num_valid": 2, "test_fraction": 0.0}
    folder = fitting.fit(config.train_config(mapping))
    found = json.loads((folder / "metrics.json").read_text())["train"]
    assert found["forces"]["relative"] < 0.1
    assert found["energy"]["relative"] < 0.1
