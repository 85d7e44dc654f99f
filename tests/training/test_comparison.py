"""Runs side by side: what their folders hold, in order, and what their settings differ in."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from equipot import errors
from equipot.cli import compare
from equipot.training import comparison

METRICS = {"train": None, "test": None, "seconds": 90.0}


def make_run(
    folder: pathlib.Path, rate: float, forces: float, finished: bool = True, **settings: float
) -> pathlib.Path:
    """A folder as training leaves it, with two validations."""
    folder.mkdir(parents=True)
    trainer = "".join(f"  {key}: {value}\n" for key, value in settings.items())
    text = (
        f"name: {folder.name}\noptimizer:\n  learning_rate: {rate}\ntrainer:\n  seed: 0\n{trainer}"
    )
    (folder / "config.yaml").write_text(text)
    lines = [
        {"step": 5, "seconds": 20.0, "valid_loss": 2 * forces, "valid_forces_rmse": 2 * forces},
        {"step": 10, "seconds": 40.0, "valid_loss": forces, "valid_forces_rmse": forces},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if finished:
        errors_ = {name: {"rmse": forces, "mae": forces} for name in ("energy", "forces")}
        found = METRICS | {"valid": errors_ | {"stress": None}}
        (folder / "metrics.json").write_text(json.dumps(found))
    return folder


@pytest.fixture
def runs(tmp_path):
    make_run(tmp_path / "a", 0.01, 0.03)
    make_run(tmp_path / "b", 0.02, 0.02, batch_size=4)
    make_run(tmp_path / "c", 0.02, 0.05, finished=False)
    return [comparison.read(path) for path in comparison.find([tmp_path])]


def test_the_best_is_first_and_one_that_goes_on_shows_its_best_validation(runs):
    names = compare.short_names([run.path for run in runs])
    text = comparison.table(runs, names)
    rows = [line.split() for line in text.splitlines()]
    assert rows[0] == ["run", "valid", "forces", "valid", "energy", "minutes"]
    assert rows[1] == ["meV/Å", "meV/atom"]
    assert rows[2] == ["1", "b", "20.00", "20.00", "1.5", "finished"]
    assert rows[3] == ["2", "a", "30.00", "30.00", "1.5", "finished"]
    assert rows[4] == ["3", "c", "50.00", "0.7", "step", "10"]
    assert "optimizer.learning_rate: 0.02 (1, 3); 0.01 (2)" in text
    assert "trainer.batch_size: 4 (1); null (2, 3)" in text
    assert "name:" not in text


def test_settings_of_another_model_are_no_difference():
    def run(path, **model):
        settings = {f"model.{key}": value for key, value in model.items()} | {"seed": 0}
        return comparison.Run(path=pathlib.Path(path), settings=settings)

    three = [run("a", name="x", width=1), run("b", name="x", width=2), run("c", name="y", gate="z")]
    assert comparison.differences(three) == ["model.name", "model.width"]
    assert comparison.differences(three[1:]) == ["model.name"]


def test_a_failed_run_is_last_with_its_sentence(runs, tmp_path):
    (tmp_path / "d").mkdir()
    failed = comparison.read(tmp_path / "d", "optimizer.learning_rate: expected a positive number")
    every = [failed, *runs]
    text = comparison.table(every, {run.path: run.path.name for run in every})
    assert "failed: optimizer.learning_rate: expected a positive" in text.splitlines()[5]


def test_the_picture_has_a_line_for_each_run(runs, tmp_path):
    names = {run.path: run.path.name for run in runs}
    comparison.save_picture(tmp_path / "all.png", runs, names)
    colors = np.asarray(Image.open(tmp_path / "all.png").convert("RGB")).reshape(-1, 3)
    for color in ((31, 119, 180), (255, 127, 14), (44, 160, 44)):
        assert (colors == color).all(axis=1).sum() > 50
    empty = [comparison.read(tmp_path / "nothing")]
    with pytest.raises(errors.DataError, match="none of these runs has a validation yet"):
        comparison.save_picture(tmp_path / "none.png", empty, {})


def test_folders_without_runs_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    for name, why in (("empty", "holds no run"), ("not_there", "there is no such folder")):
        with pytest.raises(
            errors.DataError, match=f"{name}: expected the folder of a run .*; {why}"
        ):
            comparison.find([tmp_path / name])


def test_short_names_leave_out_what_is_shared(tmp_path):
    paths = [tmp_path / "one" / "water", tmp_path / "two" / "water"]
    assert list(compare.short_names(paths).values()) == ["one/water", "two/water"]
    assert list(compare.short_names(paths[:1]).values()) == ["water"]


def test_the_best_validation_so_far_is_that_of_the_measure_that_decides(tmp_path):
    lines = [
        {"step": 5, "valid_loss": 1.0, "valid_energy_mae": 0.2, "valid_forces_rmse": 0.1},
        {"step": 9, "valid_loss": 2.0, "valid_energy_mae": 0.1, "valid_forces_rmse": 0.3},
    ]
    for best, expected in (({}, 0.1), ({"trainer.best": "energy_mae"}, 0.3)):
        run = comparison.Run(path=tmp_path, settings=best, lines=lines)
        assert run.rmse("valid", "forces") == expected
