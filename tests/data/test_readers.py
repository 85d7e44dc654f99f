import dataclasses

import ase
import ase.build
import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from equipot import errors, units
from equipot.data import dataset, readers
from equipot.data.config import DataConfig


def _read(path, **settings):
    return readers.read_file(path, DataConfig(train=path, **settings))


def _isolated(symbol, energy):
    atoms = ase.Atoms(symbol)
    atoms.info["config_type"] = "IsolatedAtom"
    atoms.calc = SinglePointCalculator(atoms, energy=energy)
    return atoms


@pytest.mark.parametrize("name", ["cu.extxyz", "cu.traj", "cu.extxyz.xz", "cu.extxyz.gz"])
def test_labels_come_back_as_they_were_computed(write, name):
    atoms = ase.build.bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=2)
    atoms.calc = EMT()
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    stress = atoms.get_stress(voigt=False)
    (item,) = readers.read_structures(write(name, atoms))
    assert item.energy == pytest.approx(energy, abs=1e-8)
    np.testing.assert_allclose(item.forces, forces, atol=1e-7)
    np.testing.assert_allclose(item.stress, stress, atol=1e-8)
    assert item.energy_weight == item.forces_weight == item.stress_weight == 1.0
    assert item.where == f"{name}, frame 0 (Cu4)"


def test_labels_a_frame_lacks_have_no_weight(write, make_water):
    frames = [make_water(0, energy=-1.0), make_water(1, energy=-2.0, forces=np.ones((3, 3)))]
    first, second = readers.read_structures(write("a.extxyz", frames))
    assert (first.energy_weight, first.forces_weight) == (1.0, 0.0)
    assert (second.energy_weight, second.forces_weight) == (1.0, 1.0)


def test_unlabelled_structures_can_be_read(write, make_water):
    (item,) = readers.read_structures(write("a.extxyz", make_water()))
    assert item.energy_weight == item.forces_weight == item.stress_weight == 0.0


def test_units_of_the_configuration_apply_to_everything(write, make_water):
    atoms = make_water()
    atoms.info |= {"TotEnergy": 2.0, "virial": -3.0 * np.eye(3)}
    atoms.arrays["force"] = np.ones((3, 3))
    path = write("a.extxyz", atoms)
    (item,) = _read(path, energy_unit="Hartree", length_unit="Bohr").structures
    np.testing.assert_allclose(item.positions, atoms.positions * units.BOHR, atol=1e-8)
    np.testing.assert_allclose(item.cell, np.array(atoms.cell) * units.BOHR)
    assert item.energy == pytest.approx(2.0 * units.HARTREE)
    np.testing.assert_allclose(item.forces, units.HARTREE / units.BOHR)
    expected = 3.0 * units.HARTREE / (6.0 * 7.0 * 8.0 * units.BOHR**3)
    np.testing.assert_allclose(item.stress, expected * np.eye(3))


def test_units_of_forces_and_stress_can_be_given_apart(write, make_water):
    atoms = make_water(0, forces=np.ones((3, 3)), stress=np.array([1.0, 2, 3, 0, 0, 0]))
    (item,) = _read(write("a.traj", atoms), forces_unit="meV/A", stress_unit="GPa").structures
    np.testing.assert_allclose(item.forces, 1e-3)
    np.testing.assert_allclose(np.diag(item.stress), np.array([1, 2, 3]) * 1e9 * units.PASCAL)


def test_a_virial_is_reported_with_its_sign(write, make_water):
    atoms = make_water()
    atoms.info["REF_virials"] = np.diag([336.0, 0.0, 0.0])
    content = _read(write("a.extxyz", atoms))
    assert content.structures[0].stress[0, 0] == pytest.approx(-1.0)
    assert "a.extxyz: 'REF_virials' is read as -stress x volume" in content.found


def test_a_stress_of_a_slab_is_left_out_and_said_to_be(write, make_water):
    atoms = make_water(0, energy=-1.0, stress=np.ones(6))
    atoms.pbc = (True, True, False)
    content = _read(write("a.extxyz", atoms))
    assert content.structures[0].stress_weight == 0.0
    assert any("the stress of 1 frames is left out" in line for line in content.found)


def test_frames_of_isolated_atoms_become_reference_energies(write, labelled_water):
    frames = [_isolated("O", -432.1), *labelled_water(2), _isolated("H", -13.6)]
    content = _read(write("a.extxyz", frames))
    assert len(content.structures) == 2
    assert content.isolated_atoms == {8: -432.1, 1: -13.6}
    assert "isolated atoms as reference energies: H, O" in content.found[0]


def test_isolated_atoms_must_be_single_and_have_one_energy(write, make_water):
    with pytest.raises(errors.DataError, match=r"isolated H has two energies, -13.6 and -13.5 eV"):
        _read(write("a.extxyz", [_isolated("H", -13.6), _isolated("H", -13.5)]))
    molecule = make_water(0, energy=-1.0)
    molecule.info["config_type"] = "IsolatedAtom"
    with pytest.raises(errors.DataError, match="one atom alone, but the frame has 3 atoms"):
        _read(write("b.extxyz", molecule))
    weightless = _isolated("H", -13.6)
    weightless.info["w"] = 0.0
    found = _read(write("w.extxyz", weightless), weight_key="w")
    assert found.isolated_atoms == {1: -13.6}
    bare = ase.Atoms("H", info={"config_type": "IsolatedAtom"})
    with pytest.raises(errors.DataError, match=r"frame 0 .H.: an isolated atom needs an energy"):
        _read(write("c.extxyz", bare))


def test_each_label_may_have_a_weight_of_its_own(write, labelled_water):
    frames = labelled_water(3)
    for number, atoms in enumerate(frames):
        atoms.info |= {"w": 2.0, "config_energy_weight": 0.5}
        if number == 1:
            atoms.info["config_forces_weight"] = 0.0
    keys = {"energy": "config_energy_weight", "forces": "config_forces_weight"}
    content = _read(write("a.extxyz", frames), weight_key="w", weight_keys=keys)
    assert [s.energy_weight for s in content.structures] == [1.0, 1.0, 1.0]
    assert [s.forces_weight for s in content.structures] == [2.0, 0.0, 2.0]
    said = "2 frames have no 'config_forces_weight' and weigh 1"
    assert any(said in line for line in content.found)


def test_groups_and_weights_come_from_info(write, labelled_water):
    frames = labelled_water(2)
    for atoms, temperature, weight in zip(frames, (300, 600), (1.0, 0.25), strict=True):
        atoms.info |= {"temperature": temperature, "w": weight}
    path = write("a.extxyz", frames)
    items = _read(path, group_key="temperature", weight_key="w").structures
    assert [s.group for s in items] == ["300", "600"]
    assert [s.energy_weight for s in items] == [s.forces_weight for s in items] == [1.0, 0.25]
    with pytest.raises(errors.DataError, match=r"no frame has the key 'temprature' .*Did you mean"):
        _read(path, group_key="temprature")
    with pytest.raises(errors.DataError, match=r"'temprature' \(data.head_key\).*Did you mean"):
        _read(path, head_key="temprature")


def test_frames_without_a_weight_weigh_one_and_are_counted(write, labelled_water):
    frames = [*labelled_water(3), _isolated("H", -13.6)]
    frames[1].info["w"] = 0.25
    content = _read(write("a.extxyz", frames), weight_key="w")
    assert [s.energy_weight for s in content.structures] == [1.0, 0.25, 1.0]
    assert "a.extxyz: 2 frames have no 'w' and weigh 1" in content.found


def test_a_negative_weight_is_refused(write, labelled_water):
    atoms = labelled_water(1)[0]
    atoms.info["w"] = -1.0
    with pytest.raises(
        errors.DataError, match=r"frame 0: the weight 'w' is -1.0, expected 0 or more"
    ):
        _read(write("a.extxyz", atoms), weight_key="w")


@pytest.mark.parametrize("place", ["energy", "forces", "stress"])
def test_a_label_that_is_nan_is_named_with_file_and_frame(write, labelled_water, place):
    frames = labelled_water(3)
    value = {"energy": np.nan, "forces": np.full((3, 3), np.nan), "stress": np.full(6, np.nan)}
    frames[2].calc.results[place] = value[place]
    with pytest.raises(errors.DataError, match=r"a\.traj, frame 2.*nan|frame 2.*NaN or infinity"):
        _read(write("a.traj", frames))


def test_forces_of_a_wrong_shape_are_named_with_file_and_frame(write, labelled_water):
    frames = labelled_water(2)
    frames[1].arrays["REF_forces"] = np.ones((3, 2))
    path = write("a.extxyz", frames)
    with pytest.raises(
        errors.DataError, match=r"a\.extxyz, frame 1: 'REF_forces' has shape \(3, 2"
    ):
        _read(path, forces_key="REF_forces")


def test_a_frame_without_atoms_is_refused(write, labelled_water):
    path = write("a.traj", [*labelled_water(1), ase.Atoms()])
    with pytest.raises(
        errors.DataError, match=r"a\.traj, frame 1: holds no atoms; remove the frame"
    ):
        _read(path)


@pytest.mark.parametrize("cell", [np.zeros((3, 3)), np.ones((3, 3)), np.diag([3.0, 3.0, 0.0])])
def test_a_periodic_direction_needs_its_lattice_vector(write, labelled_water, cell):
    frames = labelled_water(2)
    frames[1].set_cell(cell)
    with pytest.raises(errors.DataError, match=r"a\.traj, frame 1: is periodic along 3 directions"):
        _read(write("a.traj", frames))
    frames[1].pbc = False
    assert len(_read(write("a.traj", frames)).structures) == 2


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.extxyz").touch()
    with pytest.raises(errors.DataError, match=r"a\.extxyz: (expected at least one|ASE could not)"):
        _read(str(tmp_path / "a.extxyz"))


def test_isolated_atoms_are_left_out_where_energies_are_ignored(write, labelled_water):
    content = _read(
        write("a.extxyz", [_isolated("H", -13.6), *labelled_water(2)]), energy_key="none"
    )
    assert len(content.structures) == 2 and content.isolated_atoms == {}


_VASPRUN = """<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
 <kpoints>
  <varray name="kpointlist"><v>0 0 0</v></varray>
  <varray name="weights"><v>1</v></varray>
 </kpoints>
 <atominfo>
  <atoms>2</atoms>
  <types>1</types>
  <array name="atoms">
   <set><rc><c>Si</c><c>1</c></rc><rc><c>Si</c><c>1</c></rc></set>
  </array>
 </atominfo>
 <structure name="initialpos">
  <crystal><varray name="basis"><v>4 0 0</v><v>0 4 0</v><v>0 0 4</v></varray></crystal>
  <varray name="positions"><v>0 0 0</v><v>0.5 0.5 0.5</v></varray>
  <varray name="selective"><v type="logical">F F F</v><v type="logical">T T T</v></varray>
 </structure>
 <calculation>
  <scstep><energy>
   <i name="e_fr_energy">-10.50</i><i name="e_wo_entrp">-10.30</i><i name="e_0_energy">-10.40</i>
  </energy></scstep>
  <structure>
   <crystal><varray name="basis"><v>4 0 0</v><v>0 4 0</v><v>0 0 4</v></varray></crystal>
   <varray name="positions"><v>0 0 0</v><v>0.5 0.5 0.5</v></varray>
  </structure>
  <varray name="forces"><v>0.25 0 0</v><v>-0.25 0 0</v></varray>
  <varray name="stress"><v>16.02176634 0 0</v><v>0 0 0</v><v>0 0 0</v></varray>
  <energy>
   <i name="e_fr_energy">-10.50</i><i name="e_wo_entrp">-10.30</i><i name="e_0_energy">-10.40</i>
  </energy>
 </calculation>
</modeling>
"""


def test_vasp_gives_the_free_energy_raw_forces_and_the_stress_with_its_sign_turned(tmp_path):
    path = tmp_path / "vasprun.xml"
    path.write_text(_VASPRUN)
    content = _read(str(path))
    (item,) = content.structures
    assert item.energy == -10.5
    np.testing.assert_allclose(item.forces, [[0.25, 0, 0], [-0.25, 0, 0]])  # the first is fixed
    np.testing.assert_allclose(item.stress, np.diag([-0.01, 0.0, 0.0]), atol=1e-9)  # VASP's kbar
    assert any("'free_energy' is taken" in line for line in content.found)


def test_levels_of_theory_are_named_by_a_key_for_isolated_atoms_too(write, labelled_water):
    frames = [*labelled_water(2), _isolated("O", -432.1), _isolated("O", -431.0)]
    for frame, head in zip(frames, ("dft", "xtb", "dft", "xtb"), strict=True):
        frame.info["level"] = head
    path = write("a.extxyz", frames)
    config = DataConfig(train=path, head_key="level")
    content = readers.read_file(path, config)
    assert [s.head for s in content.structures] == ["dft", "xtb"]
    assert content.isolated_atoms == {}
    assert content.isolated_by_head == {"dft": {8: -432.1}, "xtb": {8: -431.0}}
    whole = dataset.read_dataset(dataclasses.replace(config, valid=path, test_fraction=0.0))
    assert whole.isolated_by_head == content.isolated_by_head


def test_a_frame_without_its_level_of_theory_is_named(write, labelled_water):
    frames = labelled_water(2)
    frames[0].info["level"] = "dft"
    path = write("a.extxyz", frames)
    with pytest.raises(errors.DataError, match=r"frame 1: has no 'level', expected the name of"):
        readers.read_file(path, DataConfig(train=path, head_key="level"))


@pytest.mark.parametrize(("value", "words"), [(-1.0, "'free_energy'"), (-2.0, "is the label")])
def test_energies_under_two_names_in_different_frames_are_not_lost(write, make_water, value, words):
    """Of one name those are taken that all frames have; otherwise the file is asked about."""
    frames = []
    for names in (("energy", "free_energy"), ("free_energy",), ("energy",)):
        if names == ("energy",) and words == "'free_energy'":
            continue
        atoms = make_water(0)
        results = {"energy": -1.0, "free_energy": value}
        atoms.calc = SinglePointCalculator(atoms, **{name: results[name] for name in names})
        frames.append(atoms)
    path = write("a.extxyz", frames)
    if words == "'free_energy'":
        found = _read(path)
        assert "energy from 'free_energy' (2)" in found.found[0]
    else:
        with pytest.raises(errors.DataError, match=words):
            _read(path)
