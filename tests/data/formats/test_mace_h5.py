"""HDF5 in the layout of mace-torch 0.3.16, whose own file was read to the same numbers."""

import sys

import numpy as np
import pytest

from equipot import errors
from equipot.data import readers
from equipot.data.config import DataConfig
from equipot.data.formats import mace_h5


def write(path, count=3, first=0, weight=1.0):
    """As ``save_configurations_as_HDF5`` of mace does; frame i has the energy −i."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file.attrs["drop_last"] = False
        for place in range(count):
            index = first + place
            group = file.create_group(f"config_batch_0/config_{place}")
            group["atomic_numbers"] = np.array([8, 1, 1])
            group["positions"] = np.array([[0.0, 0, 0], [0.96, 0, 0], [0, 0.96 + index / 100, 0]])
            group["cell"] = 9.0 * np.eye(3)
            group["pbc"] = np.full(3, index % 2 == 0)
            group["weight"] = 2.0
            group["config_type"] = "Default"
            labels = {"energy": -float(index), "forces": np.full((3, 3), float(index))}
            labels |= {
                "stress": np.diag([0.0, 4.0, 8.0]).ravel() if index % 2 == 0 else "None",
                "dipole": "None",
            }
            labels["head"] = ""
            for key, value in labels.items():
                group[f"properties/{key}"] = value
                group[f"property_weights/{key}"] = 0.0 if isinstance(value, str) else weight
    return path


def read(path, **change):
    return readers.read_file(path, DataConfig(train=str(path), cache=False, **change))


def test_labels_cells_and_weights_are_read(tmp_path):
    made = read(write(tmp_path / "train_0.h5", 12), weight_key="weight")
    assert [s.energy for s in made.structures] == [-float(i) for i in range(12)]  # 10 after 9
    first, second = made.structures[:2]
    assert first.forces_weight == 2.0 and first.source == "train_0.h5, frame 0"
    np.testing.assert_array_equal(first.stress.ravel()[[0, 4, 8]], [0.0, 4.0, 8.0])
    assert first.pbc.all() and not second.pbc.any() and second.stress_weight == 0.0
    assert "stress from 'stress' (6)" in made.found[0]


def test_a_level_of_theory_may_be_called_default(tmp_path):
    """As mace-torch calls the only one."""
    path = write(tmp_path / "train_0.h5")
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "r+") as file:
        for name in file["config_batch_0"]:
            properties = file[f"config_batch_0/{name}/properties"]
            del properties["head"]
            properties["head"] = "Default"
            file[f"config_batch_0/{name}/property_weights/head"][...] = 1.0
    found = read(path, head_key="head").structures
    assert {s.head for s in found} == {"Default"} and {s.group for s in found} == {""}


def test_a_folder_of_files_is_read_in_order(tmp_path):
    for number, first in ((0, 0), (1, 3), (10, 6)):
        write(tmp_path / f"train_{number}.h5", first=first)
    made = read(tmp_path)
    assert [s.energy for s in made.structures] == [-float(i) for i in range(9)]
    assert "train_10.h5, config_batch_0/config_2" in made.structures[-1].source
    blocks = [len(block.frames) for block in mace_h5.blocks(tmp_path, 4)]
    assert blocks == [4, 4, 1]


def test_what_cannot_be_read_is_said(tmp_path):
    h5py = pytest.importorskip("h5py")
    with pytest.raises(errors.DataError, match=r"the weight of 'energy' is 0.5, expected 0 or 1"):
        read(write(tmp_path / "weights.h5", weight=0.5))
    (tmp_path / "torn.h5").write_bytes(b"\x89HDF\r\n")
    with pytest.raises(errors.DataError, match="could not be read as HDF5 of mace_prepare_data"):
        read(tmp_path / "torn.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["weights"] = 1
    with pytest.raises(errors.DataError, match=r"expected groups config_batch_0.*found weights"):
        read(tmp_path / "other.h5")


def test_without_h5py_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    (tmp_path / "train.h5").write_bytes(b"")
    with pytest.raises(errors.DataError, match=r"pip install 'equipot\[h5\]'"):
        read(tmp_path / "train.h5")


def test_without_ase_db_backends_it_is_said_what_to_install(tmp_path):
    if "ase_db_backends" in sys.modules or _is_there():
        pytest.skip("ase-db-backends is installed")
    (tmp_path / "data.aselmdb").write_bytes(b"")
    with pytest.raises(errors.DataError, match=r"pip install 'equipot\[lmdb\]'"):
        read(tmp_path / "data.aselmdb")


def test_databases_of_ase_db_backends_are_read(tmp_path):
    pytest.importorskip("ase_db_backends")
    import ase.build
    import ase.db
    from ase.calculators.emt import EMT

    database = ase.db.connect(str(tmp_path / "data.aselmdb"), type="aselmdb")
    energies = []
    for seed in range(3):
        atoms = ase.build.bulk("Cu", cubic=True)
        atoms.rattle(0.05, seed=seed)
        atoms.calc = EMT()
        energies.append(atoms.get_potential_energy())
        atoms.get_forces()
        database.write(atoms, key_value_pairs={"temperature": 300 + seed})
    database.close()
    made = read(tmp_path / "data.aselmdb", group_key="temperature")
    assert [s.energy for s in made.structures] == energies
    assert [s.group for s in made.structures] == ["300", "301", "302"]


def _is_there() -> bool:
    import importlib.util

    return importlib.util.find_spec("ase_db_backends") is not None
