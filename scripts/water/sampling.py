"""The trajectories and rounds of the water dataset, and how frames are drawn in each.

`make_water_dataset.py` calls this; how a frame is labelled is its business. Every frame is a file
of its own, `<work>/<round>/frames/<trajectory>-<number>.extxyz`, written once: a stage that was
stopped skips what is there. Seeds depend on the names of trajectory and round alone.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.md.langevinbaoab import LangevinBAOAB
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

from scripts.water import classical

NUM_MOLECULES = 32
DENSITIES = (0.90, 0.95, 1.00, 1.05, 1.10)  # g/cm³
TEMPERATURES = (250, 300, 300, 350, 400, 500, 600)  # K; room temperature counts twice
SWEEPS = {"train": 3, "valid": 0.5, "test": 1}  # times densities × temperatures

MELTING_TIME = 12.0  # ps under SPC/Fw, from the lattice to a start
CLASSICAL_TIMESTEP = 0.5  # fs
TIMESTEP = 2.0  # fs, with potentials and hydrogens of classical.HYDROGEN_MASS
THERMOSTAT_TIME = 100.0  # fs
LONGEST_BOND = 1.5  # Å, O–H
SHORTEST_CONTACTS = (
    1.1,
    1.2,
    2.0,
)  # Å, H–H, O–H, O–O between molecules; water at 600 K: 1.4, 1.5, 2.2
DECIMALS = 5  # of positions in Å, rounded before they are labelled


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """One independent sample path: its own lattice box, orientations and noise.

    A trajectory keeps its split through all rounds.
    """

    index: int
    split: str
    temperature: int
    density: float

    @property
    def name(self) -> str:
        """File stem, also the `trajectory` of its frames."""
        return f"{self.split}{self.index:03d}"


@dataclass(frozen=True, kw_only=True)
class Round:
    """How frames are drawn: `equilibrate` ps, then `frames` of them, `interval` ps apart.

    `starts_from` is the round whose last frame a trajectory goes on from, `learns_from` those whose
    training labels made the model that samples this one, `repeats` the round whose failed
    trajectories, and no others, this one draws again; `heating` multiplies the temperatures.
    """

    name: str
    splits: tuple[str, ...]
    starts_from: str = "start"
    learns_from: tuple[str, ...] = ()
    repeats: str | None = None
    equilibrate: float = 0.0
    interval: float = 0.0
    frames: int = 1
    heating: float = 1.0


_ALL = ("train", "valid", "test")
ROUNDS = {
    r.name: r
    for r in (
        Round(name="spcfw", splits=("train",)),
        Round(name="hot", splits=("train",), learns_from=("spcfw",), equilibrate=2.0, heating=1.7),
        Round(name="matched", splits=_ALL, learns_from=("spcfw",), equilibrate=4.0),
        Round(
            name="equipot",
            splits=_ALL,
            starts_from="matched",
            learns_from=("hot", "matched"),
            equilibrate=0.6,
            interval=0.25,
            frames=4,
        ),
        Round(
            name="repaired",
            splits=_ALL,
            starts_from="matched",
            learns_from=("hot", "matched", "equipot"),
            repeats="equipot",
            equilibrate=0.6,
            interval=0.25,
            frames=4,
        ),
    )
}


def plan_trajectories(splits: tuple[str, ...] = _ALL) -> list[Trajectory]:
    """Lists the trajectories; half a sweep takes every other point."""
    plan = []
    for split, sweeps in SWEEPS.items():
        grid = list(itertools.product(DENSITIES, TEMPERATURES))
        points = grid * int(sweeps) + (grid[::2] if sweeps % 1 else [])
        for density, temperature in points:
            plan.append(
                Trajectory(index=len(plan), split=split, temperature=temperature, density=density)
            )
    return [trajectory for trajectory in plan if trajectory.split in splits]


def make_start(work: Path, trajectory: Trajectory) -> None:
    """Melts a lattice box and cools it to the trajectory's temperature."""
    path = _frame_path(work, "start", trajectory, 0)
    if path.exists():
        return
    seed = _seed(trajectory, "start")
    box = classical.lattice_box(trajectory.density, NUM_MOLECULES, seed)
    box = classical.cool(box, trajectory.temperature, seed, MELTING_TIME)
    write_frame(path, _mark(box, trajectory))


def draw_rescaled(work: Path, round_: Round, trajectory: Trajectory) -> None:
    """A start as it is, or (every other one) with molecules scaled by one factor and shaken."""
    path = _frame_path(work, round_.name, trajectory, 0)
    if path.exists():
        return
    atoms = _last_frame(work, round_, trajectory)
    rng = np.random.default_rng(_seed(trajectory, round_.name))
    if trajectory.index % 2:
        molecules = atoms.positions.reshape(-1, 3, 3)
        oxygens = molecules[:, :1]
        molecules = oxygens + rng.uniform(0.90, 1.0) * (molecules - oxygens)
        atoms.positions = molecules.reshape(-1, 3) + rng.normal(scale=0.02, size=(len(atoms), 3))
    write_frame(path, _mark(atoms, trajectory))


def draw_classical(work: Path, round_: Round, model: Path, trajectory: Trajectory) -> None:
    """Langevin dynamics with the fitted classical model, from the trajectory's start."""
    trajectory = replace(trajectory, temperature=round(round_.heating * trajectory.temperature))

    def advance(atoms: Atoms, picoseconds: float, seed: int) -> Atoms:
        matched = classical.Matched.read(model)
        context = classical.make_simulation(
            atoms, trajectory.temperature, seed, CLASSICAL_TIMESTEP, matched
        )
        return classical.run(context, atoms, round(picoseconds * 1000 / CLASSICAL_TIMESTEP))

    _draw(work, round_, trajectory, advance)


def draw_equipot(work: Path, round_: Round, potential: Path, trajectory: Trajectory) -> None:
    """Langevin dynamics with a trained potential, from the last frame of the round before.

    Hydrogens are heavier than nature's, because the distribution of positions has no masses in it,
    and the integrator (BAOAB) samples that of a harmonic bond rightly at any stable step.
    """
    kelvin = trajectory.temperature

    def advance(atoms: Atoms, picoseconds: float, seed: int) -> Atoms:
        rng = np.random.default_rng(seed)
        atoms.set_masses(np.where(atoms.numbers == 1, classical.HYDROGEN_MASS, 15.999))
        atoms.calc = _load_calculator(potential)
        MaxwellBoltzmannDistribution(atoms, temperature_K=kelvin, rng=rng)
        timestep, tau = TIMESTEP * units.fs, THERMOSTAT_TIME * units.fs
        dynamics = LangevinBAOAB(atoms, timestep, temperature_K=kelvin, T_tau=tau, rng=rng)
        dynamics.run(round(picoseconds * 1000 / TIMESTEP))
        return atoms

    _draw(work, round_, trajectory, advance)


@functools.cache
def _load_calculator(potential: Path) -> Calculator:
    """One calculator per process: what it has compiled serves all trajectories."""
    from equipot import EquipotCalculator  # here, because the other rounds need no jax

    return EquipotCalculator(potential)


def _draw(
    work: Path,
    round_: Round,
    trajectory: Trajectory,
    advance: Callable[[Atoms, float, int], Atoms],
) -> None:
    """Writes the frames of one trajectory in one round, each begun where the one before ended.

    A trajectory ends early, with its last frame in another folder, where that is no liquid water.
    `advance` takes a box, a time in ps and a seed, with which it also draws new velocities.
    """
    for number in range(round_.frames):
        path = _frame_path(work, round_.name, trajectory, number)
        failed = path.parents[2] / "failed" / path.name
        if failed.exists():
            return
        if not path.exists():
            atoms = _last_frame(work, round_, trajectory)
            picoseconds = round_.interval if number else round_.equilibrate
            atoms = advance(atoms, picoseconds, _seed(trajectory, f"{round_.name} {number}"))
            frame = _mark(atoms, trajectory)
            if not is_liquid_water(frame):
                write_frame(failed, frame)
                return
            write_frame(path, frame)


def is_liquid_water(atoms: Atoms) -> bool:
    """Whether no molecule is torn and no two atoms are where thermal water never has them."""
    distances = atoms.get_all_distances(mic=True) + 10.0 * np.eye(len(atoms))
    number = np.arange(len(atoms))
    same = number[:, None] // 3 == number // 3
    oxygen = number % 3 == 0
    bonds = distances[same & (oxygen[:, None] != oxygen)]
    kinds = oxygen[:, None].astype(int) + oxygen
    contacts = [distances[~same & (kinds == kind)].min() for kind in range(3)]
    return bonds.max() < LONGEST_BOND and np.all(np.array(contacts) > SHORTEST_CONTACTS)


def failed_trajectories(work: Path, name: str) -> set[str]:
    """Names of the trajectories of one round that ended early."""
    return {path.name.split("-")[0] for path in (work / name / "failed").glob("*.extxyz")}


def write_frame(path: Path, atoms: Atoms) -> None:
    """Writes a frame under another name first, so that a file that exists is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    ase.io.write(unfinished, atoms, format="extxyz")
    unfinished.replace(path)


def _mark(atoms: Atoms, trajectory: Trajectory) -> Atoms:
    """A copy without velocities, its molecules moved whole into the box, rounded, with its info."""
    molecules = atoms.positions.reshape(-1, 3, 3)
    cell = np.asarray(atoms.cell)
    images = np.floor(molecules[:, :1] @ np.linalg.inv(cell))
    positions = (molecules - images @ cell).reshape(-1, 3).round(DECIMALS)
    frame = Atoms(atoms.numbers, positions=positions, cell=cell.round(DECIMALS), pbc=True)
    frame.info = {
        "temperature": trajectory.temperature,
        "density": trajectory.density,
        "trajectory": trajectory.name,
    }
    return frame


def _last_frame(work: Path, round_: Round, trajectory: Trajectory) -> Atoms:
    """Where a trajectory has got to in this round, or in the one it starts from."""
    for name in (round_.name, round_.starts_from):
        frames = sorted((work / name / "frames").glob(f"{trajectory.name}-*.extxyz"))
        if frames:
            return ase.io.read(frames[-1])
    raise FileNotFoundError(
        f"{work}: no frame of {trajectory.name} in {round_.starts_from}; sample that first"
    )


def _frame_path(work: Path, name: str, trajectory: Trajectory, number: int) -> Path:
    return work / name / "frames" / f"{trajectory.name}-{number}.extxyz"


def _seed(trajectory: Trajectory, purpose: str) -> int:
    """A positive 31-bit number (0 would be a random seed to OpenMM)."""
    digest = hashlib.sha256(f"{trajectory.name} {purpose}".encode()).digest()
    return (int.from_bytes(digest[:4], "big") >> 1) or 1
