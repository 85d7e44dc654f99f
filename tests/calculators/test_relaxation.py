import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.cluster import Icosahedron

from equipot import errors
from equipot.calculators import relaxation


def relax(atoms, **settings):
    return relaxation.relax(atoms, relaxation.RelaxationConfig(**settings))


@pytest.mark.parametrize("optimizer", sorted(relaxation.OPTIMIZERS))
def test_forces_vanish_and_the_energy_falls(optimizer):
    atoms = Atoms(Icosahedron("Cu", 2), calculator=EMT())
    atoms.rattle(0.05, seed=1)
    report = relax(atoms, optimizer=optimizer, fmax=0.02)
    assert report.converged and report.largest_force <= 0.02
    assert report.energy_after < report.energy_before
    assert np.linalg.norm(atoms.get_forces(), axis=1).max() == report.largest_force


def test_the_cell_relaxes_to_zero_stress_only_if_asked():
    atoms = bulk("Cu", cubic=True) * (1, 1, 1)
    atoms.set_cell(atoms.cell * 1.03, scale_atoms=True)
    atoms.calc = EMT()
    fixed = relax(atoms)
    assert fixed.volume_after == fixed.volume_before
    report = relax(atoms, cell=True, fmax=1e-3, optimizer="bfgs")
    assert report.converged and report.volume_after < 0.97 * report.volume_before
    assert np.abs(atoms.get_stress()).max() < 1e-4
    assert "volume" in str(report)


@pytest.mark.wide
def test_pressure_squeezes_the_cell():
    atoms = bulk("Cu", cubic=True)
    atoms.calc = EMT()
    relax(atoms, cell=True, fmax=1e-3, pressure=5.0, optimizer="bfgs")
    assert -atoms.get_stress()[:3].mean() * 160.21766 == pytest.approx(5.0, abs=0.05)


def test_giving_up_is_told():
    atoms = molecule("H2O", calculator=EMT())
    report = relax(atoms, max_steps=1, fmax=1e-6)
    assert not report.converged and "NOT converged" in str(report)


def test_every_frame_is_written(tmp_path):
    atoms = molecule("H2O", calculator=EMT())
    report = relax(atoms, trajectory=str(tmp_path / "relax.extxyz"))
    frames = ase.io.read(tmp_path / "relax.extxyz", index=":")
    assert len(frames) == report.num_steps + 1
    assert frames[-1].get_potential_energy() == pytest.approx(report.energy_after)


def test_relaxing_the_cell_of_a_molecule_is_refused():
    with pytest.raises(errors.ConfigError, match="periodic in all three directions"):
        relax(molecule("H2O", calculator=EMT()), cell=True)


def test_wrong_settings_are_refused():
    with pytest.raises(errors.ConfigError, match="optimizer: expected one of fire, bfgs, lbfgs"):
        relaxation.RelaxationConfig(optimizer="bfg")
    with pytest.raises(errors.ConfigError, match="fmax: expected a positive number"):
        relaxation.RelaxationConfig(fmax=0.0)
