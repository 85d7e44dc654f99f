import ase.build
import numpy as np
import pytest
from ase.calculators.emt import EMT

from equipot import errors
from equipot.data import label_keys, label_units, labels
from equipot.data.config import DataConfig
from equipot.data.formats import ase_files, frame


def _content(*values, stated=None, needs_unit=False):
    frames = [
        frame.Frame(
            atomic_numbers=np.array([1]),
            positions=np.zeros((1, 3)),
            cell=np.zeros((3, 3)),
            pbc=np.zeros(3, bool),
            values=held,
            where=f"frame {index}",
        )
        for index, held in enumerate(values)
    ]
    return frame.FrameFile(
        frames=frames,
        known_keys=ase_files.KNOWN_KEYS,
        stated_units=stated or {},
        needs_energy_unit=needs_unit,
    )


def _find(content, **settings):
    return label_keys.find_keys(content, DataConfig(train="a.xyz", **settings), "a.xyz")


@pytest.mark.parametrize(
    ("quantity", "key"),
    [
        ("energy", "energy"),
        ("energy", "REF_energy"),
        ("energy", "TotEnergy"),
        ("energy", "free_energy"),
        ("forces", "force"),
        ("forces", "REF_forces"),
        ("stress", "REF_stress"),
        ("stress", "virial"),
        ("stress", "REF_virials"),
    ],
)
def test_usual_names_are_found(quantity, key):
    keys = _find(_content({key: 1.0, "temperature": 300.0}))
    assert getattr(keys, quantity) == key


def test_two_keys_with_different_values_stop_with_a_question_that_names_both():
    content = _content({"energy": -1.0}, {"energy": -2.0, "REF_energy": -3.0})
    with pytest.raises(errors.DataError) as caught:
        _find(content)
    message = str(caught.value)
    assert "2 keys may hold the energy: 'energy' (-1.0), 'REF_energy' (absent)" in message
    assert "Set data.energy_key=energy or data.energy_key=REF_energy" in message


def test_a_configured_key_answers_the_question():
    content = _content({"energy": -1.0, "REF_energy": -2.0})
    assert _find(content, energy_key="REF_energy").energy == "REF_energy"


def test_two_keys_with_equal_values_are_one_label():
    assert _find(_content({"forces": np.ones((1, 3)), "REF_forces": np.ones((1, 3))})).forces


def test_a_stress_beside_a_virial_stops_with_a_question():
    with pytest.raises(errors.DataError, match=r"data.stress_key=stress or data.stress_key=virial"):
        _find(_content({"stress": np.zeros(6), "virial": np.zeros((3, 3))}))


def test_the_free_energy_is_taken_where_it_differs_because_forces_belong_to_it():
    keys = _find(_content({"energy": -1.0, "free_energy": -1.1}))
    assert keys.energy == "free_energy"
    assert "'free_energy' is taken" in keys.remarks[0]
    same = _find(_content({"energy": -1.0, "free_energy": -1.0}))
    assert same.energy == "energy" and same.remarks == ()


def test_a_free_energy_of_some_frames_only_stops_with_a_question():
    with pytest.raises(errors.DataError, match=r"'energy'.*'free_energy'.*Which one is the label"):
        _find(_content({"energy": -1.0, "free_energy": -1.1}, {"energy": -2.0}))


def test_a_configured_key_that_no_frame_has_is_answered_with_those_there_are():
    message = "no frame has the key 'dft_enrgy' .data.energy_key.. Did you mean 'dft_energy_x'"
    with pytest.raises(errors.DataError, match=message):
        _find(_content({"dft_energy_x": 1.0}), energy_key="dft_enrgy")


def test_a_label_can_be_ignored():
    assert _find(_content({"stress": np.zeros(6)}), stress_key="none").stress is None


def test_derived_units_follow_from_energy_and_length():
    content = _content({"energy": 1.0, "forces": 1.0, "stress": 1.0})
    settings = DataConfig(train="a", energy_unit="Hartree", length_unit="Bohr")
    keys = label_keys.find_keys(content, settings, "a")
    scales = label_units.scales(content, settings, keys, "a")
    assert scales.forces == pytest.approx(51.4220675, rel=1e-7)
    assert scales.stress == pytest.approx(27.211386246 / 0.529177210903**3, rel=1e-9)


def test_what_the_file_states_is_used_unless_the_configuration_says_otherwise():
    content = _content({"energy": 1.0}, stated={"energy": "kcal/mol"}, needs_unit=True)
    keys = label_keys.LabelKeys(energy="energy", forces=None, stress=None)
    stated = label_units.scales(content, DataConfig(train="a"), keys, "a")
    assert stated.energy == pytest.approx(0.0433641, rel=1e-6)
    given = label_units.scales(content, DataConfig(train="a", energy_unit="eV"), keys, "a")
    assert given.energy == 1.0


def test_a_format_that_leaves_the_unit_open_asks_for_it():
    content = _content({"energy": 1.0}, needs_unit=True)
    keys = label_keys.LabelKeys(energy="energy", forces=None, stress=None)
    with pytest.raises(errors.DataError, match=r"set data.energy_unit .*energy_unit=kcal/mol"):
        label_units.scales(content, DataConfig(train="a"), keys, "a")


def test_a_virial_in_a_unit_of_pressure_is_refused():
    keys = label_keys.LabelKeys(energy=None, forces=None, stress="virial")
    settings = DataConfig(train="a", stress_unit="GPa")
    with pytest.raises(errors.DataError, match="a: unknown unit of energy 'GPa'"):
        label_units.scales(_content({"virial": 1.0}), settings, keys, "a")


def test_stress_and_virial_have_the_sign_of_the_strain_derivative_of_the_energy():
    atoms = ase.build.bulk("Cu", cubic=True) * (1, 1, 2)
    atoms.rattle(0.1, seed=1)
    atoms.calc = EMT()
    volume, step = atoms.get_volume(), 1e-5
    expected = np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            energies = []
            for sign in (1.0, -1.0):
                strain = np.eye(3)
                strain[i, j] += sign * step
                strained = atoms.copy()
                strained.set_cell(atoms.cell @ strain, scale_atoms=True)
                strained.calc = EMT()
                energies.append(strained.get_potential_energy())
            expected[i, j] = (energies[0] - energies[1]) / (2 * step * volume)
    voigt = labels.stress(atoms.get_stress(), "stress", volume, "a")
    virial = -atoms.get_stress(voigt=False) * volume
    np.testing.assert_allclose(voigt, 0.5 * (expected + expected.T), atol=1e-6)
    np.testing.assert_allclose(labels.stress(virial, "virials", volume, "a"), voigt, atol=1e-12)
    np.testing.assert_allclose(labels.stress(virial.ravel(), "virial", volume, "a"), voigt)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            np.zeros(5),
            r"a, frame 1: 'stress' has shape \(5,\), expected \(3, 3\), \(9,\) or \(6,\)",
        ),
        (np.arange(9.0), r"a, frame 1: 'stress' is not symmetric .*data\.stress_key=none"),
        ("three", r"a, frame 1: 'stress' is 'three' \(text\), expected numbers"),
    ],
)
def test_a_stress_that_is_none_is_refused(value, message):
    with pytest.raises(errors.DataError, match=message):
        labels.stress(value, "stress", 1.0, "a, frame 1")


def test_energies_and_forces_of_a_wrong_shape_are_refused():
    with pytest.raises(errors.DataError, match=r"'e' has shape \(2,\), expected one number"):
        labels.scalar(np.zeros(2), "e", "a")
    with pytest.raises(errors.DataError, match=r"'f' has shape \(3,\), expected \(3, 3\)"):
        labels.forces(np.zeros(3), "f", 3, "a")
    with pytest.raises(errors.DataError, match=r"'f' has shape \(3, 4\), expected \(4, 3\)"):
        labels.forces(np.zeros((3, 4)), "f", 4, "a")


def test_an_energy_that_is_nan_is_refused():
    with pytest.raises(errors.DataError, match="a, frame 1: 'e' is nan; mend or remove the frame"):
        labels.scalar(np.nan, "e", "a, frame 1")
