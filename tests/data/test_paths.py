import pathlib

import pytest

from equipot import errors
from equipot.data import paths

ROOT = pathlib.Path(__file__).parents[2]


def test_a_missing_file_is_answered_with_the_nearest_name(tmp_path):
    (tmp_path / "train.xyz").touch()
    message = r"trian\.xyz: no such file or folder .*Did you mean 'train\.xyz'\?"
    with pytest.raises(errors.DataError, match=message):
        paths.resolve(tmp_path / "trian.xyz")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(errors.DataError, match=r"the folder .*absent does not exist either"):
        paths.resolve(tmp_path / "absent" / "train.xyz")


def test_shipped_files_are_found_beside_the_package():
    assert paths.resolve("equipot://data") == ROOT / "data"


def test_reference_data_are_found_through_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("EQUIPOT_REFERENCE_DATA", str(tmp_path))
    (tmp_path / "si").mkdir()
    assert paths.resolve("equipot://reference/si") == tmp_path / "si"
    monkeypatch.delenv("EQUIPOT_REFERENCE_DATA")
    assert paths.reference_folder() == ROOT.parent / "shared" / "data"


def test_an_unknown_root_of_shipped_files_is_refused():
    with pytest.raises(
        errors.DataError, match=r"expected equipot://data/.* or equipot://reference"
    ):
        paths.resolve("equipot://models/x")


def test_the_cache_folder_follows_the_environment(monkeypatch):
    monkeypatch.setenv("EQUIPOT_CACHE", "/somewhere")
    assert paths.cache_folder() == pathlib.Path("/somewhere")
    monkeypatch.delenv("EQUIPOT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/user")
    assert paths.cache_folder() == pathlib.Path("/user/equipot")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert paths.cache_folder() == pathlib.Path("/home/someone/.cache/equipot")
