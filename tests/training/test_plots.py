import errno
import json
import os

import numpy as np
import pytest

from equipot import errors
from equipot.potential.evaluate import HostPrediction
from equipot.training import plots


def prediction(structure, rng):
    return HostPrediction(
        energy=structure.energy + 0.1 * rng.normal(),
        energies=np.zeros(len(structure.positions)),
        forces=structure.forces + rng.normal(scale=0.1, size=structure.forces.shape),
        stress=structure.stress,
        has_stress=True,
    )


def test_three_pictures_are_drawn_without_a_display(tmp_path, lennard_jones):
    rng = np.random.default_rng(0)
    predictions = [prediction(s, rng) for s in lennard_jones]
    lines = [{"step": n, "loss": 1 / n, "valid_loss": 2 / n, "forces_rmse": 1 / n} for n in (1, 2)]
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    files = plots.save_plots(tmp_path / "plots", {"test": (lennard_jones, predictions)}, metrics)
    assert [f.name for f in files] == ["parity.png", "errors.png", "learning_curve.png"]
    for file in files:
        assert file.read_bytes().startswith(b"\x89PNG")


def test_a_killed_run_leaves_no_torn_picture_and_no_draft(tmp_path, lennard_jones, monkeypatch):
    def killed(figure, path, **options):
        path.write_bytes(b"half a picture")
        raise KeyboardInterrupt

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", killed)
    (tmp_path / "metrics.jsonl").write_text("")
    split = {
        "test": (lennard_jones, [prediction(s, np.random.default_rng(0)) for s in lennard_jones])
    }
    with pytest.raises(KeyboardInterrupt):
        plots.save_plots(tmp_path / "plots", split, tmp_path / "metrics.jsonl")
    assert list((tmp_path / "plots").iterdir()) == []


def test_a_full_disk_is_one_sentence(tmp_path, lennard_jones, monkeypatch):
    def full(figure, path, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    (tmp_path / "metrics.jsonl").write_text("")
    split = {
        "test": (lennard_jones, [prediction(s, np.random.default_rng(0)) for s in lennard_jones])
    }
    with pytest.raises(
        errors.CheckpointError, match=r"parity\.png: could not be written \(No space"
    ):
        plots.save_plots(tmp_path / "plots", split, tmp_path / "metrics.jsonl")
