"""Small structures that the graphs are built from."""

import ase.build
import numpy as np
import pytest

from equipot.data import structure
from equipot.graphs import batching

CUTOFF = 3.5
SPECIES = (1, 6, 8)
ATOMIC_ENERGIES = np.array([-13.6, -1029.0, -2041.0])


def from_atoms(atoms: ase.Atoms, **labels: object) -> structure.Structure:
    return structure.Structure(
        positions=atoms.positions,
        atomic_numbers=atoms.numbers,
        cell=np.array(atoms.cell),
        pbc=atoms.pbc,
        **labels,
    )


def make_water_box(seed: int) -> structure.Structure:
    """Eight rattled water molecules in a periodic box, with all labels."""
    rng = np.random.default_rng(seed)
    atoms = ase.build.molecule("H2O", vacuum=1.0)
    atoms.set_cell([3.1, 3.2, 3.3])
    atoms.pbc = True
    atoms = atoms.repeat(2)
    atoms.positions += rng.normal(scale=0.15, size=(24, 3))
    return from_atoms(
        atoms,
        energy=-16580.0 + rng.normal(),
        forces=rng.normal(size=(24, 3)),
        stress=np.eye(3) * rng.normal(),
        energy_weight=1.0,
        forces_weight=2.0,
        stress_weight=0.5,
        source=f"water.xyz, frame {seed}",
    )


def make_molecule(name: str) -> structure.Structure:
    """A molecule without a cell, with an energy and nothing else."""
    return from_atoms(
        ase.build.molecule(name), energy=-100.0, energy_weight=1.0, source=f"{name}.xyz, frame 0"
    )


@pytest.fixture(scope="session")
def build():
    """Builds the graph of a structure at the cutoff of these tests."""
    return lambda s: batching.build_graph(s, CUTOFF, SPECIES, ATOMIC_ENERGIES)


@pytest.fixture(scope="session")
def water_structures() -> list[structure.Structure]:
    return [make_water_box(seed) for seed in range(7)]


@pytest.fixture(scope="session")
def molecule_structures() -> list[structure.Structure]:
    names = ["H2O", "CH4", "C6H6", "CO2", "CH3CH2OH", "H", "CO", "C2H6", "trans-butane", "CH3OH"]
    return [make_molecule(name) for name in names]


@pytest.fixture(scope="session")
def water(water_structures, build) -> list[batching.HostGraph]:
    return [build(s) for s in water_structures]


@pytest.fixture(scope="session")
def molecules(molecule_structures, build) -> list[batching.HostGraph]:
    return [build(s) for s in molecule_structures]
