"""A simulation that was interrupted goes on to the last bit."""

import dataclasses
import pathlib
import random
import signal
import subprocess
import sys
import time

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.cluster import Icosahedron

from equipot import EquipotCalculator, errors
from equipot.calculators import dynamics, restarts
from equipot.cli import md
from equipot.potential.wall import Wall, WallSummand

WALL = WallSummand(wall=Wall(nearest=(0.8, 0.9, 2.1), pushes=(3.0, 9.0, 5.0)), cutoff=3.0)
NAMES = "md.extxyz", "md.csv", "md.restart"


def settings(folder, **changes):
    trajectory, log, restart = (str(folder / name) for name in NAMES)
    given = {"trajectory": trajectory, "log": log, "restart": restart, "num_steps": 30}
    given |= {"trajectory_every": 3, "log_every": 2, "restart_every": 7, "temperature": 400.0}
    return dynamics.DynamicsConfig(**(given | changes))


def contents(folder):
    return [(folder / name).read_bytes() for name in NAMES]


def interrupted(atoms, config, at):
    def stop(step):
        if step == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dynamics.run_dynamics(atoms, config, progress=False, observe=stop)


def make_start(make_crystal, saved):
    atoms = make_crystal(cells=3)
    atoms.calc = EquipotCalculator(saved)
    return atoms


@pytest.mark.parametrize("ensemble", ["nve", "nvt"])
def test_files_and_report_are_those_of_a_run_without_interruption(
    tmp_path, make_crystal, saved, ensemble
):
    """Interrupted thrice, before and after restart files were written."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = dynamics.run_dynamics(
        make_start(make_crystal, saved), settings(whole, ensemble=ensemble), progress=False
    )
    config = settings(parts, ensemble=ensemble)
    interrupted(make_start(make_crystal, saved), config, 3)
    config = dataclasses.replace(config, resume=True)
    interrupted(make_start(make_crystal, saved), config, 17)
    interrupted(make_start(make_crystal, saved), config, 25)
    found = dynamics.run_dynamics(make_start(make_crystal, saved), config, progress=False)
    assert contents(parts) == contents(whole)
    assert found.samples == expected.samples
    frames = ase.io.read(whole / "md.extxyz", ":")
    assert [frame.info["step"] for frame in frames] == list(range(0, 31, 3))
    assert frames[-1].info["time_fs"] == 15.0


def test_a_run_can_be_made_longer(tmp_path):
    def copper():
        return Atoms(Icosahedron("Cu", 2), calculator=EMT())

    short, longer = tmp_path / "short", tmp_path / "longer"
    dynamics.run_dynamics(copper(), settings(short, num_steps=21), progress=False)
    config = settings(short, num_steps=30, resume=True)
    dynamics.run_dynamics(copper(), config, progress=False)
    dynamics.run_dynamics(copper(), settings(longer), progress=False)
    assert contents(short) == contents(longer)
    report = dynamics.run_dynamics(copper(), config, progress=False)
    assert contents(short) == contents(longer) and report.samples[-1].step == 30


def test_a_run_that_had_no_log_does_not_empty_a_file_when_it_goes_on(tmp_path):
    def start():
        atoms = Icosahedron("Cu", 2)
        atoms.calc = EMT()
        return atoms

    bare = settings(tmp_path, trajectory=None, log=None)
    dynamics.run_dynamics(start(), bare, progress=False)
    again = dynamics.run_dynamics(start(), dataclasses.replace(bare, resume=True), progress=False)
    assert again.samples == () and np.isnan(again.drift.slope)
    notes = tmp_path / "notes.csv"
    notes.write_text("mine\n")
    config = dataclasses.replace(bare, resume=True, num_steps=40, log=str(notes))
    with pytest.raises(errors.ConfigError, match=r"notes\.csv"):
        dynamics.run_dynamics(start(), config, progress=False)
    assert notes.read_text() == "mine\n"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 300.0}, r"a run with temperature 400\.0, now it is 300\.0"),
        ({"timestep": 1.0}, r"timestep 0\.5, now it is 1\.0"),
        ({"ensemble": "nve"}, "ensemble nvt, now it is nve"),
        ({"seed": 1}, "seed 0, now it is 1"),
        ({"log_every": 5}, "log_every 2, now it is 5"),
    ],
)
def test_another_run_is_refused_by_what_differs(tmp_path, changes, message):
    atoms = Atoms(Icosahedron("Cu", 2), calculator=EMT())
    dynamics.run_dynamics(atoms, settings(tmp_path), progress=False)
    atoms = Atoms(Icosahedron("Cu", 2), calculator=EMT())
    with pytest.raises(errors.ConfigError, match=message):
        dynamics.run_dynamics(atoms, settings(tmp_path, resume=True, **changes), progress=False)


def test_other_atoms_and_another_potential_are_refused(tmp_path, make_crystal, make_potential):
    def start(cells=2, **changes):
        atoms = make_crystal(cells=cells)
        atoms.calc = EquipotCalculator(make_potential("float32", **changes))
        return atoms

    dynamics.run_dynamics(start(), settings(tmp_path, num_steps=3), progress=False)
    config = settings(tmp_path, resume=True)
    with pytest.raises(errors.ConfigError, match="belongs to a run with atoms"):
        dynamics.run_dynamics(start(cells=3), config, progress=False)
    with pytest.raises(errors.ConfigError, match="belongs to a run with potential"):
        dynamics.run_dynamics(start(scale=0.4), config, progress=False)
    added = start()
    added.calc = EquipotCalculator(added.calc.potential, plus=[WALL])
    with pytest.raises(errors.ConfigError, match=r"with plus \[\], now it is \['WallSummand"):
        dynamics.run_dynamics(added, config, progress=False)
    atoms = start()
    atoms.set_cell(1.01 * np.asarray(atoms.cell))
    with pytest.raises(errors.ConfigError, match="belongs to a run with cell"):
        dynamics.run_dynamics(atoms, config, progress=False)


def test_another_level_of_theory_is_refused_unless_a_file_of_before_does_not_say_it(
    tmp_path, make_crystal
):
    run = {"atoms": "H", "head": "pbe", "plus": []}
    state = restarts.State(step=1, arrays={}, numbers={}, sizes={})
    place = tmp_path / "md.restart"
    restarts.save(place, state, run)
    with pytest.raises(errors.ConfigError, match="a run with head pbe, now it is scan"):
        restarts.load(place, {**run, "head": "scan"}, ())
    restarts.save(place, state, {"atoms": "H"})
    assert restarts.load(place, run, ()).step == 1


def test_missing_and_damaged_files_are_one_sentence(tmp_path):
    atoms = Atoms(Icosahedron("Cu", 2), calculator=EMT())
    config = settings(tmp_path, resume=True)
    with pytest.raises(errors.ArtefactError, match=r"md\.restart: there is no such file"):
        dynamics.run_dynamics(atoms, config, progress=False)
    dynamics.run_dynamics(atoms, settings(tmp_path), progress=False)
    place, trajectory = tmp_path / "md.restart", tmp_path / "md.extxyz"
    whole = place.read_bytes()
    for damaged in (b"", whole[:300], whole[:200] + b"\1" + whole[201:], b"text"):
        place.write_bytes(damaged)
        with pytest.raises(errors.ArtefactError, match=r"md\.restart"):
            dynamics.run_dynamics(atoms, config, progress=False)
    place.write_bytes(whole)
    for cut in (trajectory, tmp_path / "md.csv"):
        before = cut.read_bytes()
        cut.write_bytes(before[:-9])
        atoms = Atoms(Icosahedron("Cu", 2), calculator=EMT())
        with pytest.raises(errors.DataError, match=rf"{cut.name}: expected the \d+ bytes that wer"):
            dynamics.run_dynamics(atoms, dataclasses.replace(config, num_steps=40), progress=False)
        cut.write_bytes(before)
    (tmp_path / "md.csv").unlink()
    with pytest.raises(errors.DataError, match=r"md\.csv: expected the \d+ bytes.*received 0"):
        dynamics.run_dynamics(atoms, dataclasses.replace(config, num_steps=40), progress=False)


def test_what_cannot_be_resumed_is_refused():
    with pytest.raises(errors.ConfigError, match="resume: expected the name of a restart file"):
        dynamics.DynamicsConfig(resume=True)
    with pytest.raises(errors.ConfigError, match=r"\.extxyz beside a restart file"):
        dynamics.DynamicsConfig(restart="a.restart", trajectory="a.traj")


def command(folder, saved, engine, *more):
    options = ["--engine", engine]
    options += ["--time", "0.2", "--restart-every", "20", "--trajectory-every", "10"]
    options += ["--output", "md", "--temperature", "400", *more]
    program = "from equipot.cli.main import main; main()"
    return [sys.executable, "-c", program, "md", str(saved), "start.extxyz", *options]


@pytest.mark.parametrize(
    ("engine", "kills"),
    [
        pytest.param("device", 2, marks=pytest.mark.slow),
        pytest.param("ase", 20, marks=pytest.mark.slow),
        pytest.param("device", 20, marks=pytest.mark.slow),
    ],
)
def test_a_process_that_is_killed_at_random_goes_on(tmp_path, make_crystal, saved, kills, engine):
    """400 steps, killed wherever the log has got to; frames, log and end are the same."""
    folders = [tmp_path / name for name in ("whole", "killed")]
    for folder in folders:
        folder.mkdir()
        ase.io.write(folder / "start.extxyz", make_crystal(cells=3))
    whole, killed = folders
    done = subprocess.run(command(whole, saved, engine), cwd=whole, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "velocities are drawn at 400 K" in done.stdout
    draw, count = random.Random(kills), 0
    while count < kills:
        before, lines = changed(killed), logged(killed) + draw.randint(0, 2)
        with (killed / "out").open("w") as out:
            process = subprocess.Popen(
                again(killed, saved, engine), cwd=killed, stdout=out, stderr=out
            )
        while process.poll() is None and (changed(killed) == before or logged(killed) < lines):
            time.sleep(0.001)
        if process.poll() is not None:  # it was at its end, or failed
            assert process.returncode == 0, (killed / "out").read_text()
            break
        process.kill()
        process.wait()
        count += 1
    done = subprocess.run(again(killed, saved, engine), cwd=killed, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert count == kills
    assert contents(killed) == contents(whole)


def again(folder, saved, engine):
    """The command that goes on, or begins anew where nothing was written yet."""
    has_begun = (folder / "md.restart").exists()
    return command(folder, saved, engine, "--restart" if has_begun else "--overwrite")


def logged(folder):
    return (folder / "md.csv").read_bytes().count(b"\n") if (folder / "md.csv").exists() else 0


def changed(folder: pathlib.Path) -> int:
    """When the log last changed."""
    path = folder / "md.csv"
    return path.stat().st_mtime_ns if path.exists() else 0


def ask_to_stop():
    signal.raise_signal(signal.SIGTERM)


def interrupt():
    raise KeyboardInterrupt  # what SIGINT does, where it is not ignored


@pytest.mark.parametrize(
    ("stop", "raised", "reason"),
    [
        (ask_to_stop, errors.StoppedError, "stopped by SIGTERM"),
        (interrupt, KeyboardInterrupt, "interrupted"),
    ],
)
def test_a_run_that_is_stopped_says_how_it_goes_on(tmp_path, stop, raised, reason):
    restart = tmp_path / "md.restart"

    def stopped(goes_on, writes=False):
        with pytest.raises((errors.StoppedError, KeyboardInterrupt)) as found:
            with md._resumable(restart, goes_on):
                if writes:
                    restart.write_text("later")
                stop()
        return found

    sentence = f"{reason}; the same command with --restart goes on from the last step in {restart}"
    assert stopped(False).type is raised
    assert str(stopped(False, writes=True).value) == sentence
    assert stopped(False).type is raised and str(stopped(False).value) in ("", reason)
    assert str(stopped(True).value) == sentence
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
