import pathlib

import pytest
from omegaconf import OmegaConf

from equipot import errors
from equipot.cli import yaml_errors
from tests.cli.running import refused


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: [1,\n", "line 2, column 1: no YAML: expected the node content"),
        (b"model:\n\tlmax: 3\n", "line 2, column 1: .* with spaces, not with tabs"),
        (b"name: 'a\n", "line 2, column 1: no YAML: found unexpected end"),
        (b"a: 1\nname: a\nname: b\n", "line 3: 'name' stands there twice, first in line 2"),
        (b"a:\n  b: 1\n  b: 1\n", "line 3: 'b' stands there twice, first in line 2"),
        (b"# text\n- 1\n", "line 2: expected lines 'key: value', received"),
        (b"a: 1\nname: ${oops\n", "line 2: cannot read '\\${oops'"),
        (b"a: 1\nname: \xe9\n", "line 2: expected text in UTF-8"),
        (b"a: 1\ndefaults: 7\n", "line 2: defaults: expected a list"),
        (b"defaults:\n  - override /logger: no\n", "line 1: defaults: expected a list"),
        (b"defaults:\n  - 7\n", "line 1: defaults: expected a list"),
    ],
)
def test_a_mistake_in_yaml_is_named_with_its_line(
    content: bytes, message: str, tmp_path: pathlib.Path
):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(errors.ConfigError, match=f"mine.yaml, {message}"):
        yaml_errors.load(path)


def test_an_empty_file_holds_nothing(tmp_path: pathlib.Path):
    path = tmp_path / "mine.yaml"
    path.write_text("# nothing\n")
    assert yaml_errors.load(path) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nname: ${missing}\n", "line 2: name: .*'missing' not found"),
        ("a:\n  b: ${nope.x}\n", "line 2: a.b: .*'nope.x' not found"),
        ("name: ${foo:1}\n", "line 1: name: Unsupported interpolation type foo"),
        ("name: ${a}\na: ${name}\n", "line 1: name: Recursive interpolation"),
        ("a: 1\nname: ???\n", "line 2: name: Missing mandatory value"),
    ],
)
def test_an_interpolation_that_leads_nowhere_is_named_with_its_line(
    text: str, message: str, tmp_path: pathlib.Path
):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with (
        pytest.raises(errors.ConfigError, match=f"mine.yaml, {message}"),
        yaml_errors.explained([path]),
    ):
        OmegaConf.to_container(OmegaConf.load(path), resolve=True, throw_on_missing=True)


def test_a_wrong_value_is_named_with_the_line_that_sets_it(tmp_path: pathlib.Path):
    path = tmp_path / "mine.yaml"
    path.write_text("seed: 1\ntrainer:\n  num_steps: many\n")
    found = yaml_errors.located(errors.ConfigError("trainer.num_steps: expected int"), [path])
    assert str(found) == f"{path}, line 3: trainer.num_steps: expected int"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [1,\n", "mine.yaml, line 3, column 1: no YAML"),
        ("seed: 1\nname: ${missing}\n", "mine.yaml, line 3: name: Interpolation key 'missing'"),
        ("trainer:\n  num_steps: many\n", "mine.yaml, line 3: trainer.num_steps: expected int"),
        ("defaults:\n  - override /model: nonsense\n", "mine.yaml, line 3: "),
    ],
)
def test_the_command_tells_a_mistake_of_an_own_experiment_in_one_sentence(
    text: str, message: str, tmp_path: pathlib.Path
):
    own = tmp_path / "my" / "experiment" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(f"# @package _global_\n{text}")
    words = ("--config-dir", "my", "+experiment=mine", "data.train=x")
    said = refused(tmp_path, *words)
    assert message in said
    assert said.startswith("equipot-train: ")
    assert said.count("\n") == 1
