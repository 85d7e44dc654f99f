import csv
import math

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.cluster import Icosahedron

from equipot import EquipotCalculator, errors
from equipot.calculators import dynamics, log


def copper():
    """A small particle with a calculator that costs nothing."""
    return Atoms(Icosahedron("Cu", 2), calculator=EMT())


def run(atoms, **settings):
    return dynamics.run_dynamics(atoms, dynamics.DynamicsConfig(**settings), progress=False)


def test_constant_energy_conserves_energy_while_it_moves_between_its_forms():
    report = run(copper(), ensemble="nve", num_steps=200, timestep=2.0, log_every=2)
    kinetic = [sample.kinetic for sample in report.samples]
    assert max(kinetic) - min(kinetic) > 0.05
    assert report.drift.excursion * 13 * 1e-3 < 0.02 * (max(kinetic) - min(kinetic))
    assert abs(report.drift.slope) < 1.0


@pytest.mark.wide
def test_constant_temperature_reaches_the_temperature():
    report = run(
        copper(), temperature=400.0, friction=0.1, num_steps=1500, timestep=3.0, log_every=5
    )
    temperatures = [sample.temperature for sample in report.samples[100:]]
    assert np.mean(temperatures) == pytest.approx(400.0, rel=0.15)


def test_the_same_seed_gives_the_same_run_and_another_seed_another():
    first, again, other = (
        run(copper(), num_steps=20, seed=seed).samples[-1].total for seed in (3, 3, 4)
    )
    assert first == again != other


def test_velocities_that_are_there_are_kept():
    atoms = copper()
    momenta = np.random.default_rng(0).normal(size=(13, 3))
    atoms.set_momenta(momenta)
    energy = atoms.get_kinetic_energy()
    assert run(atoms, ensemble="nve", num_steps=1).samples[0].kinetic == energy


def test_drawn_velocities_have_the_temperature_on_average():
    atoms = Atoms("H4000O4000")
    dynamics.draw_velocities(atoms, 350.0, np.random.default_rng(0))
    energies = 0.5 * np.square(atoms.get_momenta()).sum(axis=1) / atoms.get_masses()
    for element in ("H", "O"):
        chosen = np.array(atoms.get_chemical_symbols()) == element
        assert energies[chosen].mean() == pytest.approx(1.5 * 8.617333e-5 * 350.0, rel=0.05)


def test_drawn_velocities_do_not_move_the_center_of_mass():
    atoms = copper()
    run(atoms, ensemble="nve", num_steps=5)
    assert np.abs(atoms.get_momenta().sum(axis=0)).max() < 1e-10


def test_the_log_and_the_trajectory_agree_with_the_report(tmp_path):
    atoms = copper()
    lines, trajectory = tmp_path / "md.csv", tmp_path / "new" / "md.extxyz"
    report = run(
        atoms,
        num_steps=20,
        log=str(lines),
        trajectory=str(trajectory),
        log_every=5,
        trajectory_every=10,
    )
    with lines.open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == log.COLUMNS
    assert [int(row["step"]) for row in rows] == [0, 5, 10, 15, 20]
    assert [float(row["Etot_eV"]) for row in rows] == [s.total for s in report.samples]
    frames = ase.io.read(trajectory, index=":")
    assert len(frames) == 3
    assert frames[-1].get_potential_energy() == pytest.approx(report.samples[-1].potential)
    np.testing.assert_allclose(frames[-1].positions, atoms.positions, atol=1e-7)
    np.testing.assert_allclose(frames[-1].get_momenta(), atoms.get_momenta(), atol=1e-6)


def test_a_trajectory_in_ases_own_format_is_exact(tmp_path):
    atoms = copper()
    run(atoms, num_steps=4, trajectory=str(tmp_path / "md.traj"), trajectory_every=2)
    frames = ase.io.read(tmp_path / "md.traj", index=":")
    assert len(frames) == 3
    np.testing.assert_array_equal(frames[-1].positions, atoms.positions)


def test_pressure_is_that_of_an_ideal_gas_without_forces():
    rng = np.random.default_rng(0)
    atoms = Atoms("Ar20", positions=rng.uniform(0, 300, (20, 3)), cell=[300] * 3, pbc=True)
    atoms.calc = LennardJones(epsilon=0.01, sigma=0.1, rc=1.0)
    sample = run(atoms, ensemble="nve", num_steps=1, temperature=500.0).samples[0]
    expected = 2 / 3 * sample.kinetic / atoms.get_volume() * 160.21766
    assert sample.pressure == pytest.approx(expected, rel=1e-4)
    assert math.isnan(run(copper(), num_steps=1).samples[0].pressure)


def test_drift_is_the_slope_of_the_total_energy_per_atom():
    times = np.arange(0, 1000.0, 10)
    energies = -50.0 + 1e-3 * 0.25 * 8 * times * 1e-3  # 0.25 meV/atom/ps for eight atoms
    drift = log.fit_drift(times, energies, num_atoms=8)
    assert drift.slope == pytest.approx(0.25)
    assert drift.excursion == pytest.approx(0.25 * 0.99)
    assert "+0.2500 meV/atom/ps" in str(drift)


def test_every_step_is_observed():
    seen = []
    config = dynamics.DynamicsConfig(num_steps=7)
    dynamics.run_dynamics(copper(), config, progress=False, observe=seen.append)
    assert seen == list(range(8))


def test_files_are_not_overwritten_unasked(tmp_path):
    log = tmp_path / "md.csv"
    log.write_text("precious")
    with pytest.raises(errors.ConfigError, match=r"md\.csv: already stands there"):
        run(copper(), num_steps=1, log=str(log))
    assert log.read_text() == "precious"
    run(copper(), num_steps=1, log=str(log), overwrite=True)
    assert log.read_text().startswith("step,")


def test_another_suffix_is_refused_with_a_suggestion(tmp_path):
    with pytest.raises(errors.ConfigError, match=r"received '\.trj'\. Did you mean '\.traj'"):
        run(copper(), num_steps=1, trajectory=str(tmp_path / "md.trj"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ensemble": "npt"}, "ensemble: expected one of nve, nvt, received 'npt'"),
        ({"timestep": 0.0}, "timestep: expected a positive number"),
        ({"temperature": -1.0}, "temperature: expected K"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(errors.ConfigError, match=message):
        dynamics.DynamicsConfig(**settings)


def test_an_error_on_the_way_names_its_step(saved):
    atoms = Atoms("OH", positions=[[0, 0, 0], [1.0, 0, 0]], calculator=EquipotCalculator(saved))
    atoms.set_momenta([[0, 0, 0], [0.1, 0, 0]])

    def break_it(step):
        if step == 3:
            atoms.positions[1] = np.nan

    config = dynamics.DynamicsConfig(
        ensemble="nve", num_steps=9, log_every=100, trajectory_every=100
    )
    with pytest.raises(errors.DataError, match=r"step \d: position of atom 1"):
        dynamics.run_dynamics(atoms, config, progress=False, observe=break_it)
