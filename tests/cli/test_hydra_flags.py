import pathlib

import pytest

from equipot import errors
from equipot.cli import hydra_flags, overrides
from tests.cli import running


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--multrun seed=0,1", r"--multrun: no such flag\. Did you mean '--multirun'"),
        ("--resolve", "--resolve: .* does nothing without it; add --cfg job"),
        ("--package model", "--package: .* does nothing without it"),
        ("--cfg", "--cfg/-c: expected one argument"),
        ("--cfg everything", "--cfg/-c: invalid choice: 'everything'"),
        ("--info nothing", "--info/-i: invalid choice"),
        ("--cfg job -m", "--multirun and --cfg: expected one of them"),
        ("--config-path nowhere", r"there is no folder nowhere\. .* --config-dir FOLDER"),
        ("--experimental-rerun job.pickle", "repeat the command: it goes on"),
    ],
)
def test_a_flag_without_effect_is_refused_with_a_sentence(words, message):
    with pytest.raises(errors.ConfigError, match=message):
        hydra_flags.parse(words.split())


def test_what_is_no_flag_is_a_setting(tmp_path):
    options, words = hydra_flags.parse(["-m", "seed=0,1", "--config-dir", str(tmp_path), "~model"])
    assert words == ["seed=0,1", "~model"] and options.config_dir == str(tmp_path)
    assert hydra_flags.parse(["--cfg=job", "--resolve", "a=1"])[1] == ["a=1"]
    assert hydra_flags.parse(["--info"])[0].info == "all"


def test_the_page_of_hydra_depends_on_no_setting():
    line = overrides.parse(["+experiment=water", "--hydra-help"])
    assert line.for_hydra() == ["--hydra-help"]


def test_settings_are_shown_and_nothing_is_trained(tmp_path: pathlib.Path):
    shown = running.run_train(tmp_path, "+experiment=water", "--cfg", "job", "--package", "trainer")
    assert "num_steps: 7000" in shown.stdout and "cutoff" not in shown.stdout
    assert not list(tmp_path.iterdir())
