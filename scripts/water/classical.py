"""Classical flexible water in OpenMM: cheap boxes for `make_water_dataset.py` to start from.

Two force fields share one interface: SPC/Fw, the flexible simple point charge model, and `Matched`,
the same charges with everything else fitted to labelled forces, so that its boxes already have the
bond lengths and the first shells of the method that labels them. Neither needs to be accurate: they
only decide where the next round of sampling begins.

Atoms are ordered O H H, molecule by molecule; lengths in Å, energies in eV, masses in amu. OpenMM's
nm and kJ/mol appear only at its own calls.

Reference: Wu, Tepper and Voth 2006 (SPC/Fw), table I. doi:10.1063/1.2136877
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openmm  # pyright: ignore[reportMissingImports]
from ase import Atoms, units
from openmm import unit  # pyright: ignore[reportMissingImports]

EV = units.mol / units.kJ  # kJ/mol in one eV
ELECTRON_VOLT_PER_ANGSTROM = EV * 10.0  # kJ/mol/nm in one eV/Å

CHARGES = np.array([-0.82, 0.41, 0.41])  # e, SPC/Fw
CUTOFF = 4.7  # Å, below half of the smallest box
HYDROGEN_MASS = 4.0  # amu: allows a longer step; the configurational distribution has no mass in it

LENGTHS = (1.0, 1.6)  # Å: O–H and H–H distances around which the molecule's energy is expanded
POWERS = [p for p in itertools.product(range(5), repeat=3) if 1 <= sum(p) <= 4 and p[0] >= p[1]]
PAIR_GRID = np.arange(1.4, CUTOFF + 0.01, 0.15)  # Å, knots of the piecewise linear pair forces
PAIR_STARTS = {"OO": 2.4, "OH": 1.5, "HH": 1.7}  # Å, below these the pairs are not in the data
WALL = 8.0  # eV/Å², slope of the pair forces below `PAIR_STARTS`


@dataclass(frozen=True, kw_only=True)
class Matched:
    """Flexible water whose molecule and pair forces were fitted to labelled forces.

    E = Σ_molecules Σ_p c_p (x₁^a x₂^b + x₂^a x₁^b) y^c + Σ_pairs φ(r) + Coulomb, with x the O–H and
    y the H–H distances less `LENGTHS`, p = (a, b, c) in `POWERS`, −φ′ linear between the knots.

    Attributes:
      molecule: Coefficients of `POWERS`, eV and Å.
      pairs: Force at `PAIR_GRID` (eV/Å, positive repels) for "OO", "OH" and "HH".
    """

    molecule: tuple[float, ...]
    pairs: dict[str, tuple[float, ...]]

    def write(self, path: Path) -> None:
        """Writes the parameters as JSON."""
        path.write_text(json.dumps({"molecule": self.molecule, "pairs": self.pairs}, indent=1))

    @classmethod
    def read(cls, path: Path) -> Matched:
        """Reads what `write` wrote."""
        return cls(**json.loads(path.read_text()))


def make_simulation(
    atoms: Atoms, temperature: float, seed: int, timestep: float = 1.0, model: Matched | None = None
) -> openmm.Context:
    """Builds a Langevin simulation of a water box.

    Args:
      atoms: Box of water, cubic.
      temperature: K.
      seed: Of the thermostat's noise and the velocities.
      timestep: fs.
      model: Fitted force field; SPC/Fw if None.

    Returns:
      The context, with positions and velocities set.
    """
    system = _build_system(atoms, model)
    integrator = openmm.LangevinMiddleIntegrator(temperature, 10.0, timestep * 1e-3)
    integrator.setRandomNumberSeed(seed)
    platform = openmm.Platform.getPlatformByName("CPU")
    context = openmm.Context(system, integrator, platform, {"Threads": "1"})
    context.setPositions(atoms.positions * 0.1)
    context.setVelocitiesToTemperature(temperature, seed)
    return context


def lattice_box(density: float, num_molecules: int, seed: int) -> Atoms:
    """Puts molecules, randomly turned, on an fcc lattice (so their number is 4 n³).

    Args:
      density: g/cm³.
      num_molecules: 4, 32, 108, …
      seed: Of the orientations.
    """
    rng = np.random.default_rng(seed)
    cells = round((num_molecules / 4) ** (1 / 3))
    if 4 * cells**3 != num_molecules:
        raise ValueError(f"expected 4 n³ molecules, received {num_molecules}")
    grams = num_molecules * 18.01528 / units.mol
    length = (grams / density * 1e24) ** (1 / 3)
    base = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    corners = np.array(list(itertools.product(range(cells), repeat=3)))
    sites = (corners[:, None] + base).reshape(-1, 3) * (length / cells)
    molecule = np.array([[0.0, 0.0, 0.0], [0.79, 0.6, 0.0], [-0.79, 0.6, 0.0]])
    positions = np.concatenate([site + molecule @ _random_rotation(rng) for site in sites])
    return Atoms("OH2" * num_molecules, positions=positions, cell=[length] * 3, pbc=True)


def run(context: openmm.Context, atoms: Atoms, steps: int) -> Atoms:
    """Runs some steps and returns the box as it then is (whole molecules, unwrapped)."""
    context.getIntegrator().step(steps)
    frame = atoms.copy()
    state = context.getState(getPositions=True)
    frame.positions = state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)
    return frame


def cool(atoms: Atoms, temperature: float, seed: int, picoseconds: float) -> Atoms:
    """Melts a lattice box at 700 K under SPC/Fw for a third of the time, then thermalises it."""
    context = make_simulation(atoms, max(700.0, temperature), seed)
    openmm.LocalEnergyMinimizer.minimize(context, maxIterations=50)
    context.setVelocitiesToTemperature(700.0, seed)
    run(context, atoms, round(picoseconds * 1000 / 3))
    context.getIntegrator().setTemperature(temperature)
    return run(context, atoms, round(picoseconds * 2000 / 3))


def match_forces(frames: list[Atoms], ridge: float = 1e-4) -> tuple[Matched, float]:
    """Fits the classical model to labelled forces by linear least squares.

    Args:
      frames: Boxes with forces.
      ridge: Weight of the penalty that keeps knots without data finite.

    Returns:
      The model, and what is left of the forces: rms(F − F_model)/rms(F).
    """
    normal, right, power = 0.0, 0.0, 0.0
    for atoms in frames:
        columns = np.concatenate([_molecule_columns(atoms), _pair_columns(atoms)])
        target = (atoms.get_forces() - _coulomb_forces(atoms)).ravel()
        normal = normal + columns @ columns.T
        right = right + columns @ target
        power += target @ target
    labels = sum(np.sum(atoms.get_forces() ** 2) for atoms in frames)
    penalty = ridge * len(frames) * np.eye(len(right))
    coefficients = np.linalg.solve(normal + penalty, right)
    residual = power - 2 * coefficients @ right + coefficients @ normal @ coefficients
    molecule, knots = np.split(coefficients, [len(POWERS)])
    pairs = dict(zip(PAIR_STARTS, knots.reshape(3, -1), strict=True))
    pairs = {kind: tuple(_add_wall(kind, force)) for kind, force in pairs.items()}
    return Matched(molecule=tuple(molecule), pairs=pairs), float(np.sqrt(residual / labels))


def _build_system(atoms: Atoms, model: Matched | None) -> openmm.System:
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*np.asarray(atoms.cell) * 0.1)
    for number in atoms.numbers:
        system.addParticle(15.999 if number == 8 else HYDROGEN_MASS)
    system.addForce(_coulomb(len(atoms), lennard_jones=model is None))
    for force in _spc_fw_molecule(len(atoms)) if model is None else _matched_forces(atoms, model):
        system.addForce(force)
    return system


def _coulomb(num_atoms: int, lennard_jones: bool) -> openmm.NonbondedForce:
    """Particle-mesh Ewald between molecules, with SPC/Fw's Lennard-Jones if asked."""
    force = openmm.NonbondedForce()
    force.setNonbondedMethod(openmm.NonbondedForce.PME)
    force.setCutoffDistance(CUTOFF * 0.1)
    force.setEwaldErrorTolerance(1e-3)
    for index in range(num_atoms):
        epsilon = 0.1554253 * 4.184 if lennard_jones and index % 3 == 0 else 0.0
        force.addParticle(CHARGES[index % 3], 0.3165492, epsilon)
    for oxygen in range(0, num_atoms, 3):
        for i, j in ((0, 1), (0, 2), (1, 2)):
            force.addException(oxygen + i, oxygen + j, 0.0, 1.0, 0.0)
    return force


def _spc_fw_molecule(num_atoms: int) -> list[openmm.Force]:
    bonds, angles = openmm.HarmonicBondForce(), openmm.HarmonicAngleForce()
    for oxygen in range(0, num_atoms, 3):
        for hydrogen in (oxygen + 1, oxygen + 2):
            bonds.addBond(oxygen, hydrogen, 0.1012, 1059.162 * 4.184 * 100)
        angles.addAngle(oxygen + 1, oxygen, oxygen + 2, np.deg2rad(113.24), 75.90 * 4.184)
    return [bonds, angles]


def _matched_forces(atoms: Atoms, model: Matched) -> list[openmm.Force]:
    terms = [
        f"({c * EV:.10g})*(x1^{a}*x2^{b}+x2^{a}*x1^{b})*y^{k}"
        for c, (a, b, k) in zip(model.molecule, POWERS, strict=True)
    ]
    bond, span = LENGTHS
    inside = openmm.CustomCompoundBondForce(
        3,
        f"{'+'.join(terms)}; x1=10*distance(p1,p2)-{bond}; x2=10*distance(p1,p3)-{bond};"
        f" y=10*distance(p2,p3)-{span}",
    )
    for oxygen in range(0, len(atoms), 3):
        inside.addBond([oxygen, oxygen + 1, oxygen + 2])
    return [inside, *(_pair_force(atoms, kind, force) for kind, force in model.pairs.items())]


def _pair_force(atoms: Atoms, kind: str, knots: tuple[float, ...]) -> openmm.Force:
    """A tabulated pair potential between the atoms of two elements in different molecules."""
    grid = np.linspace(0.5, CUTOFF, 400)
    forces = np.interp(grid, PAIR_GRID, knots)
    below = grid < PAIR_GRID[0]
    forces[below] = knots[0] + WALL * (PAIR_GRID[0] - grid[below])
    steps = 0.5 * (forces[1:] + forces[:-1]) * np.diff(grid)
    energies = np.concatenate([np.cumsum(steps[::-1])[::-1], [0.0]])
    force = openmm.CustomNonbondedForce("table(r)")
    table = openmm.Continuous1DFunction(energies * EV, 0.05, CUTOFF * 0.1)
    force.addTabulatedFunction("table", table)
    force.setNonbondedMethod(openmm.CustomNonbondedForce.CutoffPeriodic)
    force.setCutoffDistance(CUTOFF * 0.1)
    for _ in atoms:
        force.addParticle([])
    for oxygen in range(0, len(atoms), 3):
        for i, j in ((0, 1), (0, 2), (1, 2)):
            force.addExclusion(oxygen + i, oxygen + j)
    groups = {"O": range(0, len(atoms), 3), "H": [i for i in range(len(atoms)) if i % 3]}
    force.addInteractionGroup(groups[kind[0]], groups[kind[1]])
    return force


def _coulomb_forces(atoms: Atoms) -> np.ndarray:
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*np.asarray(atoms.cell) * 0.1)
    for _ in atoms:
        system.addParticle(1.0)
    system.addForce(_coulomb(len(atoms), lennard_jones=False))
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
    context.setPositions(atoms.positions * 0.1)
    forces = context.getState(getForces=True).getForces(asNumpy=True)
    return np.asarray(forces._value) / ELECTRON_VOLT_PER_ANGSTROM


def _molecule_columns(atoms: Atoms) -> np.ndarray:
    """Forces of each term of the molecular polynomial at unit coefficient, [terms, 3 atoms]."""
    xyz = atoms.positions.reshape(-1, 3, 3)
    ends = {"x1": (0, 1), "x2": (0, 2), "y": (1, 2)}
    vectors = {name: xyz[:, j] - xyz[:, i] for name, (i, j) in ends.items()}
    lengths = {name: np.linalg.norm(v, axis=-1) for name, v in vectors.items()}
    x1, x2, y = (lengths["x1"] - LENGTHS[0], lengths["x2"] - LENGTHS[0], lengths["y"] - LENGTHS[1])
    columns = np.zeros((len(POWERS), *xyz.shape))
    for column, (a, b, c) in zip(columns, POWERS, strict=True):
        slopes = {
            "x1": (_slope(x1, a) * x2**b + _slope(x1, b) * x2**a) * y**c,
            "x2": (_slope(x2, a) * x1**b + _slope(x2, b) * x1**a) * y**c,
            "y": (x1**a * x2**b + x1**b * x2**a) * _slope(y, c),
        }
        for name, (i, j) in ends.items():
            pull = (slopes[name] / lengths[name])[:, None] * vectors[name]
            column[:, i] += pull
            column[:, j] -= pull
    return columns.reshape(len(POWERS), -1)


def _slope(x: np.ndarray, power: int) -> np.ndarray:
    return power * x ** max(power - 1, 0)


def _pair_columns(atoms: Atoms) -> np.ndarray:
    """Forces of each knot of each pair force at unit height, [3 knots, 3 atoms]."""
    length = atoms.cell[0, 0]
    first, second = np.triu_indices(len(atoms), 1)
    first, second = (index[first // 3 != second // 3] for index in (first, second))
    vectors = atoms.positions[second] - atoms.positions[first]
    vectors -= length * np.round(vectors / length)
    distances = np.linalg.norm(vectors, axis=-1)
    near = distances < CUTOFF
    first, second, vectors, distances = (a[near] for a in (first, second, vectors, distances))
    kinds = (first % 3 > 0).astype(int) + (second % 3 > 0)
    columns = np.zeros((3, len(PAIR_GRID), len(atoms), 3))
    heights = np.clip(1 - np.abs(distances[:, None] - PAIR_GRID) / 0.15, 0.0, None)
    for pair, knot in zip(*np.nonzero(heights), strict=True):
        push = heights[pair, knot] * vectors[pair] / distances[pair]
        columns[kinds[pair], knot, second[pair]] += push
        columns[kinds[pair], knot, first[pair]] -= push
    return columns.reshape(3 * len(PAIR_GRID), -1)


def _add_wall(kind: str, force: np.ndarray) -> np.ndarray:
    """Replaces the knots without data by a wall that continues the first good one."""
    start = PAIR_STARTS[kind]
    good = int(np.searchsorted(PAIR_GRID, start - 1e-9))
    wall = force[good] + WALL * (PAIR_GRID[good] - PAIR_GRID)
    return np.where(np.arange(len(force)) < good, wall, force)


def _random_rotation(rng: np.random.Generator) -> np.ndarray:
    matrix, triangle = np.linalg.qr(rng.normal(size=(3, 3)))
    matrix = matrix * np.sign(np.diag(triangle))
    return matrix * np.sign(np.linalg.det(matrix))
