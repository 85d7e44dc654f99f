"""Structures that potentials for solids and molecules are compared on."""

import ase.build
import ase.spacegroup
import numpy as np
from ase import Atoms

from equipot.data.structure import Structure
from equipot.potential import evaluate
from equipot.potential.potential import Potential


def distorted(atoms: Atoms, seed: int = 0) -> Atoms:
    """Atoms moved by about 0.05 Å."""
    moved = atoms.copy()
    moved.rattle(0.05, seed=seed)
    return moved


def compared() -> dict[str, Atoms]:
    """Distorted structures by name: an element, a salt, oxides, a surface, a molecule."""
    perovskite = ase.spacegroup.crystal(
        ("Ba", "Ti", "O"),
        [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)],
        spacegroup=221,
        cellpar=[4.0] * 3 + [90] * 3,
    )
    oxide = ase.build.bulk("MgO", "rocksalt", 4.3, cubic=True)
    oxide.symbols = ["Li", "O", "Mn", "O", "Ni", "O", "Co", "O"]
    slab = ase.build.fcc111("Cu", (2, 2, 3), vacuum=7.0)
    molecule = ase.build.molecule("CH3CH2OH", vacuum=8.0)
    slab.pbc = molecule.pbc = True
    found = {
        "silicon": ase.build.bulk("Si", "diamond", 5.43),
        "salt": ase.build.bulk("NaCl", "rocksalt", 5.64),
        "perovskite": perovskite,
        "slab": slab,
        "molecule": molecule,
        "oxide of four metals": oxide,
    }
    return {name: distorted(atoms, i) for i, (name, atoms) in enumerate(found.items())}


def silicon(perturbed: bool) -> Atoms:
    """The crystal that Nequix prints values for."""
    atoms = ase.build.bulk("Si", "diamond", 5.43)
    if perturbed:
        atoms.positions[0] += [0.1, 0.05, -0.05]
    return atoms


def quartz_like() -> Atoms:
    """H, O and Si in a distorted periodic cell, for small potentials of these."""
    rng = np.random.default_rng(5)
    sites = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), -1).reshape(-1, 3)
    positions = 1.9 * (sites + rng.uniform(-0.15, 0.15, sites.shape))
    cell = 1.9 * (2.0 * np.eye(3) + rng.uniform(-0.15, 0.15, (3, 3)))
    return Atoms("HOSiOHOSiH", positions=positions, cell=cell, pbc=True)


def structure(atoms: Atoms) -> Structure:
    """The same without labels."""
    return Structure(
        positions=atoms.positions,
        atomic_numbers=atoms.numbers,
        cell=np.asarray(atoms.cell),
        pbc=atoms.pbc,
        source="compared",
    )


def summary(potential: Potential) -> tuple[float, tuple[float, ...], tuple[float, ...]]:
    """What ``make_values`` prints of the programs: energy, some forces, some of the stress."""
    found = evaluate.evaluate(potential, [structure(quartz_like())])[0]
    forces = *found.forces[0], np.linalg.norm(found.forces)
    stress = *np.diag(found.stress), np.linalg.norm(found.stress)
    return found.energy, forces, stress
