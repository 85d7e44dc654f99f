import json
import os
import pathlib
import re
import subprocess
import sys

import hydra
import pytest
import yaml
from omegaconf import OmegaConf

from equipot.cli import config_files
from equipot.cli import job as _resolvers  # noqa: F401 - names runs after their files
from equipot.models import registry
from equipot.training import config as training_config
from tests.cli.running import TINY, refused, run_train


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "data.train: needs a file of structures, as in data.train=my.extxyz"),
        (("+experimant=water",), "unknown key 'experimant'. Did you mean 'experiment'?"),
        (("data.train=x", "trainer.num_steps=many"), "trainer.num_steps: expected int"),
        (("data.train=x", "++loss.wieght=1"), "loss: unknown key 'wieght'."),
        (("data.train=x", "loss.kind=sme"), "Did you mean 'mse'?"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing_behind(
    arguments: tuple[str, ...], message: str, tmp_path: pathlib.Path
):
    said = refused(tmp_path, *arguments)
    assert said.startswith("equipot-train: ")
    assert message in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.wide
def test_a_misspelt_key_of_the_model_behind_a_plus_is_refused_before_data_are_read(
    tmp_path: pathlib.Path,
):
    (tmp_path / "empty.xyz").touch()
    done = run_train(tmp_path, "data.train=empty.xyz", "+model.lmaxx=1", code=2)
    assert "model.mace: unknown key 'lmaxx'. Did you mean 'lmax'?" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["empty.xyz"]


def test_a_missing_file_is_one_sentence(tmp_path: pathlib.Path):
    done = run_train(tmp_path, "data.train=not_there.xyz", code=2)
    assert done.stderr.startswith("equipot-train: not_there.xyz: no such file or folder")


def test_a_file_without_its_key_is_answered_with_what_to_type(tmp_path: pathlib.Path):
    (tmp_path / "my.xyz").touch()
    said = refused(tmp_path, "my.xyz")
    assert "To train on it: equipot-train data.train=my.xyz" in said


def test_the_shell_completes_keys_and_options(tmp_path: pathlib.Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = [str(pathlib.Path(sys.executable).with_name("equipot-train")), "-sc"]
    script = subprocess.check_output([*command, "install=bash"], text=True)
    assert "complete -o nospace -o default -F hydra_bash_completion equipot-train" in script
    for typed, offered in (
        ("model=n", {"model=nequip"}),
        ("trainer.num_st", {"trainer.num_steps="}),
    ):
        line = f"equipot-train {typed}"
        monkeypatch.setenv("COMP_LINE", line)
        monkeypatch.setenv("COMP_POINT", str(len(line)))
        monkeypatch.setenv("COMP_CWORD", "1")
        found = subprocess.check_output([*command, "query=bash"], text=True)
        assert set(found.split()) == offered


def test_a_users_own_experiment_is_composed(tmp_path: pathlib.Path):
    own = tmp_path / "my" / "experiment" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("# @package _global_\nname: mine\nmodel: {lmax: 3}\n")
    words = ("+experiment=mine", "--config-dir", "my", "seed=7", "--cfg", "job")
    composed = yaml.safe_load(run_train(tmp_path, *words).stdout)
    assert (composed["name"], composed["model"]["lmax"], composed["seed"]) == ("mine", 3, 7)


def test_an_experiment_without_its_package_line_is_explained(tmp_path: pathlib.Path):
    own = tmp_path / "my" / "experiment" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("name: mine\n")
    said = refused(tmp_path, "--config-dir", "my", "+experiment=mine")
    assert "its first line must be '# @package _global_'" in said


def configuration(*overrides: str) -> training_config.TrainConfig:
    """What a command line composes, checked."""
    folder = str(config_files.shipped_folder().resolve())
    with hydra.initialize_config_dir(folder, version_base="1.3"):
        composed = OmegaConf.to_container(hydra.compose("train", list(overrides)), resolve=True)
    config = training_config.train_config(composed)
    registry.config_from_mapping(config.model)
    return config


def test_every_experiment_composes_into_a_right_configuration():
    for name in config_files.groups([config_files.shipped_folder()])["experiment"]:
        assert configuration(f"+experiment={name}").name == name


@pytest.mark.parametrize("name", registry.available())
def test_a_first_look_at_ethanol_suits_every_model(name):
    assert configuration("+experiment=rmd17_ethanol", f"model={name}").model["name"] == name


@pytest.mark.slow
def test_a_sweep_gives_each_run_a_folder_named_after_what_was_swept(sweep: pathlib.Path):
    runs = sweep / "multirun" / "copper"
    at_end = ["comparison.png", "comparison.txt", "members.json"]
    assert sorted(p.name for p in runs.iterdir()) == [*at_end, "multirun.yaml", "seed=0", "seed=1"]
    assert json.loads((runs / "members.json").read_text())["seed=1"][-1] == "seed=1"
    assert [p.name for p in sweep.iterdir()] == ["multirun"]
    for seed in (0, 1):
        folder = runs / f"seed={seed}"
        assert yaml.safe_load((folder / "config.yaml").read_text())["seed"] == seed
        assert json.loads((folder / "metrics.json").read_text())["test"]["forces"]["rmse"] > 0
        assert (folder / "copper.equipot").is_file()
        assert not (folder / ".hydra").exists()


@pytest.mark.slow
def test_the_same_command_finds_a_finished_run(sweep: pathlib.Path, copper: pathlib.Path):
    before = (sweep / "multirun/copper/seed=0/copper.equipot").read_bytes()
    done = run_train(sweep, "-m", f"data.train={copper}", *TINY, "seed=0,1")
    assert done.stdout.count("this run is finished") == 2
    assert (sweep / "multirun/copper/seed=0/copper.equipot").read_bytes() == before


@pytest.mark.slow
def test_a_model_of_another_package_has_settings_and_a_line_of_help(tmp_path, monkeypatch):
    package = tmp_path / "site" / "their_package"
    (package / "configs" / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "newnet.py").write_text("from equipot.models.schnet import Config, Model\n")
    text = "# a network of theirs\nname: newnet\ncutoff: 4.5\nnum_channels: 64\n"
    (package / "configs" / "model" / "newnet.yaml").write_text(text)
    about = tmp_path / "site" / "their_package-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[equipot.models]\nnewnet = their_package.newnet\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"), prepend=os.pathsep)

    assert re.search(r"newnet +a network of theirs", run_train(tmp_path, "--help").stdout)
    (tmp_path / "my.xyz").touch()
    words = ("data.train=my.xyz", "model=newnet", "model.num_channels=8")
    shown = yaml.safe_load(run_train(tmp_path, *words, "--cfg", "job").stdout)
    assert (shown["model"]["name"], shown["model"]["cutoff"]) == ("newnet", 4.5)
    done = run_train(tmp_path, *words[:2], "+model.numchannels=8", code=2)
    assert "model.newnet: unknown key 'numchannels'. Did you mean 'num_channels'?" in done.stderr
    done = run_train(tmp_path, *words, code=2)
    assert "my.xyz" in done.stderr and done.stderr.count("\n") == 1
