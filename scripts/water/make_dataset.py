"""Makes `data/water/`: liquid water labelled with energy, forces and stress by GFN1-xTB.

tblite only labels. Sampling is cheap and goes in rounds, each closer to the ensemble of the method
that labels:

    spcfw    boxes of classical flexible water, half of them with rescaled molecules
    hot      the same boxes under a classical model fitted to the forces of spcfw, 1.7 times as hot,
             so that potentials know how atoms repel each other
    matched  the same at the temperature wanted
    equipot  Langevin dynamics with a potential trained by equipot on hot and matched
    repaired those trajectories of equipot that ran into a hole of its potential, drawn once more
             with one that was trained on equipot too and on the frames in the hole

The dataset is the last two, and stretched bonds (`stretch`); a trajectory that fails in both is
left out. A trajectory keeps its split through all rounds, and models learn from training
trajectories only.

    python -m scripts.water.make_dataset all --work runs/water_dataset --processes 2

`all` runs every stage in its order, and each can be run alone; what was finished is not repeated.
Needs tblite and openmm besides equipot.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy: one process, one thread

import argparse
import hashlib
import json
import lzma
import multiprocessing
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from tblite.ase import TBLite  # pyright: ignore[reportMissingImports]

from scripts.water import classical, sampling
from scripts.water.sampling import ROUNDS, SWEEPS

DATASET = Path(__file__).resolve().parents[2] / "data" / "water"
FINAL_ROUNDS = ("equipot", "repaired")
WORK = Path("runs/water_dataset")

LABEL_FOLDERS = {"frames": "labels", "failed": "failed_labels"}

METHOD = "GFN1-xTB"
ACCURACY = 0.1  # tblite's: energies converged to 1e-6 Hartree times this
ELECTRONIC_TEMPERATURE = 300.0  # K
MULTIPLICITIES = {"H": 2, "O": 3}  # of the isolated atoms: doublet and triplet

NETWORK = (
    "loss.stress=100",
    "model.cutoff=4.0",
    "model.num_layers=3",
    "model.lmax=1",
    "model.num_channels=24",
    "optimizer.warmup_steps=100",
    "optimizer.clip_norm=10.0",
    "trainer.num_steps=2500",
    "trainer.batch_size=1",
    "trainer.valid_every=500",
)


def make_starts(work: Path, processes: int) -> None:
    """Melts and cools one box per trajectory under SPC/Fw."""
    task = partial(sampling.make_start, work)
    _run_all(task, sampling.plan_trajectories(), processes, "starts")


def match(work: Path) -> None:
    """Fits the classical model to the labels of the first round."""
    model, rest = classical.match_forces(read_labels(work, "spcfw", "train"))
    model.write(work / "matched.json")
    print(f"match: {100 * rest:.1f} % of the forces' RMS are left")


def train(work: Path, name: str) -> None:
    """Trains the potential that samples one round, on training labels of the rounds before it."""
    potential = _potential(work, name)
    if potential.exists():
        return
    frames = [
        frame
        for source in ROUNDS[name].learns_from
        for folder in ("labels", "failed_labels")
        for frame in read_labels(work, source, "train", folder)
    ]
    folder = work / name
    folder.mkdir(parents=True, exist_ok=True)
    tenth = {t.name for t in sampling.plan_trajectories(("train",))[::10]}
    valid = [frame for frame in frames if frame.info["trajectory"] in tenth]
    rest = [frame for frame in frames if frame.info["trajectory"] not in tenth]
    ase.io.write(folder / "valid.extxyz", valid)
    ase.io.write(folder / "train.extxyz", isolated_atoms() + rest)
    command = Path(sys.executable).with_name("equipot-train")
    files = [f"data.{split}={folder / split}.extxyz" for split in ("train", "valid")]
    run = ["data.test_fraction=0", f"name={potential.stem}", f"run_dir={potential.parent}"]
    subprocess.run([command, *files, *run, *NETWORK], check=True)


def sample(work: Path, name: str, processes: int) -> None:
    """Draws the frames of one round, from where the round before has left each trajectory."""
    round_ = ROUNDS[name]
    if name == "spcfw":
        draw = partial(sampling.draw_rescaled, work, round_)
    elif name in ("hot", "matched"):
        draw = partial(sampling.draw_classical, work, round_, work / "matched.json")
    else:
        draw = partial(sampling.draw_equipot, work, round_, _potential(work, name))
    plan = sampling.plan_trajectories(round_.splits)
    if round_.repeats:
        again = sampling.failed_trajectories(work, round_.repeats)
        plan = [trajectory for trajectory in plan if trajectory.name in again]
    hottest_first = sorted(plan, key=lambda t: -t.temperature)  # a bad potential shows there
    _run_all(draw, hottest_first, processes, f"sample {name}")


def label(work: Path, name: str, processes: int) -> None:
    """Labels every frame of one round that has no label yet."""
    frames = [p for kind in LABEL_FOLDERS for p in sorted((work / name / kind).glob("*.extxyz"))]
    missing = [path for path in frames if not _label_path(path).exists()]
    _run_all(_label_file, missing, processes, f"label {name}")


def assemble(work: Path, output: Path) -> None:
    """Writes the compressed splits and their checksums, and prints what is in them."""
    output.mkdir(parents=True, exist_ok=True)
    for split in SWEEPS:
        frames = final_frames(work, split)
        summarize(split, frames)
        path = output / f"{split}.extxyz.xz"
        with lzma.open(path, "wt", preset=9) as file:
            single = isolated_atoms() if split == "train" else []
            ase.io.write(file, single + frames, format="extxyz")
    write_sums(output)


def stretch(output: Path) -> None:
    """Makes frames with stretched bonds of the training split, and labels them."""
    path = output / "stretched.extxyz.xz"
    path.unlink(missing_ok=True)
    arguments = {
        "method": METHOD,
        "accuracy": ACCURACY,
        "electronic_temperature": ELECTRONIC_TEMPERATURE,
        "verbosity": 0,
    }
    command = [Path(sys.executable).with_name("equipot"), "augment", output / "train.extxyz.xz"]
    command += ["--calculator", "tblite.ase:TBLite", "--calculator-args", json.dumps(arguments)]
    command += ["--group-key", "temperature", "--weight", "0.25", "--output", path]
    subprocess.run(command, check=True)
    write_sums(output)


def write_sums(output: Path) -> None:
    """Writes the checksums of all files of frames."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(output.glob("*.xz"))
    ]
    (output / "SHA256SUMS").write_text("".join(lines))


def summarize(title: str, frames: list[Atoms]) -> None:
    """Prints the number of frames and the forces' RMS, per temperature too."""
    groups = defaultdict(list)
    for frame in frames:
        groups["all"].append(frame)
        groups[f"{frame.info['temperature']} K"].append(frame)
    for group, chosen in sorted(groups.items()):
        rms = np.sqrt(np.mean([frame.get_forces() ** 2 for frame in chosen]))
        names = {frame.info["trajectory"] for frame in chosen}
        print(f"{title} {group}: {len(chosen)} frames, {len(names)} trajectories, {rms:.3f} eV/Å")


def check(dataset: Path, num_frames: int = 3, num_components: int = 5, width: float = 2e-3) -> None:
    """Compares labels of test frames with central differences of the energy.

    Args:
      dataset: Folder of the dataset.
      num_frames: How many frames, spread over the split.
      num_components: How many force components per frame; of the stress all six.
      width: Å, or strain, between the two energies of a difference.
    """
    frames = ase.io.read(dataset / "test.extxyz.xz", ":")
    rng = np.random.default_rng(0)
    for index in np.linspace(0, len(frames) - 1, num_frames).astype(int):
        components = [(rng.integers(96), rng.integers(3)) for _ in range(num_components)]
        force = max(abs(_force_error(frames[index], *c, width)) for c in components)
        pairs = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
        stress = max(abs(_stress_error(frames[index], *pair, width)) for pair in pairs)
        print(f"test frame {index}: forces to {force:.1e} eV/Å, stress to {stress:.1e} eV/Å³")


def describe_memory(dataset: Path) -> None:
    """Prints what successive frames of the training trajectories have in common.

    Three measures: ⟨ΔE ΔE′⟩/⟨ΔE²⟩ of the energies less their mean at that temperature and density,
    ⟨u·u′⟩ of the O–H directions, and the root mean square displacement of the oxygens, in Å.
    """
    frames = ase.io.read(dataset / "train.extxyz.xz", ":")
    frames = [frame for frame in frames if "trajectory" in frame.info]
    points = defaultdict(list)
    for frame in frames:
        points[frame.info["temperature"], frame.info["density"]].append(frame)
    deviations = {}
    for chosen in points.values():
        energies = np.array([frame.get_potential_energy() for frame in chosen])
        deviations.update(zip(map(id, chosen), energies - energies.mean(), strict=True))
    follow = [p for p in pairwise(frames) if len({frame.info["trajectory"] for frame in p}) == 1]
    energy = np.mean([deviations[id(one)] * deviations[id(two)] for one, two in follow])
    energy /= np.mean(np.square(list(deviations.values())))
    turned = np.mean([np.sum(_directions(one) * _directions(two), axis=-1) for one, two in follow])
    moved = np.mean([np.sum(_displacements(*pair) ** 2, axis=-1) for pair in follow])
    print(
        f"from frame to next: energies {energy:.2f}, O–H directions {turned:.2f}, "
        f"oxygens moved by {np.sqrt(moved):.2f} Å"
    )


def run_all(work: Path, processes: int, output: Path) -> None:
    """Runs every stage in its order."""
    make_starts(work, processes)
    for name in ROUNDS:
        if name == "hot":
            match(work)
        elif name in FINAL_ROUNDS:
            train(work, name)
        sample(work, name, processes)
        label(work, name, processes)
    assemble(work, output)
    stretch(output)
    check(output)
    describe_memory(output)


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


def read_labels(work: Path, name: str, split: str, folder: str = "labels") -> list[Atoms]:
    """Reads the labelled frames of one round and split."""
    return [ase.io.read(path) for path in sorted((work / name / folder).glob(f"{split}*.extxyz"))]


def final_frames(work: Path, split: str) -> list[Atoms]:
    """The labelled frames of one split, each trajectory from the round in which it did not fail."""
    frames = []
    for name in FINAL_ROUNDS:
        failed = sampling.failed_trajectories(work, name)
        frames += [f for f in read_labels(work, name, split) if f.info["trajectory"] not in failed]
    lost = sampling.failed_trajectories(work, FINAL_ROUNDS[-1])
    kept = [t for t in sampling.plan_trajectories((split,)) if t.name not in lost]
    expected = len(kept) * ROUNDS[FINAL_ROUNDS[0]].frames
    if len(frames) != expected:
        raise RuntimeError(
            f"{work}: expected {expected} labelled {split} frames, found {len(frames)}: sample and "
            f"label {' and '.join(FINAL_ROUNDS)} to the end"
        )
    return sorted(frames, key=lambda frame: frame.info["trajectory"])


def _label_file(path: Path) -> None:
    atoms = ase.io.read(path)
    atoms.calc = make_calculator()
    results = {
        "energy": round(float(atoms.get_potential_energy()), 6),
        "forces": atoms.get_forces().round(6),
        "stress": atoms.get_stress().round(8),
    }
    atoms.calc = SinglePointCalculator(atoms, **results)
    sampling.write_frame(_label_path(path), atoms)


def _force_error(atoms: Atoms, atom: int, axis: int, width: float) -> float:
    shift = np.zeros((len(atoms), 3))
    shift[atom, axis] = width / 2
    difference = _energy(atoms, shift=shift) - _energy(atoms, shift=-shift)
    return -difference / width - atoms.get_forces()[atom, axis]


def _stress_error(atoms: Atoms, i: int, j: int, width: float) -> float:
    strain = np.zeros((3, 3))
    strain[i, j] += width / 4
    strain[j, i] += width / 4
    difference = _energy(atoms, strain=strain) - _energy(atoms, strain=-strain)
    return difference / width / atoms.get_volume() - atoms.get_stress(voigt=False)[i, j]


def _energy(
    atoms: Atoms, shift: np.ndarray | float = 0.0, strain: np.ndarray | float = 0.0
) -> float:
    moved = atoms.copy()
    moved.positions += shift
    moved.set_cell(atoms.cell @ (np.eye(3) + strain), scale_atoms=True)
    moved.calc = make_calculator()
    return moved.get_potential_energy()


def _directions(atoms: Atoms) -> np.ndarray:
    molecules = atoms.positions.reshape(-1, 3, 3)
    bonds = molecules[:, 1:] - molecules[:, :1]
    return bonds / np.linalg.norm(bonds, axis=-1, keepdims=True)


def _displacements(one: Atoms, two: Atoms) -> np.ndarray:
    moved = two.positions[::3] - one.positions[::3]
    return moved - one.cell[0, 0] * np.round(moved / one.cell[0, 0])


def _label_path(frame: Path) -> Path:
    return frame.parents[2] / LABEL_FOLDERS[frame.parent.name] / frame.name


def _potential(work: Path, name: str) -> Path:
    return work / name / "run" / "sampler.equipot"


def _run_all(task: Callable, items: Sequence, processes: int, title: str) -> None:
    """Runs one task per item over processes, with a line now and then."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes) as pool:
        for done, _ in enumerate(pool.imap_unordered(task, items), start=1):
            if done % 10 == 0 or done == len(items):
                print(f"{title}: {done}/{len(items)}", flush=True)


STAGES: dict[str, Callable[[argparse.Namespace], None]] = {
    "all": lambda o: run_all(o.work, o.processes, o.output),
    "starts": lambda o: make_starts(o.work, o.processes),
    "match": lambda o: match(o.work),
    "train": lambda o: train(o.work, o.round),
    "sample": lambda o: sample(o.work, o.round, o.processes),
    "label": lambda o: label(o.work, o.round, o.processes),
    "assemble": lambda o: assemble(o.work, o.output),
    "stretch": lambda o: stretch(o.output),
    "check": lambda o: (check(o.output), describe_memory(o.output)),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line and runs one stage, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--round", choices=ROUNDS, help="for train, sample and label")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of what is in the making")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", type=Path, default=DATASET, help="folder of the dataset")
    options = parser.parse_args(arguments)
    if options.stage in ("train", "sample", "label") and options.round is None:
        parser.error(f"{options.stage} needs --round, one of {', '.join(ROUNDS)}")
    STAGES[options.stage](options)


if __name__ == "__main__":
    main()
