"""Trains mace-torch and nequip on the sets of the training benchmark, with settings of their own.

Each runs in an environment of its own, `.venv-mace` and `.venv-nequip` (`make reference` makes
them) or the folders that `$EQUIPOT_PEERS_MACE` and `$EQUIPOT_PEERS_NEQUIP` name, on the same splits
and with the same energies of atoms. The minutes are those of their epochs: what they take to begin
and to end is not counted. A run that is there is not made again.

    python -m scripts.benchmark peer_training --sets ethanol water --minutes 20 --jobs 2
"""

import argparse
import csv
import dataclasses
import datetime
import itertools
import json
import math
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
import yaml

from equipot import files
from equipot.data import dataset as datasets
from equipot.data import structure
from equipot.data.dataset import Dataset
from equipot.potential import references
from equipot.training.config import TrainConfig
from scripts.benchmark import recipes, runs

_ROOT = Path(__file__).parents[2]
_SETTINGS = _ROOT / "scripts" / "peers"
_EPOCH = re.compile(r"^(\S+ \S+) INFO: Epoch (\d+): ", re.MULTILINE)
_STAGE_TWO = 4  # epochs that are worth two stages
_PROBED = 10  # one structure in so many is in the epochs that are timed


@dataclasses.dataclass(frozen=True)
class Job:
    """One training of another program.

    Attributes:
      program: Its name.
      set: Of the data.
      minutes: Of its epochs.
      folder: Where the data are, and where it works.
      python: Folder of the programs of its environment.
      config: What equipot would train with: data and cutoff.
    """

    program: str
    set: str
    minutes: float
    folder: Path
    python: Path
    config: TrainConfig

    def call(self, words: Sequence[str], core: int | None, log: str) -> None:
        """Runs one program of the environment in the folder; what it says goes to a file there.

        Raises:
          RuntimeError: It failed.
        """
        threads = "1" if core is not None else str(len(os.sched_getaffinity(0)))
        settings = {"OMP_NUM_THREADS": threads, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
        prefix = ["taskset", "-c", str(core)] if core is not None else []
        with (self.folder / log).open("w") as said:
            code = subprocess.run(
                [*prefix, str(self.python / words[0]), *words[1:]],
                cwd=self.folder,
                env={**os.environ, **settings},
                stdout=said,
                stderr=said,
                check=False,
            ).returncode
        if code:
            raise RuntimeError(f"{self.folder / log}: {words[0]} ended with code {code}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--sets", nargs="+", default=["water"], choices=recipes.SETS)
    parser.add_argument("--programs", nargs="+", default=list(PROGRAMS), choices=PROGRAMS)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, each on one core if 2")
    parser.add_argument("--test", action="store_true", help="read the errors of the test split")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmark"))


def run(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Trains what is missing; gives the errors of all that was asked for."""
    asked = list(itertools.product(arguments.sets, arguments.programs))
    place = arguments.output / f"{arguments.minutes:g}min"

    def one(each: tuple[str, str], core: int | None) -> dict[str, Any]:
        name, program = each
        folder = (place / name / program).resolve()
        job = Job(
            program,
            name,
            arguments.minutes,
            folder,
            _environment(program),
            runs.configured(recipes.SETS[name]),
        )
        try:
            return train(job, core, with_test=arguments.test)
        except RuntimeError as error:  # the others are trained all the same
            return {"set": name, "program": program, "failed": str(error)}

    results = []
    for result in runs.spread(one, asked, arguments.jobs):
        results.append(result)
        print(json.dumps(result), flush=True)
    return results


def _environment(program: str) -> Path:
    named = os.environ.get(f"EQUIPOT_PEERS_{program.upper()}")
    return Path(named or _ROOT / f".venv-{program}").resolve() / "bin"


def train(job: Job, core: int | None, *, with_test: bool) -> dict[str, Any]:
    """Trains, or finds that it is done, and reads what was found.

    Args:
      job: The training.
      core: The one that it is to keep to; none for all.
      with_test: Whether to give the errors of the test split.
    """
    done = job.folder / "errors.json"
    if not done.exists():
        job.folder.mkdir(parents=True, exist_ok=True)
        data = datasets.read_dataset(job.config.data)
        energies = energies_of_atoms(data, job.config)
        with_stress = job.program != "nequip" or _all_have_stress(data)
        write_splits(data.splits, job.folder, with_stress=with_stress)
        files.write(done, json.dumps(PROGRAMS[job.program](job, data, energies, core), indent=1))
    found = json.loads(done.read_text(encoding="utf-8"))
    facts = {"set": job.set, "program": job.program, "minutes": job.minutes}
    return {**facts, **{k: v for k, v in found.items() if with_test or k != "test"}}


def energies_of_atoms(data: Dataset, config: TrainConfig) -> dict[str, float]:
    """Energy of each element in eV, as equipot has it: of isolated atoms, or by least squares."""
    table = structure.elements(data.train)
    found = references.compute_references(data.train, table, data.isolated_atoms, config.potential)
    symbols = [structure.symbol(z) for z in table]
    energies = found.atomic_energies + found.shift
    return dict(zip(symbols, map(float, energies), strict=True))


def write_splits(
    splits: Mapping[str, Sequence[structure.Structure]],
    folder: Path,
    prefix: str = "",
    *,
    with_stress: bool = True,
) -> None:
    """Writes extended xyz in eV and Å, with labels under names that begin with ``REF_``."""
    for name, structures in splits.items():
        frames = []
        for s in structures:
            atoms = ase.Atoms(s.atomic_numbers, s.positions, cell=s.cell, pbc=s.pbc)
            atoms.info["REF_energy"] = s.energy
            atoms.arrays["REF_forces"] = s.forces
            if s.stress_weight and with_stress:
                atoms.info["REF_stress"] = s.stress.ravel()
            frames.append(atoms)
        if frames:
            ase.io.write(folder / f"{prefix}{name}.xyz", frames, format="extxyz")


def train_mace(
    job: Job, data: Dataset, energies: Mapping[str, float], core: int | None
) -> dict[str, Any]:
    """Times epochs of a tenth, then trains as many as the minutes hold, a quarter as stage two."""
    numbers = {str(structure.atomic_number(symbol)): e for symbol, e in energies.items()}
    files.write(job.folder / "energies.json", json.dumps(numbers))
    settings: dict[str, Any] = yaml.safe_load((_SETTINGS / "mace.yaml").read_text(encoding="utf-8"))
    settings |= {
        "train_file": "train.xyz",
        "valid_file": "valid.xyz",
        "E0s": "energies.json",
        "atomic_numbers": str([int(number) for number in numbers]),
        "r_max": job.config.model["cutoff"],
        "batch_size": _batch(job.set),
        "valid_batch_size": 10,
    }
    if _has_stress(data):
        settings |= {
            "loss": "universal",
            "compute_stress": True,
            "error_table": "PerAtomMAEstressvirials",
        }
        settings |= {"energy_weight": 1.0, "forces_weight": 10.0, "stress_weight": 100.0}
    else:
        settings |= {"energy_weight": 1.0, "forces_weight": 100.0}

    def epochs(name: str, count: int, **files_of_probe: str) -> None:
        own = {**settings, "name": name, "max_num_epochs": count, "work_dir": name}
        own |= files_of_probe
        if count >= _STAGE_TWO:
            own |= {"swa": True, "start_swa": count - count // 4}
        files.write(job.folder / f"{name}.yaml", yaml.safe_dump(own))
        job.call(["mace_run_train", "--config", f"{name}.yaml"], core, f"{name}.output")

    probe = {split: data.splits[split][::_PROBED] for split in ("train", "valid")}
    write_splits(probe, job.folder, "probe_")
    epochs("probe", 3, train_file="probe_train.xyz", valid_file="probe_valid.xyz")
    logs = (job.folder / "probe" / "logs").glob("*.log")
    pace = seconds_of_an_epoch(path.read_text(encoding="utf-8") for path in logs)
    pace *= _atoms(data.train) / _atoms(probe["train"])
    count = max(1, int(60 * job.minutes / pace))
    epochs("run", count)
    model = next(
        path
        for name in ("run_stagetwo.model", "run.model")
        if (path := job.folder / "run" / name).exists()
    )
    found: dict[str, Any] = {"epochs": count, "seconds_of_an_epoch": pace}
    for split in ("valid", "test"):
        if data.splits[split]:
            words = ["--configs", f"{split}.xyz", "--model", str(model), "--device", "cpu"]
            words += ["--default_dtype", "float32", "--batch_size", "10"]
            output = job.folder / f"{split}_predicted.xyz"
            words += ["--output", str(output)]
            job.call(["mace_eval_configs", *words], core, f"{split}.output")
            found[split] = errors(data.splits[split], ase.io.read(output, ":", format="extxyz"))
    return found


def seconds_of_an_epoch(logs: Iterable[str]) -> float:
    """From the times at which mace-torch has ended its epochs, those of all but the first.

    Args:
      logs: Texts of its log and of its detailed log, which have the same lines.
    """
    found = sorted({(int(epoch), text) for log in logs for text, epoch in _EPOCH.findall(log)})
    times = [datetime.datetime.fromisoformat(text) for _, text in found[min(1, len(found) - 2) :]]
    return (times[-1] - times[0]).total_seconds() / (len(times) - 1)


def errors(structures: Sequence[structure.Structure], frames: Any) -> dict[str, Any]:
    """MAE and RMSE of energies per atom and of force components that mace-torch has written."""
    energies = [
        (atoms.info["MACE_energy"] - s.energy) / len(atoms)
        for s, atoms in zip(structures, frames, strict=True)
    ]
    forces = [
        atoms.arrays["MACE_forces"] - s.forces for s, atoms in zip(structures, frames, strict=True)
    ]
    return {
        "energy": _measures(np.asarray(energies)),
        "forces": _measures(np.concatenate(forces)),
    }


def _measures(differences: np.ndarray) -> dict[str, float]:
    return {
        "mae": float(np.abs(differences).mean()),
        "rmse": math.sqrt(float(np.square(differences).mean())),
    }


def train_nequip(
    job: Job, data: Dataset, energies: Mapping[str, float], core: int | None
) -> dict[str, Any]:
    """Trains for the minutes; its own metrics of the best epoch."""
    listed = ",".join(f"{symbol}:{value!r}" for symbol, value in energies.items())
    days, rest = divmod(round(60 * job.minutes), 86400)
    time = f"{days:02}:{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    words = [
        "nequip-train",
        "-cp",
        str(_SETTINGS),
        "-cn",
        "nequip",
        f"chemical_symbols=[{','.join(energies)}]",
        f"cutoff_radius={job.config.model['cutoff']}",
        f"energies_of_atoms={{{listed}}}",
        f"time='{time}'",
        f"data.train_dataloader.batch_size={_batch(job.set)}",
        "hydra.run.dir=.",
    ]
    if _all_have_stress(data):
        words += [
            "training_module.loss._target_=nequip.train.EnergyForceStressLoss",
            "+training_module.loss.coeffs.stress=100",
            "training_module.val_metrics._target_=nequip.train.EnergyForceStressMetrics",
            "+training_module.val_metrics.coeffs.stress_mae=null",
        ]
    if not data.test:
        words += ["run=[train,val]", "~data.test_file_path", "~data.test_dataloader"]
    job.call(words, core, "run.output")
    rows = list(csv.DictReader((job.folder / "log" / "metrics.csv").open(encoding="utf-8")))
    steps = max(int(row["step"]) for row in rows if row["step"])
    found: dict[str, Any] = {"steps": steps}
    for split, prefix in (("valid", "val0"), ("test", "test0")):
        if data.splits[split]:
            found[split] = {
                name: {
                    measure: _last(rows, f"{prefix}_epoch/{key}_{measure}")
                    for measure in ("mae", "rmse")
                }
                for name, key in (("energy", "per_atom_energy"), ("forces", "forces"))
            }
    return found


def _last(rows: Sequence[Mapping[str, str]], key: str) -> float:
    return float([row[key] for row in rows if row.get(key)][-1])


def _atoms(structures: Sequence[structure.Structure]) -> int:
    return sum(len(s.positions) for s in structures)


def _has_stress(data: Dataset) -> bool:
    return any(s.stress_weight > 0 for s in data.train)


def _all_have_stress(data: Dataset) -> bool:
    """Whether nequip can be told of stresses: it batches no structure that has one with another."""
    return all(s.stress_weight > 0 for split in data.splits.values() for s in split)


def _batch(name: str) -> int:
    """Structures of a batch: one of a liquid, five of what is smaller."""
    return 1 if name.startswith("water") or name == "si" else 5


PROGRAMS: Mapping[
    str, Callable[[Job, Dataset, Mapping[str, float], int | None], dict[str, Any]]
] = {"mace": train_mace, "nequip": train_nequip}
"""By name."""
