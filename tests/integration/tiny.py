"""The smallest run that has all parts; tests that share its settings share its programs."""

from equipot.training import config

NUM_STEPS = 24
MODEL = {
    "name": "nequip",
    "cutoff": 4.5,
    "num_layers": 1,
    "lmax": 0,
    "num_channels": 2,
    "radial_widths": [4],
}


def settings(run_dir, data, **change) -> config.TrainConfig:
    """A configuration; ``trainer`` is changed by key, all else as a whole."""
    steps = {"num_steps": NUM_STEPS, "valid_every": 8, "log_every": 4, "num_devices": 1}
    mapping = {
        "name": "argon",
        "run_dir": str(run_dir),
        "data": {"train": str(data), "num_valid": 6, "num_test": 6, "group_key": "temperature"},
        "model": MODEL,
        "loss": {"stress": 10.0},
    }
    merged = {**mapping, **{k: v for k, v in change.items() if k != "trainer"}}
    merged["trainer"] = {**steps, **change.get("trainer", {})}
    return config.train_config(merged)
