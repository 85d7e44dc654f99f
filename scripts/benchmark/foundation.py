"""Times published potentials beside the programs that wrote them: energy, forces and stress.

    .venv-foundation/bin/python -m scripts.benchmark foundation --atoms 96 960

Everything goes through ASE's calculators, neighbor search included: atoms of a distorted crystal of
silica move a little before each call, as in dynamics. The programs take turns. Needs nequix and
sevenn beside equipot (``make .venv-foundation/.made``), files of Nequix in ``$EQUIPOT_FOUNDATION``;
what is not there is left out.
"""

import argparse
import dataclasses
import importlib
import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ase.build
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.spacegroup import crystal

from equipot import EquipotCalculator
from equipot.convert import conversion
from equipot.potential import artefact, known

_FOLDER = Path(os.environ.get("EQUIPOT_FOUNDATION", "../shared/foundation"))
_SEVENNET = ("sevennet-0", "sevennet-l3i5")
_MOVE = 0.01  # Å, in each direction before each call


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A published potential.

    Attributes:
      name: Its name.
      path: Its file.
      program: Who else runs it.
      load: What gives the calculator of that program.
    """

    name: str
    path: Path
    program: str
    load: Callable[[Path], Calculator]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--atoms", type=int, nargs="+", default=[96, 960], help="about so many")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--models", nargs="+", help="names; by default all that are here")


def run(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Prints and returns the seconds of each program for each size."""
    rows = []
    for model in models():
        if arguments.models and model.name not in arguments.models:
            continue
        for count in arguments.atoms:
            rows.append(compare(model, silica(count), arguments.repeats))
            print(report(rows[-1]), flush=True)
    return rows


def models() -> list[Model]:
    """The published potentials that are here, with their programs."""
    found = []
    nequix = _FOLDER / "nequix" / "nequix-mp-1.nqx"
    if importlib.util.find_spec("nequix") and nequix.is_file():
        found.append(Model(name="nequix-mp-1", path=nequix, program="nequix", load=_nequix))
    spec = importlib.util.find_spec("sevenn")
    if spec and spec.origin:
        folder = Path(spec.origin).parents[1]
        rows = [known.find(name) for name in _SEVENNET]
        found += [
            Model(name=r.name, path=folder / str(r.member), program="sevenn", load=_sevennet)
            for r in rows
        ]
    return found


def silica(count: int) -> Atoms:
    """A distorted supercell of cristobalite of about so many atoms."""
    unit = crystal(
        ("Si", "O"),
        [(0.3003, 0.3003, 0.0), (0.2392, 0.1044, 0.1787)],
        spacegroup=92,
        cellpar=[4.97, 4.97, 6.93, 90, 90, 90],
    )
    side = round((count / len(unit)) ** (1 / 3))
    repeats = [side, side, max(1, round(count / len(unit) / side**2))]
    atoms = ase.build.make_supercell(unit, np.diag(repeats))
    atoms.rattle(0.05, seed=0)
    return atoms


def compare(model: Model, atoms: Atoms, repeats: int) -> dict[str, Any]:
    """Times both in turns, after calls to compile; they must agree first."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{model.name}{artefact.SUFFIX}"
        artefact.save(path, conversion.convert(model.path, trust=False).potential)
        calculators = {"equipot": EquipotCalculator(path), model.program: model.load(model.path)}
        first = {name: _seconds(atoms, calc) for name, calc in calculators.items()}
    forces = [calc.results["forces"] for calc in calculators.values()]
    if np.abs(forces[0] - forces[1]).max() > 1e-3:
        raise AssertionError(f"{model.name}: expected equal forces of both programs")
    times: Mapping[str, list[float]] = {name: [] for name in calculators}
    rng = np.random.default_rng(1)
    for _ in range(repeats):
        atoms.positions += rng.uniform(-_MOVE, _MOVE, atoms.positions.shape)
        for name, calculator in calculators.items():
            times[name].append(_seconds(atoms, calculator))
    return {"model": model.name, "atoms": len(atoms), "first": first, "seconds": times}


def report(row: Mapping[str, Any]) -> str:
    """One line: medians with extremes, the ratio, and the first calls."""
    times: Mapping[str, Sequence[float]] = row["seconds"]
    medians = {name: statistics.median(values) for name, values in times.items()}
    ours, theirs = medians.values()
    parts = [
        f"{name} {medians[name]:.3f} s ({min(values):.3f}–{max(values):.3f}), first call"
        f" {row['first'][name]:.1f} s"
        for name, values in times.items()
    ]
    return f"{row['model']:14s} {row['atoms']:5d} atoms  {';  '.join(parts)};  ×{theirs / ours:.1f}"


def _seconds(atoms: Atoms, calculator: Calculator) -> float:
    start = time.perf_counter()
    calculator.calculate(atoms, ["energy", "forces", "stress"])
    return time.perf_counter() - start


def _nequix(path: Path) -> Calculator:
    module: Any = importlib.import_module("nequix.calculator")
    return module.NequixCalculator(model_path=str(path), use_kernel=False)


def _sevennet(path: Path) -> Calculator:
    module: Any = importlib.import_module("sevenn.calculator")
    return module.SevenNetCalculator(str(path), device="cpu")
