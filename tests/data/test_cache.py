import ase
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from equipot.data import cache, paths, readers
from equipot.data.config import DataConfig


@pytest.fixture
def everything_is_worthwhile(monkeypatch):
    monkeypatch.setattr(cache, "WORTHWHILE_SECONDS", 0.0)


def _saved():
    return sorted(paths.cache_folder().glob("*"))


def test_what_was_saved_comes_back_bit_for_bit(write, labelled_water, everything_is_worthwhile):
    frames = labelled_water(3)
    for frame, head in zip(frames, ("dft", "xtb", "dft"), strict=True):
        frame.info |= {"T": "hot", "level": head}
    atom = ase.Atoms("H", info={"config_type": "IsolatedAtom", "level": "xtb"})
    atom.calc = SinglePointCalculator(atom, energy=-13.6)
    path = write("a.extxyz", [*frames, atom])
    config = DataConfig(train=path, group_key="T", head_key="level")
    first, second = (readers.read_file(config.train, config) for _ in range(2))
    assert len(_saved()) == 1
    assert second.isolated_by_head == first.isolated_by_head == {"xtb": {1: -13.6}}
    assert second.found == first.found and second.keys_present == first.keys_present
    for one, two in zip(first.structures, second.structures, strict=True):
        for name in ("positions", "forces", "cell", "pbc", "stress", "atomic_numbers"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        assert (one.energy, one.source, one.group) == (two.energy, two.source, two.group)
        assert one.head == two.head != ""
        assert (one.energy_weight, one.stress_weight) == (two.energy_weight, two.stress_weight)


def test_another_content_or_setting_is_another_entry(
    write, labelled_water, everything_is_worthwhile
):
    path = write("a.extxyz", labelled_water(2))
    readers.read_file(path, DataConfig(train=path))
    in_meters = readers.read_file(path, DataConfig(train=path, energy_unit="meV"))
    assert in_meters.structures[0].energy == pytest.approx(-0.01)
    write("a.extxyz", labelled_water(3))
    assert len(readers.read_file(path, DataConfig(train=path)).structures) == 3
    assert len(_saved()) == 3


def test_a_damaged_entry_is_read_anew(write, labelled_water, everything_is_worthwhile):
    path = write("a.extxyz", labelled_water(2))
    config = DataConfig(train=path)
    readers.read_file(path, config)
    for damage in (b"", b"rubbish", _saved()[0].read_bytes()[:500]):
        _saved()[0].write_bytes(damage)
        assert len(readers.read_file(path, config).structures) == 2
    assert cache.load(cache.key(paths.resolve(path), config)) is not None


def test_quick_files_and_those_not_wanted_are_not_kept(write, labelled_water, monkeypatch):
    path = write("a.extxyz", labelled_water(1))
    readers.read_file(path, DataConfig(train=path))
    monkeypatch.setattr(cache, "WORTHWHILE_SECONDS", 0.0)
    readers.read_file(path, DataConfig(train=path, cache=False))
    assert not paths.cache_folder().exists()


def test_a_folder_that_cannot_be_written_only_costs_time(
    write, labelled_water, everything_is_worthwhile, tmp_path
):
    (tmp_path / "cache").write_text("a file in the folder's place")
    path = write("a.extxyz", labelled_water(1))
    assert len(readers.read_file(path, DataConfig(train=path)).structures) == 1


def test_only_the_latest_entries_are_kept(
    write, labelled_water, everything_is_worthwhile, monkeypatch
):
    monkeypatch.setattr(cache, "MAX_FILES", 2)
    own = paths.cache_folder() / "of_the_user.npz"
    own.parent.mkdir()
    own.write_bytes(b"precious")
    for num in range(1, 5):
        path = write("a.extxyz", labelled_water(num))
        readers.read_file(path, DataConfig(train=path))
    assert own.exists()
    assert len(_saved()) == 2 + 1
