"""Makes `data/water/clusters.extxyz`: water molecules on their own, labelled with GFN1-xTB.

`kind=relaxed` is H2O and its clusters of two to six, `kind=stretched` H2O with one O–H pulled until
it is broken. They are no training data: they show what a potential of the liquid says of molecules,
and scripts/water/compare_molecules.py compares.

    python -m scripts.water.make_clusters

Starts are rings of water molecules (for six also a book and a prism), relaxed by BFGS until no
force is above 0.005 eV/Å; what is written is the best of ten starts that differ by noise. Needs
tblite besides ase.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy

import argparse
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.optimize import BFGS
from tblite.ase import TBLite  # pyright: ignore[reportMissingImports]

FILE = Path(__file__).resolve().parents[2] / "data" / "water" / "clusters.extxyz"
SIZES = range(1, 7)
OXYGEN_DISTANCE = 2.8  # Å, between neighbors of a starting ring
STRETCHES = np.arange(0.80, 2.81, 0.10)  # Å, of one O–H
METHOD = "GFN1-xTB"


def main() -> None:
    """Relaxes every cluster and writes the best of each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=10, help="starts of each size")
    parser.add_argument("--output", type=Path, default=FILE)
    arguments = parser.parse_args()
    frames = []
    for size in SIZES:
        rng = np.random.default_rng(size)
        found = [relax(ring(size, rng)) for _ in range(arguments.starts)]
        best = min(found, key=lambda atoms: atoms.get_potential_energy())
        best.info |= {"kind": "relaxed", "molecules": size}
        frames.append(best)
        print(f"{best.get_chemical_formula()}: {best.get_potential_energy():.6f} eV", flush=True)
    frames += [stretched(frames[0], distance) for distance in STRETCHES]
    ase.io.write(arguments.output, frames)


def ring(size: int, rng: np.random.Generator) -> Atoms:
    """Water molecules on a ring, one O–H of each towards the next, with noise."""
    atoms = Atoms()
    radius = OXYGEN_DISTANCE / (2 * np.sin(np.pi / size)) if size > 1 else 0.0
    for k in range(size):
        water = molecule("H2O")
        water.positions -= water.positions[0]
        axis = water.positions[1] / np.linalg.norm(water.positions[1])
        angle = 2 * np.pi * k / size
        along = np.array([-np.sin(angle), np.cos(angle), 0.3 * rng.normal()])
        water.rotate(axis, along)
        water.rotate(360 * rng.random(), along)
        water.positions += radius * np.array([np.cos(angle), np.sin(angle), 0.0])
        water.positions += rng.normal(0, 0.05, (3, 3))
        atoms += water
    return atoms


def relax(atoms: Atoms) -> Atoms:
    """The nearest minimum of the method, labelled."""
    atoms.calc = TBLite(method=METHOD, accuracy=0.1, verbosity=0)
    BFGS(atoms, logfile=None).run(fmax=0.005, steps=400)
    return labelled(atoms)


def stretched(water: Atoms, distance: float) -> Atoms:
    """H2O with its first O–H pulled to a distance in Å, the rest as it was."""
    pulled = Atoms(water.numbers, water.positions)
    pulled.set_distance(0, 1, distance, fix=0)
    found = labelled(pulled)
    found.info |= {"kind": "stretched", "distance": round(float(distance), 2)}
    return found


def labelled(atoms: Atoms) -> Atoms:
    """The same atoms with energy and forces of the method."""
    atoms.calc = TBLite(method=METHOD, accuracy=0.1, verbosity=0)
    found = Atoms(atoms.numbers, atoms.positions)
    found.calc = SinglePointCalculator(
        found, energy=atoms.get_potential_energy(), forces=atoms.get_forces()
    )
    return found


if __name__ == "__main__":
    main()
