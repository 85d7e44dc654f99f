"""Training from a store: every number is that of training from the file it was made of."""

import json

import pytest

from equipot.data.config import DataConfig
from equipot.data.stored import sources
from equipot.potential import artefact
from equipot.store import writing
from equipot.training import finishing, fitting
from tests.integration.tiny import settings

TIMES = ("seconds", "structures_per_second", "waiting")


def numbers(run_dir) -> list[dict]:
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in (*lines, (run_dir / "metrics.json").read_text())]
    return [{k: v for k, v in one.items() if k not in TIMES} for one in found]


@pytest.fixture(scope="module")
def store(lennard_jones_file, tmp_path_factory):
    path = tmp_path_factory.mktemp("stores") / "short.store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "SHARD", 9)
        data = DataConfig(train=str(lennard_jones_file), group_key="temperature")
        writing.write(data, path, cutoff=4.5)
    return path


@pytest.fixture(scope="module")
def from_file(lennard_jones_file, tmp_path_factory):
    return fitting.fit(settings(tmp_path_factory.mktemp("file") / "run", lennard_jones_file))


@pytest.mark.wide
def test_a_run_from_a_store_has_the_same_numbers(store, from_file, tmp_path):
    found = fitting.fit(settings(tmp_path / "run", store))
    assert numbers(found) == numbers(from_file)
    one, other = (artefact.load(run / "argon.equipot") for run in (found, from_file))
    assert one.spec == other.spec and one.distance_range == other.distance_range
    facts = [json.loads((run / "dataset.json").read_text()) for run in (found, from_file)]
    assert {k for k in facts[0] if facts[0][k] != facts[1][k]} == {"fingerprint"}


@pytest.mark.slow
def test_a_run_goes_on_from_a_store(store, tmp_path):
    begun = settings(tmp_path / "run", store)
    finished = fitting.fit(begun)
    (finished / "metrics.json").unlink()
    before = (finished / "metrics.jsonl").read_text()
    fitting.fit(begun)
    assert (finished / "metrics.jsonl").read_text() == before


def test_of_a_large_split_some_structures_are_measured_and_it_is_said(store, tmp_path, monkeypatch):
    monkeypatch.setattr(finishing, "MEASURED", 10)
    change = {"trainer": {"num_steps": 1, "num_devices": 1}}
    found = fitting.fit(settings(tmp_path / "run", store, **change))
    table = (found / "errors.txt").read_text()
    assert "train: errors of 10 of 28 structures, drawn at random" in table
    assert "valid: errors of" not in table


@pytest.mark.slow
def test_training_from_a_potential_is_the_same_too(store, from_file, lennard_jones_file, tmp_path):
    potential = str(from_file / "argon.equipot")
    change = {
        "init_from": potential,
        "potential": {"reference_energies": "least_squares"},
        "trainer": {"num_steps": 2, "num_devices": 1},
    }
    runs = [
        fitting.fit(settings(tmp_path / name, data, **change))
        for name, data in (("store", store), ("file", lennard_jones_file))
    ]
    assert numbers(runs[0]) == numbers(runs[1])
