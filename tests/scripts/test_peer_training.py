"""The training of other programs, without these programs."""

import argparse
import json

import ase
import ase.io
import numpy as np
import pytest

from equipot.data import readers
from equipot.data.config import DataConfig
from equipot.data.dataset import Dataset, read_dataset
from scripts.benchmark import peer_training, runs


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Dataset:
    """Six frames of two water molecules each, with stresses."""
    generator = np.random.default_rng(0)
    frames = []
    for i in range(6):
        atoms = ase.Atoms("OH2OH2", generator.uniform(0, 6, (6, 3)), cell=[6, 6, 6], pbc=True)
        atoms.info.update(energy=-30.0 - i, stress=generator.standard_normal((3, 3)).ravel())
        atoms.arrays["forces"] = generator.standard_normal((6, 3))
        frames.append(atoms)
    path = tmp_path_factory.mktemp("data") / "frames.extxyz"
    ase.io.write(path, frames, format="extxyz")
    return read_dataset(DataConfig(train=str(path), num_valid=2, num_test=1, cache=False))


def test_other_programs_get_the_same_frames_and_labels(data, tmp_path):
    peer_training.write_splits(data.splits, tmp_path)
    for name, structures in data.splits.items():
        keys = {f"{q}_key": f"REF_{q}" for q in ("energy", "forces", "stress")}
        config = DataConfig(train="x", cache=False, **keys)
        again = readers.read_structures(tmp_path / f"{name}.xyz", config)
        assert len(again) == len(structures) > 0
        for one, other in zip(structures, again, strict=True):
            np.testing.assert_allclose(other.positions, one.positions, atol=1e-7)
            np.testing.assert_allclose(other.forces, one.forces, atol=1e-7)
            np.testing.assert_allclose(other.stress, one.stress, atol=1e-7)
            assert other.energy == pytest.approx(one.energy)


def test_energies_of_atoms_are_those_of_equipot(data):
    config = runs.configured(["data.train=x"])
    energies = peer_training.energies_of_atoms(data, config)
    assert list(energies) == ["H", "O"]
    mean = np.mean([s.energy for s in data.train])
    assert 4 * energies["H"] + 2 * energies["O"] == pytest.approx(mean)


def test_an_epoch_takes_the_time_between_two_ends():
    log = """
2026-11-28 22:40:00.250 INFO: Initial: head: Default, loss=0.9
2026-11-28 22:40:40.500 INFO: Epoch 0: head: Default, loss=0.2
2026-11-28 22:41:10.500 INFO: Epoch 1: head: Default, loss=0.1
2026-11-28 22:41:41.000 INFO: Epoch 2: head: Default, loss=0.1
"""
    detailed = log.replace("INFO: Initial", "DEBUG: something\nInitial")
    assert peer_training.seconds_of_an_epoch([log]) == pytest.approx(30.5)
    assert peer_training.seconds_of_an_epoch([log, detailed]) == pytest.approx(30.5)


def test_errors_are_per_atom_and_per_component(data):
    frames = []
    for i, s in enumerate(data.valid):
        atoms = ase.Atoms(s.atomic_numbers, s.positions)
        atoms.info["MACE_energy"] = s.energy + (0.6 if i else -1.2)
        atoms.arrays["MACE_forces"] = s.forces + np.array([0.3, 0.0, 0.0])
        frames.append(atoms)
    found = peer_training.errors(data.valid, frames)
    assert found["energy"]["mae"] == pytest.approx(0.15)
    assert found["energy"]["rmse"] == pytest.approx(np.sqrt(0.025))
    assert found["forces"]["mae"] == pytest.approx(0.1)
    assert found["forces"]["rmse"] == pytest.approx(0.3 / np.sqrt(3))


def test_a_training_that_is_done_is_not_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(peer_training.datasets, "read_dataset", None)
    folder = tmp_path / "2min" / "water" / "mace"
    folder.mkdir(parents=True)
    errors = {"forces": {"mae": 0.1}}
    (folder / "errors.json").write_text(json.dumps({"valid": errors, "test": errors}))
    parser = argparse.ArgumentParser()
    peer_training.add_arguments(parser)
    words = ["--programs", "mace", "--minutes", "2", "--output", str(tmp_path)]
    (found,) = peer_training.run(parser.parse_args(words))
    assert found == {"set": "water", "program": "mace", "minutes": 2.0, "valid": errors}
    (found,) = peer_training.run(parser.parse_args([*words, "--test"]))
    assert found["test"] == errors


def test_a_program_that_fails_does_not_keep_the_others_from_training(tmp_path, monkeypatch):
    def train(job, core, with_test):
        if job.program == "mace":
            raise RuntimeError("run.output: mace_run_train ended with code 1")
        return {"set": job.set, "program": job.program}

    monkeypatch.setattr(peer_training, "train", train)
    parser = argparse.ArgumentParser()
    peer_training.add_arguments(parser)
    words = ["--programs", "mace", "nequip", "--output", str(tmp_path)]
    failed, trained = peer_training.run(parser.parse_args(words))
    assert failed["failed"] == "run.output: mace_run_train ended with code 1"
    assert trained == {"set": "water", "program": "nequip"}
