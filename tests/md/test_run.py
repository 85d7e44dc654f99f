"""Dynamics on the device: against ASE, in company, interrupted, short of room, out of range."""

import dataclasses
import pathlib

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.constraints import FixAtoms, FixBondLength
from ase.md.verlet import VelocityVerlet

from equipot import EquipotCalculator, errors
from equipot.calculators import dynamics
from equipot.data.distance_range import DistanceRange
from equipot.md import rooms, simulation
from equipot.md.config import DeviceConfig
from equipot.md.run import run
from equipot.potential.bound import Bound

NAMES = "md.extxyz", "md.csv", "md.restart"


def settings(**changes):
    given = {"num_steps": 30, "temperature": 400.0, "ensemble": "nve", "log_every": 5}
    return DeviceConfig(**(given | changes))


def files(folder, **changes):
    trajectory, log, restart = (str(folder / name) for name in NAMES)
    given = {"trajectory": trajectory, "log": log, "restart": restart}
    given |= {"trajectory_every": 3, "log_every": 2, "restart_every": 7}
    return settings(**(given | changes))


def contents(folder):
    return [(folder / name).read_bytes() for name in NAMES]


def moving(atoms, seed=0, temperature=400.0):
    dynamics.draw_velocities(atoms, temperature, np.random.default_rng(seed))
    return atoms


def molecule(size=5, seed=3):
    rng = np.random.default_rng(seed)
    places = np.cumsum(rng.uniform(0.8, 1.2, (size, 3)), axis=0)
    return Atoms([8, 1] * (size // 2) + [8] * (size % 2), positions=places)


@pytest.fixture(scope="module")
def bound(make_potential):
    return Bound(make_potential())


def go(structures, bound, config, **options):
    return run(structures, bound, config, progress=False, **options)


def test_a_hundred_steps_are_those_of_ase(make_crystal, make_potential, bound):
    """Side by side: a crystal, a slab, and a molecule."""

    def start():
        periodic = (True, (True, False, True))
        return [*(moving(make_crystal(cells=2, pbc=pbc)) for pbc in periodic), moving(molecule())]

    found, expected = start(), start()
    go(found, bound, settings(num_steps=100))
    for ours, theirs in zip(found, expected, strict=True):
        theirs.calc = EquipotCalculator(make_potential())
        VelocityVerlet(theirs, 0.5 * units.fs).run(100)
        for name in ("get_positions", "get_velocities", "get_forces"):
            one, other = getattr(ours, name)(), getattr(theirs, name)()
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-9, err_msg=name)
        energy = theirs.get_potential_energy()
        assert ours.get_potential_energy() == pytest.approx(energy, abs=1e-9)
        if np.all(ours.pbc):
            one, other = ours.get_stress(), theirs.get_stress()
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)


@pytest.mark.wide
@pytest.mark.parametrize("thermostat", [pytest.param("langevin", marks=pytest.mark.slow), "bussi"])
def test_a_system_moves_as_it_would_alone(make_crystal, bound, thermostat):
    """Of other sizes and periodicity than its company, whose random numbers are others."""
    config = settings(ensemble="nvt", thermostat=thermostat, friction=0.05)
    together = [moving(a) for a in (molecule(4), make_crystal(cells=2), molecule(4))]
    alone = together[0].copy()
    go(together, bound, config, temperatures=[300.0, 500.0, 300.0])
    go([alone], bound, config, temperatures=[300.0])
    np.testing.assert_allclose(together[0].positions, alone.positions, rtol=0, atol=1e-9)
    assert np.abs(together[0].positions - together[2].positions).max() > 1e-4


@pytest.mark.wide
def test_files_of_many_say_which_system(tmp_path, bound):
    many = [moving(molecule(size, seed=size)) for size in (3, 5)]
    reports = go(many, bound, files(tmp_path, num_steps=6))
    frames = ase.io.read(tmp_path / "md.extxyz", ":")
    assert [(f.info["step"], f.info["system"], len(f)) for f in frames] == [
        (step, i, size) for step in (0, 3, 6) for i, size in enumerate((3, 5))
    ]
    np.testing.assert_allclose(frames[-1].positions, many[1].positions, atol=1e-7)
    lines = (tmp_path / "md.csv").read_text().split()
    assert lines[0].endswith(",system") and [line[-1] for line in lines[1:]] == ["0", "1"] * 4
    for i, report in enumerate(reports):
        assert [sample.step for sample in report.samples] == [0, 2, 4, 6]
        assert {sample.system for sample in report.samples} == {i}


_OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in ("nve", "nvt")]


@pytest.mark.parametrize("ensemble", ["npt", *_OTHERS])
def test_a_run_that_was_interrupted_ends_in_the_same_bits(
    tmp_path, make_crystal, make_potential, ensemble
):
    """Thrice, before and after restart files were written; in single precision."""
    bound = Bound(make_potential("float32"))

    def start():
        return [make_crystal(cells=2), make_crystal(cells=2, seed=1)]

    def interrupted(config, at):
        def stop(step, found, count):
            if step == at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            go(start(), bound, config, observe=stop)

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = go(start(), bound, files(whole, ensemble=ensemble))
    config = files(parts, ensemble=ensemble)
    interrupted(config, 3)
    config = dataclasses.replace(config, resume=True)
    interrupted(config, 16)
    interrupted(config, 24)
    assert go(start(), bound, config)[0].samples == expected[0].samples
    assert contents(parts) == contents(whole)


@pytest.mark.wide
def test_restart_files_of_the_other_engine_or_of_other_settings_are_refused(
    tmp_path, make_crystal, make_potential, bound
):
    atoms = make_crystal(cells=2)
    go([atoms], bound, files(tmp_path, num_steps=7))
    for changes, message in (
        ({"ensemble": "nvt"}, "ensemble nve, now it is nvt"),
        ({"thermostat": "bussi"}, "thermostat langevin, now it is bussi"),
    ):
        config = files(tmp_path, resume=True, **changes)
        with pytest.raises(errors.ConfigError, match=message):
            go([make_crystal(cells=2)], bound, config)
    atoms = make_crystal(cells=2)
    atoms.calc = EquipotCalculator(make_potential())
    theirs = dynamics.DynamicsConfig(ensemble="nve", restart=str(tmp_path / NAMES[2]), resume=True)
    with pytest.raises(errors.ConfigError, match="belongs to a run with"):
        dynamics.run_dynamics(atoms, theirs, progress=False)
    place = tmp_path / NAMES[2]
    place.write_bytes(place.read_bytes()[:-40])
    with pytest.raises(errors.ArtefactError, match=r"md\.restart"):
        go([make_crystal(cells=2)], bound, files(tmp_path, resume=True))


@pytest.mark.wide
def test_steps_are_repeated_where_room_was_short(make_crystal, bound, monkeypatch):
    """A gas that condenses: the same course as with room enough, to rounding."""
    ends = []
    for headroom in (1.05, 4.0):
        monkeypatch.setattr(rooms, "HEADROOM", headroom)
        monkeypatch.setattr(rooms, "GRAIN", 1)
        gas = make_crystal(cells=3, pbc=False)
        gas.positions *= 1.25
        gas.set_velocities(-0.05 * (gas.positions - gas.positions.mean(axis=0)))
        start = [_start_of(gas)]
        made = simulation.Simulation(
            bound, start, _ensemble(), velocities=[gas.get_velocities()], seed=0
        )
        made.advance(60)
        ends.append((made.num_growths, made.snapshot().positions))
    assert ends[0][0] > 0 and ends[1][0] == 0
    np.testing.assert_allclose(ends[0][1], ends[1][1], rtol=0, atol=1e-9)


def _start_of(atoms):
    from equipot.md import atoms as between

    return between.start_of(atoms, 0, 300.0, conserves=True)


def _ensemble(timestep=0.5):
    from equipot.md.ensembles import Ensemble

    return Ensemble(timestep=timestep * units.fs)


@pytest.mark.slow
def test_a_cell_that_shrinks_finds_more_images(make_crystal, bound):
    """Under 500 GPa a box becomes so small that atoms meet more of its images than at first."""
    atoms = make_crystal(cells=2)
    config = settings(ensemble="npt", num_steps=30, pressure=500.0, compressibility=0.05)
    config = dataclasses.replace(config, pressure_relaxation=20.0)
    before = atoms.get_volume()
    go([atoms], bound, config)
    assert atoms.get_volume() < 0.8 * before
    checked = atoms.copy()
    checked.calc = EquipotCalculator(bound.potential)
    np.testing.assert_allclose(atoms.get_forces(), checked.get_forces(), rtol=0, atol=1e-9)


@pytest.mark.wide
def test_fixed_atoms_stay_and_other_constraints_are_refused(make_crystal, bound):
    atoms = moving(make_crystal(cells=2))
    before = atoms.positions.copy()
    atoms.set_constraint(FixAtoms([0, 3]))
    go([atoms], bound, settings(ensemble="nvt"))
    moved = np.abs(atoms.positions - before).max(axis=1)
    assert (moved[[0, 3]] == 0).all() and (np.delete(moved, [0, 3]) > 0).all()
    atoms.set_constraint(FixBondLength(0, 1))
    with pytest.raises(errors.ConfigError, match="received FixBondLengths; others are"):
        go([atoms], bound, settings())
    atoms.set_constraint(FixAtoms([0]))
    with pytest.raises(errors.ConfigError, match="npt: expected structures that are periodic"):
        go([atoms], bound, settings(ensemble="npt"))


def within(potential, shortest):
    """The potential with a range in which no two atoms came nearer than a distance."""
    pairs = {(1, 1): shortest, (1, 8): shortest, (8, 8): shortest}
    span = DistanceRange(radius=3.5, shortest=pairs, longest={1: 3.0, 8: 3.0}, isolated={})
    return dataclasses.replace(potential, distance_range=span)


@pytest.mark.wide
def test_what_is_outside_of_training_is_reported_or_refused(make_crystal, make_potential):
    """Two atoms that fly at each other."""
    seen = []

    def observe(step, found, count):
        if found:
            seen.append((step, str(found[0]), count))

    def start():
        atoms = make_crystal(cells=2, disturbance=0.0)
        velocities = np.zeros((8, 3))
        velocities[0, 2] = 0.5
        atoms.set_velocities(velocities)
        return atoms

    bound = Bound(within(make_potential(), 1.8))
    go([start()], bound, settings(num_steps=30), observe=observe)
    assert seen and "the shortest" in seen[0][1] and 0 < seen[0][0] < 30
    assert sum(count for _, _, count in seen) <= 30 - seen[0][0] + 1
    with pytest.raises(errors.OutOfRangeError, match=rf"step {seen[0][0]}: the structure is out"):
        go([start()], bound, settings(), is_strict=True)
    bound = Bound(within(make_potential(), 0.5))
    seen.clear()
    go([start()], bound, settings(num_steps=5), observe=observe)
    assert not seen


def test_a_potential_that_states_no_distances_cannot_be_strict(make_crystal, bound):
    with pytest.raises(errors.ConfigError, match="strict: expected a potential that states the di"):
        go([make_crystal(cells=2)], bound, settings(), is_strict=True)


def test_an_element_that_training_lacked_is_always_outside(make_crystal, make_potential):
    span = DistanceRange(radius=3.5, shortest={(1, 1): 0.1}, longest={1: 3.4}, isolated={})
    bound = Bound(dataclasses.replace(make_potential(), distance_range=span))
    said = []
    go(
        [make_crystal(cells=2)],
        bound,
        settings(num_steps=5),
        observe=lambda step, found, count: said.append((step, str(found[0]), count)),
    )
    assert [(step, count) for step, _, count in said] == [(0, 1), (1, 5)]
    assert "is O; training had no O" in said[0][1]


@pytest.mark.parametrize(
    ("isolated", "distance", "expected"),
    [({}, 3.0, 1), ({}, 9.0, 1), ({1: 1}, 9.0, 0)],
)
def test_an_atom_may_be_alone_where_training_had_such(make_potential, isolated, distance, expected):
    """At 3 Å from the rest the hydrogen is too far for training, at 9 Å it is alone."""
    span = DistanceRange(
        radius=3.5,
        shortest={(1, 1): 0.5, (1, 8): 0.5, (8, 8): 0.5},
        longest={1: 1.5, 8: 1.5},
        isolated=isolated,
    )
    bound = Bound(dataclasses.replace(make_potential(), distance_range=span))
    atoms, seen = Atoms("O2H", positions=[[0, 0, 0], [0, 0, 1.2], [distance, 0, 0]]), []
    config = settings(num_steps=1, temperature=0.0)
    go([atoms], bound, config, observe=lambda step, found, count: seen.append(len(found)))
    assert seen[0] == expected


def test_a_strict_run_goes_on_where_the_host_finds_nothing(
    make_crystal, make_potential, monkeypatch
):
    """Rounding may put a distance on the other side of its bound."""
    monkeypatch.setattr(simulation.out_of_range, "find_anew", lambda *_: ())
    bound = Bound(within(make_potential(), 3.0))
    (report,) = go([make_crystal(cells=2)], bound, settings(num_steps=10), is_strict=True)
    assert [sample.step for sample in report.samples] == [0, 5, 10]


@pytest.mark.wide
def test_what_is_not_finite_stops_with_the_step(make_crystal, bound):
    """Atoms that are nowhere have no neighbors: their energies alone would look right."""
    atoms = make_crystal(cells=2)
    velocities = np.zeros((8, 3))
    velocities[3] = 1e150
    atoms.set_velocities(velocities)
    with pytest.raises(errors.NonFiniteError, match=r"step \d+: positions, energies or forces are"):
        go([atoms], bound, settings(timestep=1e157, num_steps=200, log_every=200))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"thermostat": "bussy"}, "received 'bussy'. Did you mean 'bussi'"),
        ({"ensemble": "nvp"}, "expected one of nve, nvt, npt, received 'nvp'"),
        ({"relaxation": 0.0}, "relaxation: expected a positive number"),
    ],
)
def test_wrong_settings_are_refused(changes, message):
    with pytest.raises(errors.ConfigError, match=message):
        settings(**changes)


def test_an_element_that_the_potential_lacks_is_named(bound):
    with pytest.raises(errors.UnknownElementError, match="Au"):
        go([Atoms("Au2", positions=[[0, 0, 0], [0, 0, 2.5]])], bound, settings())


def test_no_file_is_written_over(tmp_path: pathlib.Path, make_crystal, bound):
    (tmp_path / NAMES[0]).write_text("precious")
    with pytest.raises(errors.ConfigError, match="already stands there"):
        go([make_crystal(cells=2)], bound, files(tmp_path))
    assert (tmp_path / NAMES[0]).read_text() == "precious"
