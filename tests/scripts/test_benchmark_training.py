"""The benchmark of training, without training."""

import argparse
import json
import math
import pathlib

import pytest

from equipot.cli import config_files
from scripts.benchmark import recipes, training


def result(recipe, mae, name="water"):
    return {"set": name, "recipe": recipe, "seed": 0, "valid": {"forces": {"mae": mae}}}


def test_the_better_half_goes_on_and_failures_do_not():
    results = [result("a", 0.3), result("b", 0.1), result("c", 0.2)]
    results += [result("a", 0.1, "si"), result("b", 0.2, "si"), result("c", 0.4, "si")]
    results += [{"set": name, "recipe": "d", "seed": 0, "failed": "x"} for name in ("water", "si")]
    assert training.better_half(results, ["a", "b", "c", "d"]) == ["b", "a"]
    assert training.better_half(results, ["c", "d"]) == ["c"]
    assert training.better_half(results, ["c", "d", "e", "f"]) == ["c"]
    assert training.force_error(results[-1]) == math.inf


@pytest.fixture
def asked(monkeypatch):
    """Stands for ``equipot-train``: writes what it would, or fails; the settings of each run."""
    words_of_runs = []

    def run(program, stdout, stderr, check):
        words = dict(word.split("=", 1) for word in program[3:])
        words_of_runs.append(words)
        if words.get("optimizer") == "soap":
            stdout.write("equipot-train: too bad\n")
            return argparse.Namespace(returncode=2)
        folder = pathlib.Path(words["run_dir"])
        if (folder / "metrics.json").exists():
            return argparse.Namespace(returncode=0)
        folder.mkdir()
        validation = {"step": 9, "seconds": 3.0, "valid_loss": 0.5, "valid_forces_mae": 0.2}
        lines = [{"step": 5, "loss": 1.0}, {**validation, "loss": 1.0}]
        (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
        errors = {"forces": {"mae": 0.1}}
        found = {"valid": errors, "test": errors, "seconds": 4.0}
        (folder / "metrics.json").write_text(json.dumps(found))
        return argparse.Namespace(returncode=0)

    monkeypatch.setattr(training.subprocess, "run", run)
    return words_of_runs


def arguments(output, *words):
    parser = argparse.ArgumentParser()
    training.add_arguments(parser)
    return parser.parse_args([*words, "--output", str(output)])


def test_runs_are_made_once_and_their_results_put_together(tmp_path, asked, capsys):
    words = ("--recipes", "default", "soap", "--minutes", "3", "--jobs", "2")
    first = training.run(arguments(tmp_path, *words))
    assert len(asked) == 2 and all(each["trainer.minutes"] == "3" for each in asked)
    again = training.run(arguments(tmp_path, *words))
    # Two at a time come in any order; whether a run is done, and the same, it knows itself.
    before, after = (
        sorted(each, key=lambda words: words["run_dir"]) for each in (asked[:2], asked[2:])
    )
    assert after == before
    assert first == again == json.loads((tmp_path / "results.json").read_text())
    good, bad = first
    assert (good["steps"], good["seconds"], "test" in good) == (9, 4.0, False)
    assert [point["valid_forces_mae"] for point in good["curve"]] == [0.2]
    assert bad["failed"] == "equipot-train: too bad"
    assert "failed: equipot-train: too bad" in capsys.readouterr().out
    assert (tmp_path / "training.png").stat().st_size > 1000
    tested = training.run(arguments(tmp_path, *words, "--test"))
    assert tested[0]["test"] == {"forces": {"mae": 0.1}}


def test_halving_trains_what_is_left_for_twice_the_minutes(tmp_path, asked):
    words = ("--recipes", "default", "amsgrad", "nequip", "mine", "--halving")
    found = training.run(
        arguments(tmp_path, *words, "--minutes", "1", "--also", "mine=seed=3 a=[1,2]")
    )
    assert [each["trainer.minutes"] for each in asked] == ["1"] * 4 + ["2"] * 2 + ["4"]
    assert len(found) == 7
    assert asked[3]["seed"] == "0" and asked[3]["a"] == "[1,2]"


def test_an_unknown_recipe_is_refused(tmp_path):
    with pytest.raises(SystemExit, match=r"unknown 'x'. Known: default, "):
        training.run(arguments(tmp_path, "--recipes", "x"))


@pytest.mark.parametrize("choice", [*recipes.RECIPES.values(), *recipes.SETS.values()])
def test_files_that_recipes_and_sets_choose_exist(choice):
    folder = config_files.shipped_folder()
    for word in choice:
        key, value = word.split("=")
        assert "." in key or (folder / key / f"{value}.yaml").is_file()
