"""Makes `data/water_clusters/`: one to six water molecules, with dipoles and charges of GFN1-xTB.

Each trajectory begins with molecules at random places, turned at random, relaxed part of the way;
it goes on as Langevin dynamics of the method at one of several temperatures, from which frames are
taken. Frames of one trajectory share a split. Energies, forces, dipoles (e Å) and charges (e) are
the method's; dipoles do not depend on the origin, because all clusters are neutral.

    python -m scripts.clusters --processes 2

Needs tblite besides ase. Seeds depend on the number of a trajectory alone.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy: one process, one thread

import argparse
import hashlib
import itertools
import lzma
import multiprocessing
from pathlib import Path
from typing import NamedTuple

import ase.io
import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.md.langevinbaoab import LangevinBAOAB
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import BFGS
from tblite.ase import TBLite  # pyright: ignore[reportMissingImports]

DATASET = Path(__file__).resolve().parents[2] / "data" / "water_clusters"
METHOD = "GFN1-xTB"
MULTIPLICITIES = {"H": 2, "O": 3}  # of the isolated atoms: doublet and triplet

TRAJECTORIES = {1: 10, 2: 30, 3: 40, 4: 40, 5: 40, 6: 40}  # by number of molecules
SPLITS = ("train",) * 6 + ("valid",) + ("test",) * 2  # one trajectory after another
TEMPERATURES = (200, 300, 400, 500)  # K
FRAMES = 6

RELAXATION = 12  # steps, from the random start
EQUILIBRATION = 60  # steps of dynamics
INTERVAL = 15  # steps from frame to frame
TIMESTEP = 1.5  # fs
HYDROGEN_MASS = 4.0  # amu: positions have the same distribution, and steps can be longer
THERMOSTAT_TIME = 50.0  # fs
OXYGEN_DISTANCES = (2.6, 3.4)  # Å, of a new molecule from the nearest one
CONTACT = 1.6  # Å, between atoms of different molecules, at least


class Trajectory(NamedTuple):
    """One independent sample path."""

    number: int
    molecules: int
    temperature: int
    split: str


def plan() -> list[Trajectory]:
    """All trajectories; temperatures and splits run through the sizes out of step."""
    sizes = [size for size, count in TRAJECTORIES.items() for _ in range(count)]
    return [
        Trajectory(number, size, temperature, split)
        for number, (size, temperature, split) in enumerate(
            zip(sizes, itertools.cycle(TEMPERATURES), itertools.cycle(SPLITS), strict=False)
        )
    ]


def sample(trajectory: Trajectory) -> list[Atoms]:
    """The labelled frames of one trajectory."""
    rng = np.random.default_rng(trajectory.number)
    atoms = random_cluster(trajectory.molecules, rng)
    atoms.calc = make_calculator()
    BFGS(atoms, logfile=None).run(fmax=0.05, steps=RELAXATION)
    masses = np.where(atoms.numbers == 1, HYDROGEN_MASS, 15.999)
    atoms.set_masses(masses)  # pyright: ignore[reportArgumentType]
    kelvin = trajectory.temperature
    MaxwellBoltzmannDistribution(atoms, temperature_K=kelvin, rng=rng)
    timestep, tau = TIMESTEP * units.fs, THERMOSTAT_TIME * units.fs
    dynamics = LangevinBAOAB(atoms, timestep, temperature_K=kelvin, T_tau=tau, rng=rng)
    frames = []
    for steps in (EQUILIBRATION, *[INTERVAL] * (FRAMES - 1)):
        dynamics.run(steps)
        frames.append(labelled(atoms, trajectory))
    return frames


def random_cluster(size: int, rng: np.random.Generator) -> Atoms:
    """Molecules put one beside another, turned at random."""
    atoms = Atoms()
    while len(atoms) < 3 * size:
        water = molecule("H2O")
        water.positions -= water.positions[0]
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        water.positions = water.positions @ turn + rng.normal(scale=0.03, size=(3, 3))
        if len(atoms):
            beside = atoms.positions[3 * rng.integers(len(atoms) // 3)]
            direction = rng.normal(size=3)
            direction /= np.linalg.norm(direction)
            water.positions += beside + rng.uniform(*OXYGEN_DISTANCES) * direction
            apart = np.linalg.norm(water.positions[:, None] - atoms.positions[None], axis=-1)
            oxygens = apart[0, ::3]
            if apart.min() < CONTACT or oxygens.min() < OXYGEN_DISTANCES[0]:
                continue
        atoms += water
    return atoms


def labelled(atoms: Atoms, trajectory: Trajectory) -> Atoms:
    """A frame around the origin, its positions rounded before they are labelled."""
    positions = (atoms.positions - atoms.positions.mean(axis=0)).round(5)
    frame = Atoms(atoms.numbers, positions)
    frame.calc = make_calculator()
    results = {
        "energy": round(float(frame.get_potential_energy()), 6),
        "forces": frame.get_forces().round(5),
        "dipole": frame.get_dipole_moment().round(5),
    }
    frame.arrays["charges"] = frame.get_charges().round(5)
    frame.calc = SinglePointCalculator(frame, **results)
    frame.info = {
        "molecules": trajectory.molecules,
        "temperature": trajectory.temperature,
        "trajectory": f"{trajectory.split}{trajectory.number:03d}",
    }
    return frame


def make_calculator(multiplicity: int | None = None) -> TBLite:
    """The one place where the level of theory is set."""
    return TBLite(method=METHOD, accuracy=0.1, multiplicity=multiplicity, verbosity=0)


def isolated_atoms() -> list[Atoms]:
    """Single atoms with the spin of their ground states, marked `config_type=IsolatedAtom`."""
    frames = []
    for symbol, multiplicity in MULTIPLICITIES.items():
        atom = Atoms(symbol)
        atom.calc = make_calculator(multiplicity)
        energy = round(float(atom.get_potential_energy()), 6)
        atom.calc = SinglePointCalculator(atom, energy=energy, forces=np.zeros((1, 3)))
        atom.info.update(config_type="IsolatedAtom", multiplicity=multiplicity)
        frames.append(atom)
    return frames


def check(frames: list[Atoms], width: float = 2e-3) -> None:
    """Prints how far labels are from central differences, and dipoles from other origins."""
    for frame in frames:
        moved = frame.copy()
        slopes = []
        for sign in (1, -1):
            moved.positions = frame.positions
            moved.positions[0, 0] += sign * width / 2
            moved.calc = make_calculator()
            slopes.append(moved.get_potential_energy())
        force = abs((slopes[1] - slopes[0]) / width - frame.get_forces()[0, 0])
        moved.positions = frame.positions + np.array([7.0, -3.0, 5.0])
        moved.calc = make_calculator()
        dipole = np.abs(moved.get_dipole_moment() - frame.get_dipole_moment()).max()
        print(f"{frame.symbols}: force to {force:.1e} eV/Å, dipole to {dipole:.1e} e Å")


def assemble(frames: dict[str, list[Atoms]], output: Path) -> None:
    """Writes the compressed splits and their checksums, and prints what is in them."""
    output.mkdir(parents=True, exist_ok=True)
    sums = []
    for split, chosen in frames.items():
        forces = np.sqrt(np.mean(np.concatenate([f.get_forces() for f in chosen]) ** 2))
        dipoles = np.sqrt(np.mean([f.get_dipole_moment() ** 2 for f in chosen]))
        charges = np.sqrt(np.mean(np.concatenate([f.arrays["charges"] for f in chosen]) ** 2))
        print(
            f"{split}: {len(chosen)} frames, {forces:.3f} eV/Å, {dipoles:.3f} e Å, {charges:.3f} e"
        )
        path = output / f"{split}.extxyz.xz"
        with lzma.open(path, "wt", preset=9) as file:
            single = isolated_atoms() if split == "train" else []
            ase.io.write(file, single + chosen, format="extxyz")
        sums.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    (output / "SHA256SUMS").write_text("".join(sums))


def main() -> None:
    """Samples all trajectories, writes the dataset, and checks some of its labels."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", type=Path, default=DATASET, help="folder of the dataset")
    arguments = parser.parse_args()
    frames: dict[str, list[Atoms]] = {split: [] for split in dict.fromkeys(SPLITS)}
    with multiprocessing.get_context("spawn").Pool(arguments.processes) as pool:
        for done, (trajectory, found) in enumerate(
            zip(plan(), pool.imap(sample, plan()), strict=True), start=1
        ):
            frames[trajectory.split] += found
            if done % 20 == 0:
                print(f"trajectories: {done} of {len(plan())}", flush=True)
    assemble(frames, arguments.output)
    check(frames["test"][::40])
