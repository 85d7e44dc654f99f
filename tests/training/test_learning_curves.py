import json

import numpy as np
import pytest
from PIL import Image

from equipot.quantities import FORCES
from equipot.training import comparison, learning_curves
from tests.training.test_comparison import METRICS


def make(folder, size, forces, **settings):
    """A finished run on so many structures."""
    folder.mkdir(parents=True)
    more = "".join(f"{key}: {value}\n" for key, value in settings.items())
    (folder / "config.yaml").write_text(f"name: {folder.name}\n{more}data:\n  num_train: {size}\n")
    line = {"step": 5, "seconds": 20.0, "valid_loss": forces, "valid_forces_rmse": forces}
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    found = {name: {"rmse": forces, "mae": forces} for name in ("energy", "forces")}
    metrics = METRICS | {"valid": found | {"stress": None}, "test": found | {"stress": None}}
    (folder / "metrics.json").write_text(json.dumps(metrics))


@pytest.fixture
def runs(tmp_path):
    """Two models: errors 3 N⁻¹ᐟ² and 2 N⁻¹ᐟ⁴, and one run that lies on no curve."""
    for size in (50, 100, 200, 400):
        for model, (a, b) in {"x": (3.0, 0.5), "y": (2.0, 0.25)}.items():
            folder = tmp_path / f"curve={model},data.num_train={size}"
            make(folder, size, a * size**-b, seed=size, model=model)
    make(tmp_path / "other", 70, 0.1, model="z")
    return [comparison.read(path) for path in comparison.find([tmp_path])]


def test_a_power_law_is_found_again():
    sizes = np.array([10.0, 20.0, 50.0, 90.0])
    law = learning_curves.fit(sizes, 3.0 * sizes**-0.7)
    assert law.exponent == pytest.approx(0.7) and law.factor == pytest.approx(3.0)
    assert law.deviation == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose(law.at(sizes), 3.0 * sizes**-0.7)
    assert learning_curves.fit(sizes[:1], sizes[:1]) is None


def test_the_deviation_of_the_exponent_is_that_of_repeated_fits():
    rng, sizes = np.random.default_rng(0), np.array([50.0, 100.0, 200.0, 400.0, 800.0])
    noisy = [sizes**-0.5 * np.exp(rng.normal(0, 0.1, 5)) for _ in range(2000)]
    laws = [learning_curves.fit(sizes, errors) for errors in noisy]
    found = np.sqrt(np.mean([law.deviation**2 for law in laws]))
    assert found == pytest.approx(np.std([law.exponent for law in laws]), rel=0.1)


def test_runs_of_one_model_make_a_curve_whatever_their_seeds(runs):
    curves = learning_curves.find(runs, {run.path: run.path.name for run in runs})
    assert [curve.name for curve in curves] == ["curve=x", "curve=y"]
    assert [curve.sizes for curve in curves] == [(50, 100, 200, 400)] * 2
    sizes, errors = curves[0].points("test", "forces")
    np.testing.assert_allclose(errors, 3.0 * sizes**-0.5)


def test_the_table_ends_with_the_exponents(runs):
    names = {run.path: run.path.name for run in runs}
    end = comparison.table(runs, names).splitlines()[-3:]
    assert end[0] == "learning curves, exponents b of RMSE = a N^-b:"
    assert end[1].startswith("curve=x: forces 0.50 ± 0.00, energy 0.50 ± 0.00")
    assert end[2].startswith("curve=y: forces 0.25 ")
    assert end[1].endswith("(50, 100, 200, 400 structures)")


def test_runs_of_one_size_have_no_curve(runs):
    same = [run for run in runs if run.settings["data.num_train"] == 50]
    assert learning_curves.find(same, {run.path: run.path.name for run in same}) == []
    assert learning_curves.lines([], [FORCES]) == []


def test_the_picture_has_a_panel_of_curves(runs, tmp_path):
    names = {run.path: run.path.name for run in runs}
    comparison.save_picture(tmp_path / "with.png", runs, names)
    comparison.save_picture(tmp_path / "without.png", runs[:1], names)
    wide, narrow = (Image.open(tmp_path / f"{name}.png") for name in ("with", "without"))
    assert wide.width > 1.4 * narrow.width
