import ase.build
import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms

from equipot.data import own_keys, readers, writers
from equipot.data.config import DataConfig
from equipot.potential.evaluate import HostPrediction


def predicted(count: int) -> HostPrediction:
    return HostPrediction(
        energy=-3.0,
        energies=np.full(count, -1.0),
        forces=np.full((count, 3), 0.5),
        stress=np.diag([1.0, 2.0, 3.0]),
        has_stress=True,
    )


def written(tmp_path, frames, **settings):
    """The frames as a file of predictions gives them back."""
    path = tmp_path / "own.extxyz"
    ase.io.write(path, frames)
    config = DataConfig(train=str(path), **settings)
    structures = readers.read_structures(path, config)
    own = own_keys.read(path, config)
    beside = [own[structure.source] for structure in structures]
    out = tmp_path / "out.extxyz"
    predictions = [predicted(len(s.positions)) for s in structures]
    writers.write_predictions(out, structures, predictions, own=beside)
    return ase.io.read(out, ":")


def water():
    atoms = ase.build.molecule("H2O", cell=[5.0, 6.0, 7.0], pbc=True)
    atoms.info.update(temperature=250, note="first one", dft_energy=-1.5)
    atoms.info["dipole"] = np.array([0.1, 0.2, 0.3])  # as many numbers as there are atoms
    atoms.arrays["dft_forces"] = np.arange(9.0).reshape(3, 3)
    atoms.set_tags([1, 2, 2])
    atoms.set_constraint(FixAtoms([0]))
    return atoms


def test_everything_of_the_user_stays_under_its_name(tmp_path):
    (found,) = written(tmp_path, [water()], group_key="temperature")
    assert found.info["temperature"] == 250 and found.info["note"] == "first one"
    assert "group" not in found.info
    own = {**found.info, **found.calc.results}
    assert own["dft_energy"] == own["REF_energy"] == -1.5
    np.testing.assert_allclose(own["dipole"], [0.1, 0.2, 0.3])
    np.testing.assert_allclose(found.arrays["dft_forces"], np.arange(9.0).reshape(3, 3))
    np.testing.assert_allclose(found.arrays["REF_forces"], found.arrays["dft_forces"])
    assert found.get_tags().tolist() == [1, 2, 2]
    assert [c.index.tolist() for c in found.constraints] == [[0]]
    assert found.calc.results["energy"] == -3.0
    np.testing.assert_allclose(found.calc.results["forces"], 0.5)


def test_predictions_and_labels_have_the_same_shapes(tmp_path):
    atoms = water()
    del atoms.info["dft_energy"], atoms.arrays["dft_forces"]
    labels = {"energy": -2.0, "forces": np.ones((3, 3)), "stress": np.arange(6.0)}
    atoms.calc = SinglePointCalculator(atoms, **labels)
    (found,) = written(tmp_path, [atoms])
    assert found.calc.results["energy"] == -3.0 and found.info["REF_energy"] == -2.0
    np.testing.assert_allclose(found.calc.results["stress"], [1, 2, 3, 0, 0, 0])
    np.testing.assert_allclose(found.info["REF_stress"], np.arange(6.0))
    np.testing.assert_allclose(found.arrays["REF_forces"], 1.0)
    assert not [key for key in found.info if key.startswith(own_keys.FILE)]


def test_a_name_that_is_taken_is_marked_and_units_do_not_stay(tmp_path):
    atoms = water()
    atoms.info.update(energy_unit="Hartree", total=-7.0)
    atoms.calc = SinglePointCalculator(atoms, energy=-2.0)
    (found,) = written(tmp_path, [atoms], energy_key="total", forces_key="none")
    assert found.info["total"] == -7.0
    assert found.info["REF_energy"] == pytest.approx(-7.0 * 27.211386, rel=1e-6)
    assert found.info["FILE_energy"] == -2.0
    assert "energy_unit" not in found.info


def test_isolated_atoms_are_left_out_and_frames_are_not_shifted(tmp_path):
    alone = ase.Atoms("O", info={"config_type": "IsolatedAtom", "dft_energy": -9.0})
    first, second = water(), water()
    second.info["note"] = "second one"
    found = written(tmp_path, [alone, first, second])
    assert [atoms.info["note"] for atoms in found] == ["first one", "second one"]


def test_arrays_of_npz_files_stay(tmp_path):
    count = 4
    np.savez(
        tmp_path / "a.npz",
        R=np.random.default_rng(0).normal(0, 2, (2, count, 3)),
        z=np.array([1, 1, 6, 8]),
        E=np.array([-1.0, -2.0]),
        F=np.zeros((2, count, 3)),
    )
    config = DataConfig(train=str(tmp_path / "a.npz"), energy_unit="eV")
    structures = readers.read_structures(tmp_path / "a.npz", config)
    own = own_keys.read(tmp_path / "a.npz", config)
    assert len(own) == 2 and {s.source for s in structures} == {*own}
    kept = own[structures[1].source]
    assert kept.info["E"] == -2.0 and kept.arrays["F"].shape == (count, 3)
