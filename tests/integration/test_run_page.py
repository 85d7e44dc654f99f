"""The page of runs that are running, have ended badly, and are finished."""

import json
import re
import signal

import pytest

from equipot import errors
from equipot.training import fitting, programs, trainer
from equipot.training.run_page import page
from tests.integration.tiny import settings
from tests.training.event_files import kept_events, read_events

RENDER = page.render


@pytest.fixture(scope="module")
def finished(tmp_path_factory, lennard_jones_file):
    """A run, and its page as it was after each time that it was written."""
    pages, write = [], page.render
    programs.forget()  # compilations of this run are counted

    def kept(contents):
        pages.append(write(contents))
        return pages[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "render", kept)
        for name in ("_REST", "_REST_AFTER_IMPORT"):
            patch.setattr(f"equipot.training.run_page.writer.{name}", -1)
        patch.setattr("equipot.training.plots.save_plots", lambda *_: [])
        folder = fitting.fit(settings(tmp_path_factory.mktemp("run") / "run", lennard_jones_file))
    return folder, pages


def test_a_page_follows_each_validation_and_ends_with_everything(finished):
    folder, pages = finished
    assert len(pages) == 4 and (folder / "report.html").read_text() == pages[-1]
    for i, text in enumerate(pages[:3], start=1):
        assert f"At step {8 * i} of 24, still training" in text
        assert "<h2>Validation</h2>" in text and "<h2>Errors</h2>" not in text
    last = pages[-1]
    assert "Finished after 24 steps." in last
    for title in ("Errors by element", "Errors by group", "Predictions against labels"):
        assert title in last
    assert "The worst structures of the test split" in last
    assert "jit(train_step) 1 time(s)" in last and re.search(r"padding: [\d.]+% of nodes", last)
    assert re.search(r"[\d.]+ % of the time of the steps", last)
    assert "shortest distances in Å" in last and "Model nequip with" in last
    assert "<td>trainer.valid_every</td>" in last
    assert len(last) < 1_000_000


def test_the_page_states_the_errors_of_metrics_json(finished):
    folder, pages = finished
    metrics = json.loads((folder / "metrics.json").read_text())
    for split in ("train", "valid", "test"):
        for name in ("energy", "forces", "stress"):
            rmse = f"{1000 * metrics[split][name]['rmse']:.2f}"
            assert f'<td class="number">{rmse}</td>' in pages[-1]


def test_lines_say_which_share_of_the_time_was_waited(finished):
    lines = [json.loads(x) for x in (finished[0] / "metrics.jsonl").read_text().splitlines()]
    assert all(0.0 < line["waiting"] < 1.0 for line in lines)


@pytest.mark.wide
def test_an_error_in_drawing_is_a_line_in_the_log_and_no_end(
    tmp_path, lennard_jones_file, monkeypatch
):
    def broken(contents):
        raise ZeroDivisionError("no such color")

    monkeypatch.setattr(page, "render", broken)
    folder = fitting.fit(settings(tmp_path / "run", lennard_jones_file))
    log = (folder / "train.log").read_text()
    assert "report.html could not be written (ZeroDivisionError: no such color); the run" in log
    assert (folder / "metrics.json").exists() and not (folder / "report.html").exists()


@pytest.mark.slow
def test_a_run_that_goes_on_shows_no_step_twice_at_tensorboard(
    tmp_path, lennard_jones_file, monkeypatch
):
    pytest.importorskip("tensorboardX")
    config_ = settings(tmp_path / "run", lennard_jones_file, logger={"name": "tensorboard"})
    look_around = trainer.Trainer.look_around

    def broken(self):
        look_around(self)
        if self.progress.step == 13:  # the last checkpoint is of step 8
            raise errors.StoppedError("broken off")

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "look_around", broken)
        with pytest.raises(errors.StoppedError, match="broken off"):
            fitting.fit(config_)
    assert [step for step, tag, _ in read_events(tmp_path / "run") if tag == "train/loss"][-1] == 12
    fitting.fit(config_)
    kept = kept_events(tmp_path / "run")
    assert [step for step, tag, _ in kept if tag == "train/loss"] == [4, 8, 12, 16, 20, 24]
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    final = {tag: value for step, tag, value in kept if step == 24}
    expected = 1000 * metrics["test"]["forces"]["rmse"]
    assert final["final/test/forces_rmse"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.wide
def test_the_page_of_a_run_that_was_stopped_says_so(tmp_path, lennard_jones_file, monkeypatch):
    monkeypatch.setattr(page, "render", RENDER)
    look_around = trainer.Trainer.look_around

    def stopped(self):
        look_around(self)
        if self.progress.step == 9:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(trainer.Trainer, "look_around", stopped)
    with pytest.raises(errors.StoppedError):
        fitting.fit(settings(tmp_path / "run", lennard_jones_file))
    text = (tmp_path / "run" / "report.html").read_text()
    assert "Ended after step 9: stopped by SIGTERM after step 9 of 24" in text
