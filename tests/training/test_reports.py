import dataclasses
import math

import numpy as np
import pytest

from equipot import quantities
from equipot.cli import summary
from equipot.potential.evaluate import HostPrediction
from equipot.quantities import Label, QuantityConfig
from equipot.training import reports


def off_by(structure, energy=0.0, forces=0.0, stress=0.0):
    """A prediction that misses the labels by given amounts."""
    count = len(structure.positions)
    return HostPrediction(
        energy=structure.energy + energy,
        energies=np.zeros(count),
        forces=structure.forces + forces,
        stress=structure.stress + stress,
        has_stress=True,
    )


def test_errors_are_per_atom_and_relative_to_the_labels(lennard_jones):
    predictions = [off_by(s, 0.4, 0.1, 0.01) for s in lennard_jones]
    found = reports.split_errors(lennard_jones, predictions)
    assert found.quantities["energy"].mae == pytest.approx(0.1)
    assert found.quantities["forces"].rmse == pytest.approx(0.1)
    assert found.quantities["stress"].mae == pytest.approx(0.01)
    rms = np.sqrt(np.mean(np.concatenate([s.forces for s in lennard_jones]) ** 2))
    assert found.quantities["forces"].relative == pytest.approx(0.1 / rms)


def test_rmse_weighs_large_errors(lennard_jones):
    pair = lennard_jones[:2]
    found = reports.split_errors(pair, [off_by(pair[0], 0.0), off_by(pair[1], 0.8)])
    assert found.quantities["energy"].mae == pytest.approx(0.1)
    assert found.quantities["energy"].rmse == pytest.approx(0.2 / math.sqrt(2))


def test_elements_and_groups_are_told_apart(lennard_jones):
    predictions = []
    for s in lennard_jones:
        wrong = np.where(s.atomic_numbers == 36, 0.3, 0.0)[:, None]
        predictions.append(off_by(s, forces=wrong, energy=0.4 if s.group == "600 K" else 0.0))
    found = reports.split_errors(lennard_jones, predictions)
    assert found.elements["forces"]["Kr"].mae == pytest.approx(0.3)
    assert found.elements["forces"]["Ar"].mae == pytest.approx(0.0)
    assert list(found.groups) == ["300 K", "600 K"]
    assert found.groups["600 K"].quantities["energy"].mae == pytest.approx(0.1)
    assert found.groups["300 K"].quantities["energy"].mae == pytest.approx(0.0)


def test_forces_that_zeros_predict_as_well_are_named(lennard_jones):
    pair = lennard_jones[:2]
    zeros = [off_by(s, forces=-s.forces) for s in pair]
    worse = [off_by(s, energy=1e3, forces=-1.5 * s.forces) for s in pair]
    right = [off_by(s, forces=-0.9 * s.forces) for s in pair]
    found = {
        name: reports.split_errors(pair, own)
        for name, own in (("train", right), ("valid", zeros), ("test", worse))
    }
    said = reports.no_better_than_zeros(found)
    assert [line.split(" ")[0] for line in said] == ["valid:", "test:"]
    assert "zeros would be at least as good for forces (RMSE 150 %" in said[1]


def test_a_quantity_without_labels_is_missing_and_not_zero(lennard_jones):
    bare = [dataclasses.replace(s, stress_weight=0.0, group="") for s in lennard_jones]
    found = reports.split_errors(bare, [off_by(s) for s in bare])
    assert found.quantities["stress"] is None
    assert found.to_json()["stress"] is None
    assert "groups" not in found.to_json()
    assert "stress" not in reports.error_table({"test": found})


def test_the_table_is_in_milli_electronvolts_and_percent(lennard_jones):
    found = reports.split_errors(lennard_jones, [off_by(s, 0.4) for s in lennard_jones])
    rows = reports.error_table({"test": found}).splitlines()
    assert rows[1].split()[:5] == ["test", "energy", "100.00", "100.00", "meV/atom"]
    assert rows[2].split()[-2:] == ["0.00", "%"]


def test_groups_that_are_numbers_are_ordered_as_numbers(lennard_jones):
    names = ["600", "300", "1000"]
    three = [dataclasses.replace(s, group=g) for s, g in zip(lennard_jones, names, strict=False)]
    found = reports.split_errors(three, [off_by(s) for s in three])
    assert list(found.groups) == ["300", "600", "1000"]


def test_json_has_the_promised_keys(lennard_jones):
    found = reports.split_errors(lennard_jones, [off_by(s) for s in lennard_jones]).to_json()
    assert set(found) == {"energy", "forces", "stress", "elements", "groups"}
    for name in ("energy", "forces", "stress"):
        assert set(found[name]) == {"rmse", "mae", "relative"}


def test_the_relative_error_of_energies_is_that_of_their_deviation_from_the_mean(lennard_jones):
    found = reports.split_errors(lennard_jones, [off_by(s, 0.4) for s in lennard_jones])
    per_atom = [s.energy / len(s.positions) for s in lennard_jones]
    assert found.to_json()["energy"]["relative"] == pytest.approx(0.1 / np.std(per_atom))
    alone = reports.split_errors(lennard_jones[:1], [off_by(lennard_jones[0], 0.4)])
    assert alone.to_json()["energy"]["relative"] is None


def test_units_are_those_of_the_numbers_in_json():
    table = quantities.declared({"dipole": QuantityConfig(irreps="1o", unit="D")})
    found = reports.units(quantities.every(table))
    assert found == {"energy": "eV/atom", "forces": "eV/Å", "stress": "eV/Å³", "dipole": "D"}


def test_rows_of_groups_say_what_they_differ_in(lennard_jones):
    found = reports.split_errors(lennard_jones, [off_by(s) for s in lennard_jones])
    assert "\ntest, phase=600 K  energy" in reports.error_table({"test": found}, group_key="phase")
    bare = [dataclasses.replace(s, group="") for s in lennard_jones[:4]]
    named = [dataclasses.replace(s, head=h) for s, h in zip(bare, "abab", strict=True)]
    found = reports.split_errors(named, [off_by(s) for s in named])
    text = reports.error_table({"test": found}, group_key="phase", head_key="level")
    assert "\ntest, level=b " in text and "phase" not in text


def test_levels_of_theory_are_told_apart_where_nothing_else_is(lennard_jones):
    bare = [dataclasses.replace(s, group="") for s in lennard_jones[:4]]
    named = [dataclasses.replace(s, head=h) for s, h in zip(bare, "abab", strict=True)]
    predictions = [off_by(s, energy=0.4 if s.head == "b" else 0.0) for s in named]
    found = reports.split_errors(named, predictions)
    assert found.groups["a"].quantities["energy"].mae == pytest.approx(0.0)
    assert found.groups["b"].quantities["energy"].mae == pytest.approx(0.1)
    assert not reports.split_errors(named[::2], predictions[::2]).groups
    grouped = [dataclasses.replace(s, group="hot") for s in named]
    assert list(reports.split_errors(grouped, predictions).groups) == ["hot"]


def test_declared_quantities_have_rows_and_keys_of_their_own(lennard_jones):
    table = quantities.declared({"dipole": QuantityConfig(irreps="1o", unit="e Å")})
    known = quantities.every(table | quantities.declared({"alpha": QuantityConfig()}))
    label = Label(np.array([3.0, 0.0, 0.0]), 1.0)
    structures = [dataclasses.replace(s, others={"dipole": label}) for s in lennard_jones[:2]]
    others = {"dipole": label.value + np.array([0.0, 0.3, 0.0]), "alpha": np.array(1.0)}
    predictions = [dataclasses.replace(off_by(s), others=others) for s in structures]
    found = reports.split_errors(structures, predictions, known)
    assert found.quantities["dipole"].relative == pytest.approx(0.1)
    assert found.to_json()["dipole"].keys() == {"rmse", "mae", "relative"}
    assert found.to_json()["alpha"] is None
    rows = reports.error_table({"test": found}, known).splitlines()
    assert rows[4].split() == ["test", "dipole", "0.1", "0.1732", "e", "Å", "10.00", "%"]


def test_every_quantity_of_atoms_is_told_apart_by_element(lennard_jones):
    known = quantities.every(quantities.declared({"spin": QuantityConfig(per="atom")}))
    labelled, bare = lennard_jones[1:3]
    spins = np.arange(4.0)
    labelled = dataclasses.replace(labelled, others={"spin": Label(spins, 1.0)})
    wrong = np.where(labelled.atomic_numbers == 36, 0.5, 0.0)
    predictions = [
        dataclasses.replace(off_by(labelled), others={"spin": spins + wrong}),
        dataclasses.replace(off_by(bare), others={"spin": spins}),
    ]
    found = reports.split_errors([labelled, bare], predictions, known)
    assert found.elements["spin"]["Kr"].mae == 0.5
    assert found.elements["spin"]["Ar"].mae == 0.0
    assert found.to_json()["spin"]["elements"]["Kr"]["rmse"] == 0.5
    assert found.to_json()["elements"].keys() == {"Ar", "Kr"}
    assert "spin on Kr" in reports.error_table({"test": found}, known)


def test_a_summary_of_what_is_not_finite_is_null_and_fits_into_a_file():
    errors = {"energy": reports.Errors(0.001, 0.002, 0.1), "forces": reports.Errors(*3 * [np.inf])}
    found = reports.SplitErrors(quantities={**errors, "stress": None}).summary(reports.DERIVED)
    assert found == {
        "energy": {"rmse": 2.0, "mae": 1.0, "unit": "meV/atom"},
        "forces": {"rmse": None, "mae": None, "unit": "meV/Å"},
    }
    shown = list(summary._errors({"test": found}))
    assert shown == ["test: energy 2 meV/atom, forces not finite"]
