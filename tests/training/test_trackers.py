"""What trackers keep of a run, read back from their files."""

import re
import sys
import time

import pytest

from equipot import errors
from equipot.training import run_log, trackers
from equipot.training.config import LoggerConfig
from tests.training.event_files import kept_events

FOUND = {"test": {"forces": {"rmse": 12.5, "mae": 9.0, "unit": "meV/Å"}}}


def picture(folder):
    from matplotlib.figure import Figure

    path = folder / "parity.png"
    Figure(figsize=(0.2, 0.1)).savefig(path)
    return path


def test_tensorboard_shows_no_step_twice_after_a_resumption(tmp_path):
    pytest.importorskip("tensorboardX")
    config = LoggerConfig(name="tensorboard")
    with run_log.RunLog(tmp_path, {}) as log:
        log.start_tracker(config, {"name": "water"}, tmp_path)
        for step in (10, 20, 30):
            log.record({"step": step, "loss": 1.0 / step, "valid_loss": 0.5, "seconds": 1.0})
    with run_log.RunLog(tmp_path, {}) as log:
        log.start_tracker(config, {"name": "water"}, tmp_path, 20)
        for step in (30, 40):
            log.record({"step": step, "loss": 2.0 / step, "forces_rmse": 0.1})
        log.finish_tracker(FOUND, [picture(tmp_path)], tmp_path / "water.equipot")
    kept = kept_events(tmp_path)
    losses = [(step, round(value, 6)) for step, tag, value in kept if tag == "train/loss"]
    assert losses == [(10, 0.1), (20, 0.05), (30, 0.066667), (40, 0.05)]
    tags = {tag for _, tag, _ in kept}
    assert tags >= {"valid/loss", "run/seconds", "train/forces_rmse", "settings/text_summary"}
    assert (40, "final/test/forces_rmse", 12.5) in kept and "plots/parity" in tags


def test_an_absent_package_is_named_before_anything_is_read(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(errors.ConfigError, match=r"needs the package tensorboardX.*pip install"):
        trackers.check(LoggerConfig(name="tensorboard"))
    trackers.check(LoggerConfig())
    assert trackers.begin(LoggerConfig(), {"name": "water"}, tmp_path) is None


def test_wandb_keeps_errors_pictures_and_the_potential(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staged"))
    potential = tmp_path / "my water.equipot"
    potential.write_bytes(b"a potential")
    with run_log.RunLog(tmp_path, {}) as log:
        log.start_tracker(LoggerConfig(name="wandb"), {"name": "water"}, tmp_path)
        log.record({"step": 1, "loss": 0.5})
        log.finish_tracker(FOUND, [picture(tmp_path)], potential)
    [run] = (tmp_path / "wandb").glob("offline-run-*")
    assert len(list((run / "files" / "media" / "images" / "plots").glob("parity*.png"))) == 1
    [path] = run.glob("*.wandb")
    errors_ = re.compile(rb"final/test/forces_rmse.{1,20}12\.5", re.DOTALL)
    deadline = time.monotonic() + 20  # the process of wandb writes when it comes to it
    while not (errors_.search(path.read_bytes()) and b"my_water" in path.read_bytes()):
        assert time.monotonic() < deadline, path.read_bytes()[:1000]
        time.sleep(0.1)
    assert (tmp_path / run_log.TEXT).read_text() == ""


def test_what_wandb_does_not_take_is_said_and_ends_no_run(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staged"))
    with run_log.RunLog(tmp_path, {}) as log:
        log.start_tracker(LoggerConfig(name="wandb"), {"name": "water"}, tmp_path)
        log.finish_tracker(FOUND, [], tmp_path / "not_there.equipot")
    assert "wandb did not take the results" in (tmp_path / run_log.TEXT).read_text()


def test_tags_are_grouped_by_what_they_are_of():
    names = ("loss", "valid_loss", "forces_rmse", "valid_dipole_mae", "learning_rate", "waiting")
    assert [trackers.tag(name) for name in names] == [
        "train/loss",
        "valid/loss",
        "train/forces_rmse",
        "valid/dipole_mae",
        "run/learning_rate",
        "run/waiting",
    ]
