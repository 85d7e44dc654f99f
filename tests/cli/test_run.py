import pytest

from equipot import errors
from equipot.cli import run


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("data/my.extxyz.xz", "my"),
        (["a/first.xyz", "second.xyz"], "first"),
        ("equipot://data/water/train.extxyz.xz", "train"),
        (None, "run"),
    ],
)
def test_a_run_is_named_after_its_training_file(path: object, name: str):
    assert run.name_from(path) == name


def test_a_mapping_without_data_is_refused():
    with pytest.raises(errors.ConfigError, match="needs a file of structures"):
        run.train({"model": {"name": "nequip"}})
