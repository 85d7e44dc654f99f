"""Relaxations on the device: those of ASE, many at a time, cells too."""

import dataclasses

import numpy as np
import pytest
from ase import Atoms
from ase.constraints import FixAtoms
from ase.filters import UnitCellFilter
from ase.optimize import FIRE

from equipot import EquipotCalculator, errors
from equipot.calculators.relaxation import RelaxationConfig
from equipot.md import relaxation, rooms
from equipot.potential.bound import Bound


@pytest.fixture(scope="module")
def bound(make_potential):
    return Bound(make_potential())


def crystals(make_crystal, count=2):
    return [make_crystal(cells=2, seed=seed, disturbance=0.15) for seed in range(count)]


@pytest.mark.parametrize("cell", [False, True], ids=["atoms", "cells"])
def test_steps_are_those_of_ase(make_crystal, make_potential, bound, cell):
    config = RelaxationConfig(fmax=1e-9, max_steps=12, cell=cell, pressure=2.0 if cell else 0.0)
    found, expected = crystals(make_crystal), crystals(make_crystal)
    found[1].set_constraint(FixAtoms([0, 5]))
    expected[1].set_constraint(FixAtoms([0, 5]))
    reports = relaxation.relax(found, bound, config)
    for ours, theirs, report in zip(found, expected, reports, strict=True):
        theirs.calc = EquipotCalculator(make_potential())
        before = theirs.get_potential_energy()
        target = UnitCellFilter(theirs, scalar_pressure=2.0 / 160.21766208) if cell else theirs
        FIRE(target, logfile=None).run(fmax=1e-9, steps=12)
        np.testing.assert_allclose(ours.positions, theirs.positions, rtol=0, atol=1e-8)
        np.testing.assert_allclose(np.array(ours.cell), np.array(theirs.cell), rtol=0, atol=1e-8)
        energy = theirs.get_potential_energy()
        assert (report.num_steps, report.converged) == (12, False)
        assert report.energy_before == pytest.approx(before, abs=1e-9)
        assert report.energy_after == pytest.approx(energy, abs=1e-8)
        assert report.volume_after == pytest.approx(theirs.get_volume(), abs=1e-6)


@pytest.mark.wide
def test_many_share_slots_and_each_leaves_when_it_has_converged(
    make_crystal, make_potential, monkeypatch
):
    """Nine structures of two sizes in four slots, with a repulsion so that there is a minimum."""
    monkeypatch.setattr(relaxation, "MOST_ATOMS", 24)
    bound = Bound(make_potential("float64", scale=0.1))
    many = crystals(make_crystal, 7)
    rng = np.random.default_rng(1)
    many[2:2] = [Atoms("OH2", positions=rng.normal(0, 0.9, (3, 3))) for _ in range(2)]
    ended = []
    config = RelaxationConfig(fmax=0.05, max_steps=300)
    reports = relaxation.relax(many, bound, config, on_end=lambda i, *_: ended.append(i))
    assert sorted(ended) == list(range(9))
    assert len({report.num_steps for report in reports}) > 3
    for own, report in zip(many, reports, strict=True):
        checked = own.copy()
        checked.calc = EquipotCalculator(bound.potential)
        np.testing.assert_allclose(checked.get_forces(), own.get_forces(), rtol=0, atol=1e-8)
        assert report.energy_after <= report.energy_before + 1e-9
        assert report.converged == (np.linalg.norm(own.get_forces(), axis=1).max() < 0.05)
    assert sum(report.converged for report in reports) >= 7


def test_one_that_is_not_finite_stays_as_it_was_and_the_others_go_on(
    make_crystal, make_potential, monkeypatch
):
    """Of a potential that gives no number for oxygen."""
    monkeypatch.setattr(relaxation, "MOST_ATOMS", 16)  # two slots
    sound = make_potential()
    shift = np.array([0.0, np.nan])
    broken = dataclasses.replace(sound, params={**sound.params, "shift": shift})
    many = crystals(make_crystal, 3)
    for own in (many[0], many[2]):
        own.numbers[:] = 1
    before = many[1].positions.copy()
    reports = relaxation.relax(many, Bound(broken), RelaxationConfig(fmax=1e-9, max_steps=10))
    assert [report.num_steps for report in reports] == [10, 0, 10]
    assert "NOT relaxed, left as it was: at step 0 energies or forces are not" in str(reports[1])
    assert not reports[1].converged and many[1].calc is None
    np.testing.assert_array_equal(many[1].positions, before)
    assert np.isfinite([reports[0].energy_after, reports[2].energy_after]).all()


@pytest.mark.wide
def test_a_cell_that_collapses_stays_as_it_was_and_the_others_go_on(
    make_crystal, bound, monkeypatch
):
    """Under a pressure that a dilute cell withstands for longer."""
    monkeypatch.setattr(rooms, "_MOST_IMAGES", 27)
    many = crystals(make_crystal)
    many[1].set_cell(3 * np.asarray(many[1].cell), scale_atoms=True)
    before = many[0].copy()
    config = RelaxationConfig(fmax=1e-9, max_steps=30, cell=True, pressure=300.0)
    reports = relaxation.relax(many, bound, config)
    assert "not finite, or the cell has collapsed" in str(reports[0])
    assert many[0].calc is None and many[0] == before
    assert reports[1].num_steps == 30 and np.isfinite(reports[1].energy_after)


def test_what_cannot_be_relaxed_here_is_refused(make_crystal, bound):
    slab = make_crystal(cells=2, pbc=(True, True, False))
    with pytest.raises(errors.ConfigError, match="cell: structure 1: expected one that is period"):
        relaxation.relax([make_crystal(cells=2), slab], bound, RelaxationConfig(cell=True))
    flat = make_crystal(cells=2)
    flat.cell[2] = flat.cell[0] + flat.cell[1]
    near = make_crystal(cells=2)
    near.positions[1] = near.positions[0]
    for wrong, why in ((flat, "structure 41: .*cell"), (near, "structure 41: .*0 Å apart")):
        many = [Atoms("H") for _ in range(41)]  # more than have a slot at first
        with pytest.raises(errors.DataError, match=why):
            relaxation.relax([*many, wrong], bound, RelaxationConfig())
    with pytest.raises(errors.ConfigError, match="expected fire for many structures"):
        relaxation.relax([slab], bound, RelaxationConfig(optimizer="bfgs"))
