"""Times published potentials beside the programs that wrote them: energy, forces and stress.

    .venv-foundation/bin/python -m scripts.benchmark foundation --atoms 96 960
    .venv-mace/bin/python -m scripts.benchmark foundation --atoms 96 960

Everything goes through ASE's calculators, neighbor search included: atoms of a distorted crystal of
silica move a little before each call, as in dynamics. The programs take turns. Needs nequix and
sevenn beside equipot (``make .venv-foundation/.made``), files of Nequix in ``$EQUIPOT_FOUNDATION``;
or mace-torch (``make .venv-mace/.made``), of which a model of random weights is timed that is as
large as MACE-MP-0 small. What is not there is left out.
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
      trust: Whether the file may run code when it is opened.
    """

    name: str
    path: Path
    program: str
    load: Callable[[Path], Calculator]
    trust: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--atoms", type=int, nargs="+", default=[96, 960], help="about so many")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--models", nargs="+", help="names; by default all that are here")


def run(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Prints and returns the seconds of each program for each size."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for model in models(Path(folder)):
            if arguments.models and model.name not in arguments.models:
                continue
            for count in arguments.atoms:
                rows.append(compare(model, silica(count), arguments.repeats))
                print(report(rows[-1]), flush=True)
    return rows


def models(folder: Path) -> list[Model]:
    """The potentials that are here, with their programs; one that is made lies in the folder."""
    found = []
    nequix = _FOLDER / "nequix" / "nequix-mp-1.nqx"
    if importlib.util.find_spec("nequix") and nequix.is_file():
        found.append(Model(name="nequix-mp-1", path=nequix, program="nequix", load=_nequix))
    spec = importlib.util.find_spec("sevenn")
    if spec and spec.origin:
        packages = Path(spec.origin).parents[1]
        rows = [known.find(name) for name in _SEVENNET]
        found += [
            Model(name=r.name, path=packages / str(r.member), program="sevenn", load=_sevennet)
            for r in rows
        ]
    if importlib.util.find_spec("mace"):
        path = random_mace(folder / "mace-small-random.model")
        found.append(Model(name=path.stem, path=path, program="mace-torch", load=_mace, trust=True))
    return found


def random_mace(path: Path) -> Path:
    """Writes a model of mace-torch with random weights, as large as MACE-MP-0 small.

    Its sizes are those of Batatia et al. 2023, arXiv:2401.00096: 128 channels of scalars as
    messages, harmonics to degree 3, correlation 3, two layers, cutoff 6 Å, 89 elements.
    """
    torch: Any = importlib.import_module("torch")
    modules: Any = importlib.import_module("mace.modules")
    o3: Any = importlib.import_module("e3nn.o3")
    torch.manual_seed(0)
    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    model = modules.ScaleShiftMACE(
        r_max=6.0,
        num_bessel=10,
        num_polynomial_cutoff=5,
        max_ell=3,
        interaction_cls=block,
        interaction_cls_first=block,
        num_interactions=2,
        num_elements=89,
        hidden_irreps=o3.Irreps("128x0e"),
        MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=np.zeros(89),
        avg_num_neighbors=60.0,
        atomic_numbers=list(range(1, 90)),
        correlation=3,
        gate=torch.nn.functional.silu,
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
    )
    torch.save(model, path)
    return path


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
        artefact.save(path, conversion.convert(model.path, trust=model.trust).potential)
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


def _mace(path: Path) -> Calculator:
    module: Any = importlib.import_module("mace.calculators")
    return module.MACECalculator(model_paths=str(path), device="cpu", default_dtype="float32")
