import pytest

from equipot.cli import names


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("data/my.extxyz.xz", "my"),
        (["a/first.xyz", "second.xyz"], "first"),
        ("equipot://data/water/train.extxyz.xz", "train"),
        (None, "run"),
        (".hidden.xyz", "hidden"),
        ("..", "run"),
        ("a@b.xyz", "a@b"),
        ("line\nbreak.xyz", "line_break"),
    ],
)
def test_a_run_is_named_after_its_training_file(path: object, name: str):
    assert names.name_from(path) == name


@pytest.mark.parametrize("letter", ["a", "é", "水"])
def test_a_long_name_of_a_file_gives_a_shorter_one_that_is_its_own(letter: str):
    first, second = (names.name_from(f"{letter * 300}{end}.xyz") for end in "12")
    assert first != second
    assert len(first.encode()) <= 120


def test_a_folder_of_a_sweep_keeps_its_name_where_it_can_be_one():
    assert names.folder_name("model.lmax=0,seed=1") == "model.lmax=0,seed=1"


def test_folders_of_a_sweep_over_files_or_long_values_are_short_flat_and_differ():
    typed = ["data.train=a/b.xyz", "data.train=a_b.xyz", *(f"name={'x' * 400}{i}" for i in "12")]
    found = [names.folder_name(words) for words in typed]
    assert len(set(found)) == len(typed)
    assert all("/" not in name and len(name.encode()) <= 120 for name in found)


def test_a_sweep_over_nothing_has_a_folder_of_its_own():
    assert names.folder_name("") == "single"
