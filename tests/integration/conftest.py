"""What the tests of whole programs share."""

import pathlib
import subprocess
import sys

import ase
import ase.io
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

PROGRAM = pathlib.Path(__file__).with_name("training_run.py")


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """Pictures take a third of a short run: only runs that are made once for a file have them."""
    monkeypatch.setattr("equipot.training.plots.save_plots", lambda *_: [])
    monkeypatch.setattr("equipot.training.run_page.page.render", lambda *_: "")


@pytest.fixture(scope="session")
def lennard_jones_file(lennard_jones, tmp_path_factory) -> pathlib.Path:
    """The crystals as an extended XYZ file."""
    frames = []
    for s in lennard_jones:
        atoms = ase.Atoms(s.atomic_numbers, s.positions, cell=s.cell, pbc=s.pbc)
        atoms.calc = SinglePointCalculator(atoms, energy=s.energy, forces=s.forces, stress=s.stress)
        atoms.info["temperature"] = s.group.split()[0]
        frames.append(atoms)
    path = tmp_path_factory.mktemp("data") / "lennard_jones.extxyz"
    ase.io.write(path, frames)
    return path


@pytest.fixture
def start_training(lennard_jones_file):
    """A function that starts a short run in a process of its own; see training_run.py."""
    running = []

    def start(run_dir: pathlib.Path, *options: str) -> subprocess.Popen:
        command = [sys.executable, str(PROGRAM), str(run_dir), str(lennard_jones_file), *options]
        output = (run_dir.parent / f"{run_dir.name}.output").open("a")
        process = subprocess.Popen(command, stdout=output, stderr=output)
        running.append((process, output))
        return process

    yield start
    for process, output in running:
        process.kill()
        process.wait()
        output.close()
