"""A store against the files that it was made of: what comes out of both is the same, bit by bit."""

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import ase
import ase.build
import ase.io
import numpy as np
import pytest

from equipot import errors
from equipot.data import audit, columns, dataset, distance_range, structure
from equipot.data.config import DataConfig
from equipot.data.stored import extremes, folder, merging, sources
from equipot.data.stored.structures import StoredStructures
from equipot.quantities import QuantityConfig
from equipot.store import graph_store, neighbor_files, stored_graphs, writing
from equipot.store.graph_store import GraphStore

CUTOFF = 4.0
SETTINGS = {
    "group_key": "temperature",
    "weight_key": "weight",
    "quantities": {"dipole": QuantityConfig(irreps="1o"), "spins": QuantityConfig(per="atom")},
}


def frames(count: int = 60) -> list[ase.Atoms]:
    """Molecules, crystals, a slab, pieces far apart, a repeated frame, and isolated atoms."""
    rng, made = np.random.default_rng(3), []
    for i in range(count):
        kind = i % 5
        if kind < 3:
            atoms = ase.build.molecule(("H2O", "CH4", "CH3OH")[kind])
        elif kind == 3:
            atoms = ase.build.bulk("MgO", "rocksalt", a=4.2, cubic=i % 2 == 0)
        else:
            atoms = ase.build.molecule("H2O") + ase.Atoms("O", [[7.0, 0.0, 0.0]])
            atoms.set_cell([9.0, 9.0, 0.0])
            atoms.pbc = (i % 10 == 9, False, False)
        atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
        atoms.info |= {"energy": -20.0 * len(atoms) + rng.normal(), "temperature": 300 + i % 2}
        if i % 7:
            atoms.arrays["forces"] = rng.normal(size=atoms.positions.shape)
        if kind == 3:
            atoms.info["stress"] = rng.normal(size=9) * 0.01
        if i % 3 == 0:
            atoms.info |= {"weight": 0.5, "dipole": rng.normal(size=3)}
            atoms.arrays["spins"] = rng.normal(size=len(atoms))
        made.append(atoms)
    made.append(made[1].copy())
    made.append(ase.Atoms("H", info={"energy": -13.6, "config_type": "IsolatedAtom"}))
    made.append(ase.Atoms("O", info={"energy": -432.0}))
    return made


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("files") / "mixed.extxyz"
    ase.io.write(path, frames(), format="extxyz")
    return path


@pytest.fixture(scope="module")
def config(file) -> DataConfig:
    return DataConfig(train=str(file), cache=False, **SETTINGS)


@pytest.fixture(scope="module")
def store(config, tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("stores") / "mixed.store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "SHARD", 7)  # nine files
        writing.write(config, path, cutoff=CUTOFF)
    return path


@pytest.fixture(scope="module")
def both(config, store) -> tuple[dataset.Dataset, dataset.Dataset]:
    stored = dataclasses.replace(config, train=str(store))
    return dataset.read_dataset(config), dataset.read_dataset(stored)


def test_each_split_has_the_same_structures(both):
    in_memory, stored = both
    for name, part in in_memory.splits.items():
        own = stored.splits[name]
        assert isinstance(own, StoredStructures)
        assert len(own) == len(part) > 0
        for one, other in zip(part, own, strict=True):
            for field in dataclasses.fields(structure.Structure):
                first, second = getattr(one, field.name), getattr(other, field.name)
                if field.name != "others":
                    np.testing.assert_array_equal(first, second)
            assert one.others.keys() == other.others.keys()
            for quantity, label in one.others.items():
                np.testing.assert_array_equal(label.value, other.others[quantity].value)
                assert label.weight == other.others[quantity].weight
    assert stored.isolated_atoms == in_memory.isolated_atoms == {1: -13.6, 8: -432.0}
    assert stored.train[3:5][1].source == in_memory.train[4].source


def test_what_is_asked_of_all_structures_is_the_same(both):
    for name, part in both[0].splits.items():
        own = both[1].splits[name]
        assert structure.elements(own) == structure.elements(part)
        numbers = structure.elements(part)
        np.testing.assert_array_equal(
            structure.compositions(own, numbers), structure.compositions(part, numbers)
        )
        for function in (columns.num_atoms, columns.energies, columns.net_forces, columns.heads):
            np.testing.assert_array_equal(function(own), function(part))
        for quantity in ("energy", "forces", "stress", "dipole", "spins"):
            flags = columns.is_labelled(own, quantity)
            np.testing.assert_array_equal(flags, columns.is_labelled(part, quantity))
            assert columns.any_labelled(own, quantity) == flags.any()
        labelled = [columns.labelled(one, "forces") for one in (own, part)]
        for kind in ("length", "rms"):
            assert columns.mean_force(labelled[0], kind) == columns.mean_force(labelled[1], kind)
        assert columns.forces_rms(own) == pytest.approx(columns.forces_rms(part), rel=1e-12)
        for quantity in both[0].others.values():
            found = [columns.labelled(one, quantity.name) for one in (own, part)]
            values = [columns.label_values(one, quantity) for one in found]
            np.testing.assert_array_equal(*values)


def test_the_audit_says_the_same(both):
    terms = {"energy": 1.0, "forces": 1.0, "stress": 1.0}
    lines = [audit.audit(own, terms).lines for own in both]
    differ = set(lines[0]) ^ set(lines[1])
    assert all("fingerprint" in line or "a store of 62 structures" in line for line in differ)
    assert any("duplicates: none across splits, 1 within" in line for line in lines[1])


@pytest.mark.parametrize("with_pairs", [True, False])
def test_graphs_are_the_same(both, with_pairs, tmp_path):
    settings = graph_store.Settings(
        cutoff=CUTOFF + (not with_pairs),
        species_table=(1, 6, 8, 12),
        atomic_energies=np.array([-1.0, -2.0, -3.0, -4.0]),
        quantities=both[0].quantities,
    )
    if not with_pairs:
        neighbor_files.make(both[1].train.folder, settings.cutoff, with_pairs=False)
    for name, part in both[0].splits.items():
        one, other = (GraphStore.build(own.splits[name], settings) for own in both)
        np.testing.assert_array_equal(one.sizes, other.sizes)
        assert list(one.names) == list(other.names) and one.has_stress == other.has_stress
        assert one.avg_num_neighbors == other.avg_num_neighbors
        for built, found in zip(one, other, strict=True):
            for field, value in vars(built).items():
                if field != "labels":
                    np.testing.assert_array_equal(value, getattr(found, field))
            assert built.labels.keys() == found.labels.keys()
            for quantity, label in built.labels.items():
                np.testing.assert_array_equal(label.value, found.labels[quantity].value)
        tables = [own.closest_pairs(4) for own in (one, other)]
        assert other._graphs.closest_pairs(4) is not None  # no pass over all pairs
        for field in ("nearest", "pushes", "usual"):
            np.testing.assert_array_equal(*(getattr(own, field) for own in tables))
        measured = distance_range.measure(part, settings.cutoff, (1,))
        found = stored_graphs.distance_range_of(both[1].splits[name], settings.cutoff, (1,))
        assert found == measured


def test_other_reference_energies_change_the_labels_alone(both):
    table = (1, 6, 8, 12)
    first, second = (
        graph_store.Settings(cutoff=CUTOFF, species_table=table, atomic_energies=np.full(4, e))
        for e in (0.0, -1.0)
    )
    graphs = GraphStore.build(both[1].train, first)
    again = graphs.relabelled(second)
    difference = again[0].labels["energy"].value - graphs[0].labels["energy"].value
    assert difference == pytest.approx(graphs[0].num_nodes)
    with pytest.raises(errors.UnknownElementError, match="only the elements the model knows: H, C"):
        GraphStore.build(both[1].train, dataclasses.replace(first, species_table=(1, 6)))


def test_where_a_list_was_cut_too_short_all_pairs_are_looked_at(both, monkeypatch):
    settings = graph_store.Settings(
        cutoff=CUTOFF, species_table=(1, 6, 8, 12), atomic_energies=np.zeros(4)
    )
    in_memory, stored = (GraphStore.build(own.valid, settings) for own in both)
    pairs = stored._graphs._pairs
    monkeypatch.setattr(extremes, "MOST", 1)
    tables = {name: extremes.Extremes.joined([t]) for name, t in pairs.facts.tables.items()}
    pairs.__dict__["facts"] = dataclasses.replace(pairs.facts, tables=tables)
    assert stored._graphs.closest_pairs(4) is None
    tables = [own.closest_pairs(4) for own in (in_memory, stored)]
    for field in ("nearest", "pushes", "usual"):
        np.testing.assert_array_equal(*(getattr(own, field) for own in tables))


def test_several_processes_write_the_same_store(config, store, tmp_path, monkeypatch):
    made = writing.write(config, tmp_path / "again.store", cutoff=CUTOFF, processes=2)
    monkeypatch.setattr(sources, "SHARD", 7)
    alone = writing.write(config, tmp_path / "alone.store", cutoff=CUTOFF)
    assert len(made) == len(alone) == 62 and len(made.shards) == 1 and len(alone.shards) == 9
    assert alone.fingerprint == folder.Folder(store).fingerprint
    for name in ("energy", "digest", "bond", "head"):
        np.testing.assert_array_equal(made.column(name), alone.column(name))
    written = [own.shortest for own in (made, alone)]
    assert written[0] == written[1]


def test_validation_and_test_files_are_part_of_a_store(file, tmp_path):
    other = tmp_path / "other.extxyz"
    ase.io.write(other, frames(9)[:9], format="extxyz")
    plain = DataConfig(
        train=str(file), valid=str(other), num_valid=4, cache=False, test_fraction=0.0
    )
    made = writing.write(plain, tmp_path / "three.store")
    expected = dataset.read_dataset(plain)
    found = dataset.read_dataset(dataclasses.replace(plain, train=str(made.path), valid=None))
    for name in ("train", "valid"):
        sources_ = [[s.source for s in own.splits[name]] for own in (expected, found)]
        assert sources_[0] == sources_[1]
    assert len(found.valid) == 4 and len(found.test) == 0


def test_settings_of_reading_are_those_that_it_was_written_with(store, config):
    stored = dataclasses.replace(config, train=str(store))
    dataset.read_dataset(dataclasses.replace(stored, group_key=None, quantities={}))
    with pytest.raises(errors.DataError, match=r"written with data.energy_unit=None, received Har"):
        dataset.read_dataset(dataclasses.replace(stored, energy_unit="Hartree"))
    other = {"dipole": QuantityConfig(irreps="1e")}
    with pytest.raises(errors.DataError, match=r"written with data.quantities="):
        dataset.read_dataset(dataclasses.replace(stored, quantities=other))
    weights = {"energy": "weight"}
    with pytest.raises(errors.DataError, match=r"written with data.weight_keys={}, received"):
        dataset.read_dataset(dataclasses.replace(stored, weight_keys=weights))
    dataset.read_dataset(dataclasses.replace(stored, nan_labels="absent"))  # there are none
    with pytest.raises(errors.DataError, match="a store is all of a split"):
        dataset.read_dataset(dataclasses.replace(stored, train=(str(store), str(store))))


def test_a_damaged_store_is_refused_with_a_sentence(store, tmp_path):
    copy = tmp_path / "copy.store"
    shutil.copytree(store, copy)
    shard = sorted(copy.glob("*.arrays"))[0]
    shard.write_bytes(shard.read_bytes()[:-8])
    with pytest.raises(
        errors.DataError, match=r"expected [\d,]+ bytes, found [\d,]+; the store is"
    ):
        list(StoredStructures(folder.Folder(copy), np.arange(3)))
    manifest = copy / folder.MANIFEST
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**content, "version": 99}))
    with pytest.raises(errors.DataError, match="expected a store of version 1, found 99"):
        folder.Folder(copy)
    manifest.write_text("{")
    with pytest.raises(errors.DataError, match="make the store again with equipot prepare"):
        folder.Folder(copy)
    with pytest.raises(errors.DataError, match="is there already"):
        writing.write(DataConfig(train="a.xyz"), store)


def test_keys_that_change_within_a_file_are_a_question(tmp_path, monkeypatch):
    made = frames(8)
    for atoms in made[4:8]:
        atoms.info["REF_energy"] = atoms.info.pop("energy")
    ase.io.write(tmp_path / "two.extxyz", made[:8], format="extxyz")
    monkeypatch.setattr(sources, "SHARD", 4)
    with pytest.raises(errors.DataError, match="under 'energy', others under 'REF_energy'"):
        writing.write(DataConfig(train=str(tmp_path / "two.extxyz")), tmp_path / "two.store")
    assert not list(tmp_path.glob("*.store")) and not list(tmp_path.glob(".*draft*"))


def test_the_place_of_a_mistake_is_that_in_the_whole_file(tmp_path, monkeypatch):
    path = tmp_path / "wrong.extxyz"
    ase.io.write(path, frames(8)[:8], format="extxyz")
    lines = path.read_text().splitlines()
    lines[-1] = lines[-1].replace(lines[-1].split()[1], "x")
    path.write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(sources, "SHARD", 3)
    with pytest.raises(errors.DataError, match=r"wrong\.extxyz, frame 7"):
        writing.write(DataConfig(train=str(path)), tmp_path / "wrong.store")


KILLED = """
import sys, time
from equipot.data.config import DataConfig
from equipot.store import writing
from equipot.data.stored import sources
def slowly(done, count):
    print(count, flush=True)
    time.sleep(0.05)
if __name__ == "__main__":
    sources.SHARD = 4
    config = DataConfig(train=sys.argv[1])
    writing.write(config, __import__("pathlib").Path(sys.argv[2]), cutoff=4.0, on_progress=slowly)
"""


def test_a_writer_that_is_killed_leaves_nothing_that_is_taken_for_a_store(file, tmp_path):
    target = tmp_path / "killed.store"
    command = [sys.executable, "-c", KILLED, str(file), str(target)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline().strip() == "4"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not target.exists()
    left = list(tmp_path.glob(".killed.store.draft-*"))
    assert left and not folder.is_store(left[0])
    with pytest.raises(errors.DataError):
        dataset.read_dataset(DataConfig(train=str(target)))
    made = writing.write(DataConfig(train=str(file)), target)
    assert len(made) == 62 and not list(tmp_path.glob(".killed.store.draft-*"))


def test_processes_end_with_the_one_that_started_them(tmp_path):
    """A process that is killed cannot stop its own."""
    program = (
        "import time\n"
        "from equipot.store import workers\n"
        "from tests.store.sleeping import write_pid\n"
        "if __name__ == '__main__':\n"
        f"    list(workers.results(write_pid, [{str(tmp_path)!r}] * 2, 2))\n"
    )
    path = tmp_path / "program.py"
    path.write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])}
    process = subprocess.Popen([sys.executable, str(path)], env=environment)
    deadline = time.monotonic() + 60.0
    while len(pids := list(tmp_path.glob("*.pid"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(pids) == 2
    process.kill()
    process.wait()
    while any(pathlib.Path(f"/proc/{p.stem}").exists() for p in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_files_beside_a_store_are_read_in_its_units(tmp_path):
    atoms = ase.build.molecule("H2O")
    atoms.info["energy"] = -76.0
    hydrogen = ase.Atoms("H", info={"energy": -0.5, "config_type": "IsolatedAtom"})
    for name, content in (("a", [atoms] * 4), ("iso", [hydrogen]), ("valid", [atoms])):
        ase.io.write(tmp_path / f"{name}.extxyz", content, format="extxyz")
    config = DataConfig(train=str(tmp_path / "a.extxyz"), energy_unit="Hartree")
    made = writing.write(config, tmp_path / "a.store")
    beside = DataConfig(
        train=str(made.path),
        valid=str(tmp_path / "valid.extxyz"),
        isolated_atoms=str(tmp_path / "iso.extxyz"),
        test_fraction=0.0,
    )
    found = dataset.read_dataset(beside)
    assert found.isolated_atoms[1] == pytest.approx(-13.605693)
    assert found.valid[0].energy == pytest.approx(found.train[0].energy)
    hydrogen.info |= {"energy": -13.6, "energy_unit": "eV"}  # its own unit comes first
    ase.io.write(tmp_path / "iso.extxyz", [hydrogen], format="extxyz")
    assert dataset.read_dataset(beside).isolated_atoms[1] == pytest.approx(-13.6)


def test_files_beside_a_store_are_read_by_its_keys(tmp_path):
    """Where they have them; a group of the store that one lacks is no mistake."""
    atoms = ase.build.molecule("H2O")
    atoms.info |= {"energy": -1.0, "my_E": -76.0, "kind": "one"}
    ase.io.write(tmp_path / "a.extxyz", [atoms] * 4, format="extxyz")
    ase.io.write(tmp_path / "valid.extxyz", [atoms], format="extxyz")
    del atoms.info["kind"], atoms.info["my_E"]
    ase.io.write(tmp_path / "test.extxyz", [atoms], format="extxyz")
    config = DataConfig(train=str(tmp_path / "a.extxyz"), energy_key="my_E", group_key="kind")
    made = writing.write(config, tmp_path / "a.store")
    files = {name: str(tmp_path / f"{name}.extxyz") for name in ("valid", "test")}
    found = dataset.read_dataset(DataConfig(train=str(made.path), **files))
    assert [s.energy for s in (found.train[0], found.valid[0], found.test[0])] == [-76, -76, -1]
    assert [s.group for s in (found.train[0], found.valid[0], found.test[0])] == ["one", "one", ""]


def test_a_store_of_an_earlier_version_may_have_any_weights(store, config, tmp_path):
    copy = tmp_path / "copy.store"
    shutil.copytree(store, copy)
    manifest = copy / folder.MANIFEST
    content = json.loads(manifest.read_text())
    del content[folder.READ_WITH]
    manifest.write_text(json.dumps(content))
    weights = {"weight_keys": {"energy": "weight"}}
    dataset.read_dataset(dataclasses.replace(config, train=str(copy), **weights))


def test_files_of_one_name_and_labels_that_some_lack_are_no_contradiction(tmp_path):
    rng = np.random.default_rng(0)
    for place, has_stress in (("molecules", False), ("crystals", True)):
        (tmp_path / place).mkdir()
        atoms = ase.build.bulk("Cu", cubic=True)
        atoms.info["energy"] = rng.normal()
        if has_stress:
            atoms.info["stress"] = np.eye(3)
        ase.io.write(tmp_path / place / "t.extxyz", [atoms] * 3, format="extxyz")
    files = tuple(str(tmp_path / place / "t.extxyz") for place in ("molecules", "crystals"))
    config = DataConfig(train=files, stress_unit="GPa", num_valid=1)
    made = writing.write(config, tmp_path / "both.store")
    assert sum(s.stress_weight > 0 for s in StoredStructures(made, np.arange(6))) == 3
    wrong = dataclasses.replace(config, stress_unit=None, stress_key="stress")
    with pytest.raises(errors.DataError, match=r"t\.extxyz: no frame has the key 'stress'"):
        writing.write(wrong, tmp_path / "wrong.store")


def test_numbers_of_frames_are_added_up():
    lines = ["a: holds NaN in 3 of 100 frames", "a: holds NaN in 5 of 50 frames", "b"]
    assert merging._once(lines) == ["a: holds NaN in 8 of 150 frames", "b"]
