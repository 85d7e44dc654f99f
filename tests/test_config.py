import dataclasses
from collections.abc import Mapping
from typing import Literal

import pytest

from equipot import config, errors


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = 0.1
    name: Literal["adam", "adamw"] = "adam"
    clip: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer:
    files: str | tuple[str, ...]
    steps: int = 10
    use_ema: bool = True
    inner: Inner = Inner()
    scale: Literal["rms"] | float = "rms"
    weights: Mapping[str, float] = dataclasses.field(default_factory=dict)


def test_a_mapping_becomes_a_tree_of_dataclasses_and_back():
    mapping = {
        "files": ["a.xyz", "b.xyz"],
        "steps": 3,
        "use_ema": False,
        "inner": {"rate": 0.5, "name": "adamw", "clip": None},
        "scale": 2.0,
        "weights": {"H": 1.0},
    }
    made = config.from_mapping(Outer, mapping)
    assert made.files == ("a.xyz", "b.xyz")
    assert made.inner == Inner(rate=0.5, name="adamw")
    assert config.to_mapping(made) == mapping


def test_what_is_left_out_keeps_its_default():
    made = config.from_mapping(Outer, {"files": "a.xyz"})
    assert made == Outer(files="a.xyz")


def test_whole_numbers_are_taken_as_floats_and_round_floats_as_whole_numbers():
    made = config.from_mapping(Outer, {"files": "a", "steps": 1e5, "inner": {"rate": 1}})
    assert (made.steps, type(made.steps)) == (100_000, int)
    assert (made.inner.rate, type(made.inner.rate)) == (1.0, float)


def test_a_misspelt_key_is_named_with_its_place_and_a_suggestion():
    message = r"^inner: unknown key 'rat'\. Did you mean 'rate'\? Known: rate, name"
    with pytest.raises(errors.ConfigError, match=message):
        config.from_mapping(Outer, {"files": "a", "inner": {"rat": 1.0}})


def test_a_missing_key_is_asked_for():
    with pytest.raises(errors.ConfigError, match="configuration: needs a value for files"):
        config.from_mapping(Outer, {})


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"steps": 1.5}, "steps: expected int, received 1.5"),
        ({"steps": True}, "steps: expected int, received True"),
        ({"steps": None}, "steps: expected int, received None"),
        ({"use_ema": 1}, "use_ema: expected bool, received 1"),
        ({"files": 3}, "files: expected str or a list of str, received 3"),
        ({"scale": "rm"}, "scale: expected rms or float, received 'rm'"),
        ({"inner": 3}, "inner: expected a group of keys, received 3"),
        ({"inner": {"clip": "x"}}, "inner.clip: expected float, received 'x'"),
        ({"weights": {"H": "x"}}, "weights.H: expected float, received 'x'"),
    ],
)
def test_a_value_of_another_type_is_refused(mapping, message):
    with pytest.raises(errors.ConfigError) as caught:
        config.from_mapping(Outer, {"files": "a"} | mapping)
    assert message in str(caught.value)


def test_a_choice_that_is_not_offered_is_answered_with_those_that_are():
    message = "expected one of adam, adamw; received 'adamx'. Did you mean 'adam"
    with pytest.raises(errors.ConfigError, match=message):
        config.from_mapping(Outer, {"files": "a", "inner": {"name": "adamx"}})


def test_a_place_may_be_given_for_a_part_read_alone():
    with pytest.raises(errors.ConfigError, match=r"^model\.nequip\.rate: expected float"):
        config.from_mapping(Inner, {"rate": "x"}, "model.nequip")


@pytest.mark.parametrize("value", [float("nan"), 10**400])
def test_what_is_no_number_of_the_computer_is_refused(value):
    @dataclasses.dataclass(frozen=True)
    class Settings:
        rate: float

    with pytest.raises(errors.ConfigError, match="rate: expected a number, received"):
        config.from_mapping(Settings, {"rate": value})
