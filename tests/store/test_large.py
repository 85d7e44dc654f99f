"""When data are read from a store without being asked to."""

import dataclasses
import pathlib

import ase.build
import ase.io
import numpy as np
import pytest

from equipot.data import dataset, paths
from equipot.data.config import DataConfig
from equipot.data.stored.structures import StoredStructures
from equipot.store import large


@pytest.fixture
def config(tmp_path, monkeypatch) -> DataConfig:
    monkeypatch.setenv(paths.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(large.workers, "count", lambda items: 1)
    rng = np.random.default_rng(0)
    for name in ("train", "valid"):
        frames = []
        for _ in range(12):
            atoms = ase.build.molecule("CH3OH")
            atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
            atoms.info["energy"] = rng.normal() - 100.0
            frames.append(atoms)
        ase.io.write(tmp_path / f"{name}.extxyz", frames, format="extxyz")
    files = [str(tmp_path / f"{name}.extxyz") for name in ("train", "valid")]
    return DataConfig(train=files[0], valid=files[1], num_test=2)


def test_memory_is_estimated_from_the_sizes_of_files(config, tmp_path):
    text = sum(path.stat().st_size for path in tmp_path.glob("*.extxyz"))
    assert large.memory(config) == 4 * text
    np.savez(tmp_path / "some.npz", R=np.zeros((10, 3)))
    arrays = DataConfig(train=str(tmp_path / "some.npz"))
    assert large.memory(arrays) == 8 * (tmp_path / "some.npz").stat().st_size
    assert 1e8 < large.free() < 1e14


def test_a_store_is_made_where_memory_is_short_and_used_from_then_on(config):
    enough = 2 * large.memory(config)
    assert large.from_store(config, 4.0, room=enough) == (config, "")
    found, said = large.from_store(config, 4.0, room=enough - 1)
    assert "read from a store on the disk" in said and "data.store=never" in said
    stored, in_memory = dataset.read_dataset(found), dataset.read_dataset(config)
    assert isinstance(stored.train, StoredStructures)
    for name, part in in_memory.splits.items():
        assert [s.energy for s in part] == [s.energy for s in stored.splits[name]]
    assert large.from_store(config, 4.0, room=10 * enough)[0] == found  # it is there
    never = dataclasses.replace(config, store="never")
    assert large.from_store(never, 4.0, room=0) == (never, "")


def test_a_changed_file_has_another_store(config):
    always = dataclasses.replace(config, store="always")
    first, said = large.from_store(always, 4.0)
    assert "as data.store=always says" in said
    path = pathlib.Path(str(config.train))
    path.write_text(path.read_text().replace("energy=-1", "energy=-2", 1))
    second, _ = large.from_store(always, 4.0)
    assert second.train != first.train
    assert large.from_store(second, 4.0, room=0)[0] is second  # a store stays what it is


def test_other_settings_of_reading_have_another_store(config):
    always = dataclasses.replace(config, store="always")
    weighted = dataclasses.replace(always, weight_keys={"energy": "energy"})
    absent = dataclasses.replace(always, nan_labels="absent")
    assert len({large._place(own) for own in (always, weighted, absent)}) == 3


def test_a_run_keeps_to_memory_or_to_its_store_whatever_is_free_later(config):
    assert large.from_store(config, 4.0, needed=False, room=0) == (config, "")
    found, _ = large.from_store(config, 4.0, needed=True)
    assert found.train == str(large._place(config))
    assert large.is_needed(config)  # it is there
