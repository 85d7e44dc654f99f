"""Boxes of water molecules, where there is no structure at hand: for dynamics, for benchmarks."""

import numpy as np
from ase import Atoms, units
from scipy.spatial.transform import Rotation

MOLECULE = np.array([[0.0, 0.0, 0.0], [0.76, 0.59, 0.0], [-0.76, 0.59, 0.0]])  # Å, O H H
MOLAR_MASS = 18.015  # g/mol
AVOGADRO = 6.02214e23  # 1/mol, to the digits that fix the box of the benchmarks
# Measured geometry as ASE has it, O H H, about the center of mass.
LATTICE_MOLECULE = np.array(
    [[0.0, 0.0, 0.119262], [0.0, 0.763239, -0.477047], [0.0, -0.763239, -0.477047]]
) - [0.0, 0.0, (15.999 * 0.119262 - 2 * 1.008 * 0.477047) / MOLAR_MASS]
LATTICE_DENSITY = 0.997  # g/cm³
JITTER = 0.1  # Å, standard deviation in each direction
TRIES = 40  # orientations tried for each molecule; the one with most room is taken


def water_box(num_molecules: int, density: float, seed: int) -> Atoms:
    """Puts turned molecules on a simple cubic lattice, away from each other; melt it before use.

    Args:
      num_molecules: Any number; lattice sites that are left over stay empty.
      density: g/cm³.
      seed: Of the orientations and of the empty sites.
    """
    rng = np.random.default_rng(seed)
    volume = num_molecules * MOLAR_MASS / units.mol / density * 1e24
    length = volume ** (1 / 3)
    num_sites = int(np.ceil(round(num_molecules ** (1 / 3), 6)))
    grid = np.stack(np.meshgrid(*[np.arange(num_sites)] * 3, indexing="ij"), -1).reshape(-1, 3)
    sites = grid[np.sort(rng.permutation(len(grid))[:num_molecules])] * length / num_sites
    positions = np.zeros((0, 3))
    for site in sites:
        tries = site + np.einsum("tij,aj->tai", Rotation.random(TRIES, rng).as_matrix(), MOLECULE)
        best = np.argmax([_room(molecule, positions, length) for molecule in tries])
        positions = np.concatenate([positions, tries[best]])
    return Atoms("OH2" * num_molecules, positions=positions, cell=[length] * 3, pbc=True)


def _room(molecule: np.ndarray, others: np.ndarray, length: float) -> float:
    """Shortest distance between a molecule and atoms that are there, in a cubic box."""
    vectors = molecule[:, None] - others
    vectors -= length * np.round(vectors / length)
    return float(np.linalg.norm(vectors, axis=-1).min(initial=length))


def jittered_lattice(num_molecules: int, seed: int) -> Atoms:
    """Turned molecules on a full cubic lattice, their centers of mass moved a little at random.

    The box that benchmarks use: which random numbers are drawn in which order is fixed, so that
    other programs are timed on the same positions.

    Args:
      num_molecules: A cube.
      seed: Of orientations and displacements.

    Raises:
      ValueError: The number is not a cube.
    """
    sites = round(num_molecules ** (1 / 3))
    if sites**3 != num_molecules:
        raise ValueError(
            f"expected a cube as number of molecules (1, 8, 27, 64, ...), received {num_molecules}"
        )
    rng = np.random.default_rng(seed)
    length = (num_molecules * MOLAR_MASS / AVOGADRO / LATTICE_DENSITY * 1e24) ** (1 / 3)
    positions = []
    for site in np.ndindex(sites, sites, sites):
        turn = Rotation.random(random_state=int(rng.integers(2**30))).as_matrix()  # pyright: ignore
        center = (np.array(site) + 0.5) * length / sites + rng.normal(0.0, JITTER, 3)
        positions.append(LATTICE_MOLECULE @ turn.T + center)
    positions = np.concatenate(positions)
    return Atoms("OH2" * num_molecules, positions=positions, cell=[length] * 3, pbc=True)
