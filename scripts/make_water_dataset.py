"""Makes `data/water/`: liquid water labelled with energy, forces and stress by GFN1-xTB.

Only tblite labels. Sampling is cheap and goes in rounds, each closer to the distribution of the
method that labels:

    spcfw    boxes of classical flexible water, half of them with rescaled molecules
    matched  the same boxes under a classical model fitted to the forces of the first round
    first    Langevin dynamics with a potential trained by equipot on the rounds before
    second   the same again, with a potential that has seen the first; valid and test come from here

A trajectory keeps its split through all rounds, and potentials learn from training trajectories only.
Every box, label and frame is a file of its own in the work folder, so that a stage that was stopped
goes on where it was:

    python scripts/make_water_dataset.py all --work runs/water_dataset --processes 2

`all` runs the stages below in their order; each can be run alone. tblite and openmm have to be
installed besides equipot.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy: one process, one thread

import argparse
import hashlib
import itertools
import json
import lzma
import multiprocessing
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from tblite.ase import TBLite

import water_classical as classical

REPOSITORY = Path(__file__).resolve().parents[1]
DATASET = REPOSITORY / "data" / "water"

NUM_MOLECULES = 32
DENSITIES = (0.90, 0.95, 1.00, 1.05, 1.10)  # g/cm³
TEMPERATURES = (250, 300, 300, 350, 400, 500, 600)  # K; room temperature counts twice
SWEEPS = {"train": 3, "valid": 0.5, "test": 1}  # times densities × temperatures

METHOD = "GFN1-xTB"
ACCURACY = 0.1  # tblite's: energy converged to 1e-6 Hartree times this
ELECTRONIC_TEMPERATURE = 300.0  # K
MULTIPLICITIES = {"H": 2, "O": 3}  # doublet and triplet

TIMESTEP = 1.5  # fs, with hydrogens of classical.HYDROGEN_MASS
FRICTION = 0.01  # 1/fs
DECIMALS = 5  # of the positions, rounded before they are labelled


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """One independent sample path: its own lattice box, orientations and noise."""

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
    """How frames are drawn: `equilibrate` ps, then `frames` of them, `interval` ps apart."""

    name: str
    splits: tuple[str, ...]
    equilibrate: float
    interval: float
    frames: int
    learns_from: tuple[str, ...] = ()


ROUNDS = {
    r.name: r
    for r in (
        Round(name="spcfw", splits=("train",), equilibrate=0.0, interval=0.0, frames=1),
        Round(
            name="matched",
            splits=("train", "valid", "test"),
            equilibrate=4.0,
            interval=0.0,
            frames=1,
            learns_from=("spcfw",),
        ),
        Round(
            name="first",
            splits=("train",),
            equilibrate=0.6,
            interval=0.3,
            frames=1,
            learns_from=("spcfw", "matched"),
        ),
        Round(
            name="second",
            splits=("train", "valid", "test"),
            equilibrate=0.6,
            interval=0.3,
            frames=4,
            learns_from=("matched", "first"),
        ),
    )
}


def plan_trajectories() -> list[Trajectory]:
    """Lists every trajectory: whole sweeps over densities × temperatures, or every other point of one."""
    plan = []
    for split, sweeps in SWEEPS.items():
        grid = list(itertools.product(DENSITIES, TEMPERATURES))
        points = grid * int(sweeps) + (grid[::2] if sweeps % 1 else [])
        for density, temperature in points:
            plan.append(
                Trajectory(index=len(plan), split=split, temperature=temperature, density=density)
            )
    return plan


# Stages


def make_starts(work: Path, processes: int) -> None:
    """Melts and cools one box per trajectory under SPC/Fw."""
    _run_all(partial(_make_start, work), plan_trajectories(), processes, "starts")


def sample(work: Path, name: str, processes: int, potential: Path | None = None) -> None:
    """Draws the frames of one round, from where the round before has left each trajectory."""
    round_ = ROUNDS[name]
    chosen = [t for t in plan_trajectories() if t.split in round_.splits]
    if name == "spcfw":
        draw = partial(_draw_rescaled, work)
    elif name == "matched":
        draw = partial(_draw_classical, work, round_)
    else:
        draw = partial(_draw_equipot, work, round_, potential or _potential(work, name))
    _run_all(draw, chosen, processes, f"sample {name}")


def label(work: Path, name: str, processes: int) -> None:
    """Labels every frame of one round that has no label yet."""
    frames = sorted((work / name / "frames").glob("*.extxyz"))
    missing = [path for path in frames if not _label_path(path).exists()]
    _run_all(_label_file, missing, processes, f"label {name}")


def match(work: Path) -> None:
    """Fits the classical model to the labels of the first round."""
    model, rest = classical.match_forces(read_labels(work, "spcfw"))
    model.write(work / "matched.json")
    print(f"match: {100 * rest:.1f} % of the forces' RMS are left")


def train(work: Path, name: str, overrides: Iterable[str] = ()) -> None:
    """Trains the potential that samples one round, on labels of the rounds it learns from."""
    sources = [read_labels(work, source, splits=("train",)) for source in ROUNDS[name].learns_from]
    frames = [frame for source in sources for frame in source]
    folder = work / name / "train"
    folder.mkdir(parents=True, exist_ok=True)
    held_out = [f for f in frames if int(f.info["trajectory"][-3:]) % 10 == 0]
    kept = [f for f in frames if int(f.info["trajectory"][-3:]) % 10]
    ase.io.write(folder / "valid.extxyz", held_out)
    ase.io.write(folder / "train.extxyz", kept + isolated_atoms())
    command = ["equipot-train", "+experiment=water", *overrides]
    command += [f"data.{split}={folder / f'{split}.extxyz'}" for split in ("train", "valid")]
    subprocess.run(command, check=True)


def assemble(work: Path, output: Path, rounds: tuple[str, ...] = ("first", "second")) -> None:
    """Writes the compressed splits, their checksums, and prints what is in them."""
    output.mkdir(parents=True, exist_ok=True)
    for split in SWEEPS:
        chosen = rounds if split == "train" else rounds[-1:]
        frames = [frame for name in chosen for frame in read_labels(work, name, splits=(split,))]
        summarize(split, frames)
        frames = (isolated_atoms() if split == "train" else []) + frames
        with lzma.open(output / f"{split}.extxyz.xz", "wt", preset=9) as file:
            ase.io.write(file, frames, format="extxyz")
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(output.glob("*.extxyz.xz"))
    ]
    (output / "SHA256SUMS").write_text("".join(lines))


def check(dataset: Path, num_frames: int = 3, step: float = 1e-3) -> None:
    """Compares labels with finite differences of the energy: three frames of the test split.

    Per frame five force components and the six strains, by central differences of relative width
    `step` (Å, or strain).
    """
    frames = ase.io.read(dataset / "test.extxyz.xz", ":")
    rng = np.random.default_rng(0)
    for index in np.linspace(0, len(frames) - 1, num_frames).astype(int):
        atoms = frames[index]
        forces, stress = atoms.get_forces(), atoms.get_stress(voigt=False)
        wrong = []
        for _ in range(5):
            atom, axis = rng.integers(len(atoms)), rng.integers(3)
            shift = np.zeros_like(forces)
            shift[atom, axis] = step
            wrong.append(-_difference(_shifted(atoms, shift), _shifted(atoms, -shift), 2 * step))
            wrong[-1] -= forces[atom, axis]
        print(f"frame {index}: largest error of a force {np.abs(wrong).max():.1e} eV/Å", end="")
        wrong = []
        for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):
            strain = np.zeros((3, 3))
            strain[i, j] += step / 2
            strain[j, i] += step / 2
            ends = _strained(atoms, strain), _strained(atoms, -strain)
            wrong.append(_difference(*ends, 2 * step) / atoms.get_volume() - stress[i, j])
        print(f", of a stress {np.abs(wrong).max():.1e} eV/Å³")


def run_all(work: Path, processes: int) -> None:
    """Runs every stage in its order."""
    make_starts(work, processes)
    for name, round_ in ROUNDS.items():
        if name == "matched":
            match(work)
        elif round_.learns_from:
            train(work, name)
        sample(work, name, processes)
        label(work, name, processes)
    assemble(work, DATASET)
    check(DATASET)


# Labels


def make_calculator(multiplicity: int | None = None) -> TBLite:
    """The one place where the level of theory is set."""
    return TBLite(
        method=METHOD,
        accuracy=ACCURACY,
        electronic_temperature=ELECTRONIC_TEMPERATURE,
        multiplicity=multiplicity,
        verbosity=0,
    )


def isolated_atoms() -> list[Atoms]:
    """Single atoms in their ground states, marked `config_type=IsolatedAtom`."""
    frames = []
    for symbol, multiplicity in MULTIPLICITIES.items():
        atom = Atoms(symbol)
        atom.calc = make_calculator(multiplicity)
        energy = atom.get_potential_energy()
        atom.calc = SinglePointCalculator(atom, energy=energy, forces=np.zeros((1, 3)))
        atom.info.update(config_type="IsolatedAtom", multiplicity=multiplicity)
        frames.append(atom)
    return frames


def read_labels(work: Path, name: str, splits: tuple[str, ...] = tuple(SWEEPS)) -> list[Atoms]:
    """Reads the labelled frames of one round."""
    paths = sorted((work / name / "labels").glob("*.extxyz"))
    return [ase.io.read(path) for path in paths if path.name.startswith(splits)]


def summarize(title: str, frames: list[Atoms]) -> None:
    """Prints the number of frames and the forces' RMS per temperature."""
    groups = defaultdict(list)
    for frame in frames:
        groups[frame.info["temperature"]].append(frame.get_forces())
    total = np.sqrt(np.mean([f.get_forces() ** 2 for f in frames]))
    trajectories = {f.info["trajectory"] for f in frames}
    print(f"{title}: {len(frames)} frames, {len(trajectories)} trajectories, {total:.3f} eV/Å")
    for temperature, forces in sorted(groups.items()):
        print(f"  {temperature} K: {len(forces)} frames, {np.sqrt(np.mean(np.square(forces))):.3f}")


# One box, one frame


def _make_start(work: Path, trajectory: Trajectory) -> None:
    path = work / "starts" / f"{trajectory.name}.extxyz"
    if path.exists():
        return
    seed = _seed(trajectory, "start")
    box = classical.lattice_box(trajectory.density, NUM_MOLECULES, seed)
    box = classical.cool(box, trajectory.temperature, seed, picoseconds=12.0)
    _write(path, _mark(box, trajectory))


def _draw_rescaled(work: Path, trajectory: Trajectory) -> None:
    """A start as it is, or (every other) with its molecules scaled by one factor and shaken a little."""
    atoms = ase.io.read(work / "starts" / f"{trajectory.name}.extxyz")
    rng = np.random.default_rng(_seed(trajectory, "spcfw"))
    if trajectory.index % 2:
        molecules = atoms.positions.reshape(-1, 3, 3)
        oxygens = molecules[:, :1]
        molecules = oxygens + rng.uniform(0.90, 1.0) * (molecules - oxygens)
        atoms.positions = molecules.reshape(-1, 3) + rng.normal(scale=0.02, size=(len(atoms), 3))
    _write(_frame_path(work, "spcfw", trajectory, 0), _mark(atoms, trajectory))


def _draw_classical(work: Path, round_: Round, trajectory: Trajectory) -> None:
    """A start after some picoseconds under the fitted classical model, with a step of 0.5 fs."""
    path = _frame_path(work, round_.name, trajectory, 0)
    if path.exists():
        return
    atoms = ase.io.read(work / "starts" / f"{trajectory.name}.extxyz")
    model = classical.Matched.read(work / "matched.json")
    seed = _seed(trajectory, round_.name)
    context = classical.make_simulation(atoms, trajectory.temperature, seed, 0.5, model)
    atoms = classical.run(context, atoms, round(round_.equilibrate * 2000))
    _write(path, _mark(atoms, trajectory))


def _draw_equipot(work: Path, round_: Round, potential: Path, trajectory: Trajectory) -> None:
    """Langevin dynamics with a trained potential, from the last frame of the round before.

    Hydrogens are heavier than nature's: the distribution of positions does not depend on masses.
    """
    from equipot import EquipotCalculator

    last = _frame_path(work, round_.name, trajectory, round_.frames - 1)
    if last.exists():
        return
    atoms = _previous(work, round_, trajectory)
    rng = np.random.default_rng(_seed(trajectory, round_.name))
    masses = np.where(atoms.numbers == 1, classical.HYDROGEN_MASS, 15.999)
    atoms.set_masses(masses)
    atoms.calc = EquipotCalculator(potential)
    MaxwellBoltzmannDistribution(atoms, temperature_K=trajectory.temperature, rng=rng)
    dynamics = Langevin(
        atoms,
        TIMESTEP * units.fs,
        temperature_K=trajectory.temperature,
        friction=FRICTION / units.fs,
        rng=rng,
    )
    for number in range(round_.frames):
        length = round_.interval if number else round_.equilibrate
        dynamics.run(round(length * 1000 / TIMESTEP))
        frame = _mark(atoms, trajectory)
        check_molecules(frame)
        _write(_frame_path(work, round_.name, trajectory, number), frame)


def check_molecules(atoms: Atoms) -> None:
    """Raises where a potential has torn a molecule or pushed two together."""
    vectors = atoms.positions.reshape(-1, 3, 3)
    bonds = np.linalg.norm(vectors[:, 1:] - vectors[:, :1], axis=-1)
    distances = atoms.get_all_distances(mic=True) + 10.0 * np.eye(len(atoms))
    if bonds.max() > 1.5 or distances.min() < 0.7:
        raise RuntimeError(
            f"trajectory {atoms.info['trajectory']} left liquid water: longest bond "
            f"{bonds.max():.2f} Å, shortest distance {distances.min():.2f} Å"
        )


def _label_file(path: Path) -> None:
    atoms = ase.io.read(path)
    atoms.calc = make_calculator()
    results = {
        "energy": round(float(atoms.get_potential_energy()), 6),
        "forces": atoms.get_forces().round(6),
        "stress": atoms.get_stress(voigt=True).round(8),
    }
    atoms.calc = SinglePointCalculator(atoms, **results)
    _write(_label_path(path), atoms)


def _mark(atoms: Atoms, trajectory: Trajectory) -> Atoms:
    """A copy without velocities, whole molecules moved into the box, rounded, and marked."""
    molecules = atoms.positions.reshape(-1, 3, 3)
    images = np.floor(molecules[:, :1] @ np.linalg.inv(atoms.cell))
    positions = (molecules - images @ np.asarray(atoms.cell)).reshape(-1, 3)
    frame = Atoms(
        atoms.numbers,
        positions=positions.round(DECIMALS),
        cell=np.asarray(atoms.cell).round(DECIMALS),
        pbc=True,
    )
    frame.info = {
        "temperature": trajectory.temperature,
        "density": trajectory.density,
        "trajectory": trajectory.name,
    }
    return frame


def _previous(work: Path, round_: Round, trajectory: Trajectory) -> Atoms:
    """The last frame of the latest earlier round that has this trajectory."""
    names = list(ROUNDS)
    for name in reversed(names[: names.index(round_.name)]):
        frames = sorted((work / name / "frames").glob(f"{trajectory.name}-*.extxyz"))
        if frames:
            return ase.io.read(frames[-1])
    raise FileNotFoundError(f"no frame of {trajectory.name} in a round before {round_.name}")


def _difference(plus: Atoms, minus: Atoms, width: float) -> float:
    energies = []
    for atoms in (plus, minus):
        atoms.calc = make_calculator()
        energies.append(atoms.get_potential_energy())
    return (energies[0] - energies[1]) / width


def _shifted(atoms: Atoms, shift: np.ndarray) -> Atoms:
    moved = atoms.copy()
    moved.positions += shift
    return moved


def _strained(atoms: Atoms, strain: np.ndarray) -> Atoms:
    moved = atoms.copy()
    moved.set_cell(atoms.cell @ (np.eye(3) + strain), scale_atoms=True)
    return moved


# Files and processes


def _frame_path(work: Path, name: str, trajectory: Trajectory, number: int) -> Path:
    return work / name / "frames" / f"{trajectory.name}-{number}.extxyz"


def _label_path(frame: Path) -> Path:
    return frame.parents[1] / "labels" / frame.name


def _potential(work: Path, name: str) -> Path:
    return work / name / "run" / "water.equipot"


def _write(path: Path, atoms: Atoms) -> None:
    """Writes a frame under a temporary name first, so that a file that exists is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_path = path.with_suffix(".partial")
    ase.io.write(partial_path, atoms, format="extxyz")
    partial_path.replace(path)


def _seed(trajectory: Trajectory, purpose: str) -> int:
    """A positive 31-bit number that depends on nothing but its arguments."""
    digest = hashlib.sha256(f"{trajectory.name} {purpose}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1 or 1


def _run_all(task: Callable, items: Sequence, processes: int, title: str) -> None:
    """Runs one task per item over processes, with a line now and then."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes) as pool:
        for done, _ in enumerate(pool.imap_unordered(task, items), start=1):
            if done % 10 == 0 or done == len(items):
                print(f"{title}: {done}/{len(items)}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line and runs one stage, or all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--work", type=Path, default=Path("runs/water_dataset"))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--round", choices=ROUNDS, help="for sample, label and train")
    parser.add_argument("--potential", type=Path, help="for sample: instead of the round's own")
    parser.add_argument("--output", type=Path, default=DATASET, help="for assemble and check")
    options = parser.parse_args(arguments)
    STAGES[options.stage](options)


STAGES: dict[str, Callable[[argparse.Namespace], None]] = {
    "starts": lambda o: make_starts(o.work, o.processes),
    "sample": lambda o: sample(o.work, o.round, o.processes, o.potential),
    "label": lambda o: label(o.work, o.round, o.processes),
    "match": lambda o: match(o.work),
    "train": lambda o: train(o.work, o.round),
    "assemble": lambda o: assemble(o.work, o.output),
    "check": lambda o: check(o.output),
    "all": lambda o: run_all(o.work, o.processes),
}


if __name__ == "__main__":
    main()
