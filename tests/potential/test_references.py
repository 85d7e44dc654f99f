"""Reference energies, scale and shift, from structures whose energies are known exactly."""

import numpy as np
import pytest

from equipot import errors
from equipot.data.structure import Structure
from equipot.potential import references
from equipot.potential.config import PotentialConfig

ISOLATED = {1: -13.6, 8: -432.0}
BINDING = {1: -1.5, 8: -2.5}


def molecule(numbers, energy, forces=None, weight=1.0):
    count = len(numbers)
    given = {} if forces is None else {"forces": np.asarray(forces), "forces_weight": 1.0}
    return Structure(
        positions=np.arange(3.0 * count).reshape(count, 3),
        atomic_numbers=np.array(numbers),
        energy=energy,
        energy_weight=weight,
        **given,
    )


def bound(numbers, extra=0.0):
    return molecule(numbers, sum(ISOLATED[z] + BINDING[z] for z in numbers) + extra)


WATERS = [bound([8, 1, 1]), bound([8, 1]), bound([1, 1]), bound([8, 8, 1])]


def compute(structures=WATERS, isolated=ISOLATED, **settings):
    return references.compute_references(structures, (1, 8), isolated, PotentialConfig(**settings))


def test_isolated_atoms_are_taken_where_all_are_there():
    found = compute()
    np.testing.assert_array_equal(found.atomic_energies, [-13.6, -432.0])
    np.testing.assert_allclose(found.shift, [-1.5, -2.5], atol=1e-9)


def test_least_squares_are_taken_where_an_isolated_atom_is_missing():
    found = compute(isolated={1: -13.6})
    np.testing.assert_allclose(found.atomic_energies, [-15.1, -434.5], atol=1e-9)
    np.testing.assert_array_equal(found.shift, [0.0, 0.0])
    assert "isolated atoms of the data are not used, because there is none of O" in found.notes[0]
    assert not any("not used" in note for note in compute().notes + compute(isolated={}).notes)


def test_given_energies_win_over_isolated_atoms():
    found = compute(reference_energies={"O": -430.0, "H": -13.0})
    np.testing.assert_array_equal(found.atomic_energies, [-13.0, -430.0])
    np.testing.assert_allclose(found.shift, [-2.1, -4.5], atol=1e-9)


def test_no_references_leave_all_to_the_shift():
    found = compute(reference_energies="none")
    np.testing.assert_array_equal(found.atomic_energies, [0.0, 0.0])
    np.testing.assert_allclose(found.shift, [-15.1, -434.5], atol=1e-9)


def test_fit_is_exact_for_one_composition_and_warns_of_its_rank():
    found = compute([bound([8, 1, 1]), bound([8, 1, 1])], {}, reference_energies="least_squares")
    assert 2 * found.atomic_energies[0] + found.atomic_energies[1] == pytest.approx(-464.7)
    assert any("rank 1 for 2 elements" in note for note in found.notes)
    assert not any("rank" in note for note in compute(isolated={}).notes)


def test_structures_without_energies_take_no_part_in_the_fit():
    unlabelled = molecule([8, 1], 0.0, weight=0.0)
    found = compute([*WATERS, unlabelled], {})
    np.testing.assert_allclose(found.atomic_energies, [-15.1, -434.5], atol=1e-9)


def test_scale_is_that_of_the_length_of_forces_or_their_root_mean_square():
    forces = [[3.0, 0.0, 0.0], [0.0, -4.0, 0.0]]
    structures = [molecule([1, 1], -30.0, forces), *WATERS]
    np.testing.assert_allclose(compute(structures).scale, 3.5 * np.sqrt(np.pi / 8))
    found = compute(structures, scale="forces_rms")
    np.testing.assert_allclose(found.scale, np.sqrt(25 / 6))


def test_scale_of_normally_distributed_forces_is_their_deviation_and_outliers_hardly_matter():
    forces = 0.7 * np.random.default_rng(0).standard_normal((20_000, 3))
    alike = [molecule([1] * 100, -30.0, part) for part in np.split(forces, 200)]
    np.testing.assert_allclose(compute(alike).scale, 0.7, rtol=0.01)
    forces[:2] = 60.0
    far = [molecule([1] * 100, -30.0, part) for part in np.split(forces, 200)]
    np.testing.assert_allclose(compute(far).scale, 0.7, rtol=0.02)
    assert np.all(compute(far, scale="forces_rms").scale > 0.9)


def test_scale_is_the_number_given_or_one_without_forces():
    np.testing.assert_array_equal(compute(scale=2.5).scale, [2.5, 2.5])
    np.testing.assert_array_equal(compute().scale, [1.0, 1.0])


def test_missing_isolated_atom_is_named():
    with pytest.raises(errors.ConfigError, match="no energy for O in frames with config_type"):
        compute(isolated={1: -13.6}, reference_energies="isolated")


def test_missing_given_energy_is_named():
    with pytest.raises(
        errors.ConfigError, match=r"no energy for O in potential\.reference_energies"
    ):
        compute(isolated={}, reference_energies={"H": -13.6})


def test_symbol_that_is_none_is_refused():
    with pytest.raises(errors.ConfigError, match="'Hx' is no chemical symbol"):
        compute(reference_energies={"Hx": -13.6, "O": -430.0})


def test_notes_say_where_the_numbers_come_from():
    text = "\n".join(compute().notes)
    assert "Reference energies (isolated): H -13.6000, O -432.0000 eV" in text
    assert "Mean binding energies: H -1.5000, O -2.5000 eV" in text


def test_elements_share_evenly_what_one_composition_leaves_open():
    found = compute([bound([8, 1, 1]), bound([8, 1, 1, 8, 1, 1])])
    mean = (BINDING[8] + 2 * BINDING[1]) / 3
    np.testing.assert_allclose(found.shift, [mean, mean], atol=1e-9)
    assert found.undetermined == (1, 8)
    assert any(
        "do not determine how the binding energy is shared among H, O" in n for n in found.notes
    )


def test_what_compositions_determine_is_not_shared():
    assert compute().undetermined == ()
    assert not any("determine" in note for note in compute().notes)


def test_only_the_elements_that_always_come_together_are_left_open():
    energies = {1: -1.0, 6: -2.0, 8: -3.0}
    frames = [
        molecule(numbers, sum(2 * energies[z] for z in numbers))
        for numbers in ([6, 8, 1], [6, 8, 1, 1], [6, 8, 6, 8, 1])
    ]
    found = references.compute_references(frames, (1, 6, 8), energies, PotentialConfig())
    assert found.undetermined == (6, 8)
    np.testing.assert_allclose(found.shift, [-1.0, -2.5, -2.5], atol=1e-9)


def test_an_element_without_labelled_energies_is_left_open():
    frames = [bound([8, 8]), molecule([8, 1], 0.0, weight=0.0)]
    assert compute(frames).undetermined == (1,)
