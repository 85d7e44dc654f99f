"""Kills a small training at random moments, goes on, and compares it with one left alone.

    python -m scripts.kill_runs --kills 60 --seed 1 --log kills.jsonl
    python -m scripts.kill_runs --signals --log signals.jsonl
    python -m scripts.kill_runs --kills 30 --log kills.jsonl --set trainer.batch_size=2 model=mace

Each line of the log is one kill: the phase aimed at, what was seen there, and, once the run has
been finished by the same command, whether all of it is the same bits. With ``--signals`` it is one
signal in one phase, with the seconds to the end. Given again, the command goes on where it was.
Exits with 1 if anything differed, was torn or took too long.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator

NUM_STEPS = 60
SETTINGS = (
    "name=small",
    "data.num_valid=8",
    "data.num_test=8",
    "model.num_layers=1",
    "model.lmax=0",
    "model.num_channels=2",
    "model.radial_widths=[4]",
    "model.cutoff=5.0",
    "trainer.batch_size=1",
    f"trainer.num_steps={NUM_STEPS}",
    "trainer.valid_every=10",
    "trainer.checkpoint_every=5",
    "trainer.log_every=5",
    "trainer.num_devices=1",
)
PROGRAM = (sys.executable, "-c", "from equipot.cli.train import main; main()")
SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1")
KILLS_PER_RUN = 4  # each but the last is followed by another, in the same folder
PATIENCE = 600.0  # seconds until a training that shows nothing counts as hanging
LIMIT = 10.0  # seconds that a signal may take
CLOCKS = ("seconds", "structures_per_second", "waiting")


class Watched:
    """A training that was started, and what can be seen of it from outside.

    Attributes:
      run: Its folder.
      process: The process.
      age: Seconds since it was started.
      extra: Settings of all trainings besides the usual ones, which they replace.
    """

    extra: tuple[str, ...] = ()

    def __init__(self, work: Path, run: Path, programs: Path) -> None:
        """Starts it; compiled programs are kept in ``programs``."""
        self.run, self._began = run, time.time()
        data = f"data.train={work / 'small.extxyz'}"
        environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(programs)}
        with run.with_suffix(".output").open("a") as output:
            self.process = subprocess.Popen(
                [*PROGRAM, data, *_replaced(SETTINGS, self.extra), f"run_dir={run}"],
                cwd=work,
                env=environment,
                stdout=output,
                stderr=output,
            )

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.time() - self._began

    def is_reading(self) -> bool:
        """Whether Python has had time to start."""
        return self.age > 1.0

    def is_compiling(self) -> bool:
        """Whether its first checkpoint is there, or the one it goes on from."""
        return self._has_begun() and self._is_new("train.log") and bool(self._steps())

    def is_stepping(self) -> bool:
        """Whether it has taken steps."""
        return self._is_new("metrics.jsonl") and len(self._lines()) > 1

    def is_saving(self) -> bool:
        """Whether a checkpoint behind step 0 is half-written that this process began."""
        for unfinished in (self.run / "checkpoints").glob("[1-9]*.orbax-checkpoint-tmp"):
            with contextlib.suppress(FileNotFoundError):
                if unfinished.stat().st_mtime > self._began:
                    return True
        return False

    def is_validating(self) -> bool:
        """Whether the line of the step before a validation was written."""
        lines = self._lines()
        return self._is_new("metrics.jsonl") and bool(lines) and lines[-1].get("step", 0) % 10 == 5

    def is_exporting(self) -> bool:
        """Whether it has taken the last step."""
        return self._is_new("checkpoints") and NUM_STEPS in self._steps()

    def is_measuring(self) -> bool:
        """Whether it has written the potential."""
        return self._is_new("small.equipot")

    def is_drawing(self) -> bool:
        """Whether it has begun to draw."""
        return self._is_new("plots/parity.png") or any((self.run / "plots").glob(".draft-*"))

    def _has_begun(self) -> bool:
        log = self.run / "train.log"
        return log.exists() and log.stat().st_size > 0

    def _is_new(self, name: str) -> bool:
        try:
            return (self.run / name).stat().st_mtime > self._began
        except FileNotFoundError:
            return False

    def _steps(self) -> list[int]:
        return [int(p.name) for p in (self.run / "checkpoints").glob("*") if p.name.isdecimal()]

    def _lines(self) -> list[dict[str, Any]]:
        return read_lines(self.run / "metrics.jsonl")


def _replaced(settings: Sequence[str], extra: Sequence[str]) -> list[str]:
    keys = {word.split("=")[0] for word in extra}
    return [*(word for word in settings if word.split("=")[0] not in keys), *extra]


PHASES: dict[str, Callable[[Watched], bool]] = {
    "start": lambda _: True,
    "reading": Watched.is_reading,
    "compilation": Watched.is_compiling,
    "steps": Watched.is_stepping,
    "checkpoint": Watched.is_saving,
    "validation": Watched.is_validating,
    "export": Watched.is_exporting,
    "final evaluation": Watched.is_measuring,
    "pictures": Watched.is_drawing,
    "any time": lambda _: True,
}
# How long after its beginning a phase is hit, at most, in seconds.
SPREAD = {
    "any time": 15.0,
    "start": 2.0,
    "reading": 3.0,
    "compilation": 3.0,
    "final evaluation": 1.5,
}


def main() -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--signals", action="store_true", help="each signal in each phase")
    parser.add_argument("--only", nargs="+", choices=PHASES, default=list(PHASES))
    parser.add_argument("--send", nargs="+", choices=SIGNALS, default=list(SIGNALS))
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="of the trainings"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/kills"))
    options = parser.parse_args()
    Watched.extra = tuple(options.set)
    # Some are ignored below nohup or in the background, which a training would inherit.
    for number in SIGNALS:
        signal.signal(getattr(signal, number), signal.SIG_DFL)
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    write_data(work / "small.extxyz")
    reference = finished_reference(work)
    done = read_lines(options.log)
    with options.log.open("a", encoding="utf-8") as log:
        attempts = (
            send_signals(work, reference, options, done)
            if options.signals
            else kill(work, reference, options, done)
        )
        for line in attempts:
            done.append(line)
            log.write(json.dumps(line) + "\n")
            log.flush()
            print(line, flush=True)
    bad = [line for line in done if line["verdict"] != "same"]
    late = sum(not line["hit"] for line in done)
    print(f"{len(done) - len(bad)} of {len(done)} good; {late} came after the end of the run")
    return int(bool(bad))


def kill(
    work: Path, reference: Path, options: argparse.Namespace, done: Sequence[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """SIGKILL at random moments; each run is killed a few times, finished and compared."""
    for number in range(-(-options.kills // KILLS_PER_RUN)):
        first = number * KILLS_PER_RUN
        count = min(KILLS_PER_RUN, options.kills - first)
        if sum((line["seed"], line["run"]) == (options.seed, number) for line in done) >= count:
            continue
        rng = random.Random(f"{options.seed} {number}")
        aims = [options.only[(first + i) % len(options.only)] for i in range(count)]
        run = new_run(work / f"killed-{options.seed}-{number}")
        lines = []
        for phase in sorted(aims, key=list(PHASES).index):
            watched = Watched(work, run, programs_for(work, run, phase))
            hit = wait_for(watched, phase, rng.random() * SPREAD.get(phase, 0.3))
            age = watched.age
            watched.process.kill()
            watched.process.wait()
            seen = {"hit": hit, "after": round(age, 2)}
            lines.append({"seed": options.seed, "run": number, "phase": phase, **seen})
        verdict = finish_and_compare(work, run, reference)
        yield from ({**line, "verdict": verdict} for line in lines)


def send_signals(
    work: Path, reference: Path, options: argparse.Namespace, done: Sequence[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Every signal in every phase; the run that was stopped is finished and compared."""
    known = {(line["signal"], line["phase"]) for line in done}
    for name in options.send:
        aims = [p for p in PHASES if p in options.only and (name, p) not in known]
        if not aims:
            continue
        run = new_run(work / f"stopped-{name}")
        lines = []
        for phase in aims:
            watched = Watched(work, run, programs_for(work, run, phase))
            hit = wait_for(watched, phase, 0.0)
            sent = time.monotonic()
            watched.process.send_signal(getattr(signal, name))
            code = watched.process.wait(PATIENCE)
            seconds = round(time.monotonic() - sent, 2)
            ends = {"hit": hit, "code": code, "seconds": seconds}
            lines.append({"signal": name, "phase": phase, **ends})
        verdict = finish_and_compare(work, run, reference)
        for line in lines:
            late = line["seconds"] > LIMIT
            yield {**line, "verdict": "too late" if late else verdict}


def wait_for(watched: Watched, phase: str, delay: float) -> bool:
    """Waits for a phase and then for a while; whether the process was still there."""
    while not PHASES[phase](watched):
        if watched.process.poll() is not None:
            return False
        if watched.age > PATIENCE:
            raise SystemExit(f"{watched.run}: nothing of '{phase}' was seen in {PATIENCE:.0f} s")
        time.sleep(0.0005)
    time.sleep(delay)
    return watched.process.poll() is None


def programs_for(work: Path, run: Path, phase: str) -> Path:
    """The folder of compiled programs: an empty one where compilation itself is to be hit."""
    if phase != "compilation":
        return work / "programs"
    shutil.rmtree(run.with_suffix(".programs"), ignore_errors=True)
    return run.with_suffix(".programs")


def finish_and_compare(work: Path, run: Path, reference: Path) -> str:
    """Gives the same command once more; ``same``, or what is wrong with the run."""
    watched = Watched(work, run, work / "programs")
    if watched.process.wait(PATIENCE) != 0:
        return f"failed: {run.with_suffix('.output').read_text().splitlines()[-1:]}"
    expected = fingerprint(reference)
    try:
        found = fingerprint(run)
    except Exception as torn:
        return f"torn: {type(torn).__name__}: {torn}"
    wrong = [name for name in expected if found.get(name) != expected[name]]
    wrong += [name for name in found if name not in expected]
    if wrong:
        return f"differs: {wrong}"
    for leftover in run.parent.glob(f"{run.name}.*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    shutil.rmtree(run)
    return "same"


def fingerprint(run: Path) -> dict[str, Any]:
    """All that must not depend on kills, by name, and the names of all files."""
    from equipot.potential import artefact
    from equipot.training import checkpoint_meta

    potential = artefact.load(run / "small.equipot")
    metrics = json.loads((run / "metrics.json").read_text())
    names = {p.relative_to(run).as_posix() for p in run.rglob("*")}
    # Names inside of a checkpoint are drawn at random by the library that writes it.
    names = {name for name in names if name.count("/") < 2}
    found: dict[str, Any] = {
        "files": sorted(names),
        "spec": repr(potential.spec),
        "params": checkpoint_meta.digest(potential.params),
        "distances": repr(potential.distance_range),
        "metrics.json": {k: v for k, v in metrics.items() if k not in CLOCKS},
        "errors.txt": (run / "errors.txt").read_text(),
        "metrics.jsonl": without_clocks(read_lines(run / "metrics.jsonl")),
        "metrics.csv": len((run / "metrics.csv").read_text().splitlines()),
        "train.log": [line.split("  loss")[0] for line in log_of_steps(run)],
    }
    for step in (run / "checkpoints").iterdir():
        for part in ("params", "ema", "opt"):
            found[f"checkpoint {step.name} {part}"] = digests(step)[part]
    for picture in ("parity", "errors", "learning_curve"):
        drawn = (run / "plots" / f"{picture}.png").read_bytes()
        found[picture] = hashlib.sha256(drawn).hexdigest()
    return found


def digests(checkpoint: Path) -> dict[str, str]:
    """Reads a checkpoint, which compares it with its digests, and gives these."""
    from orbax.checkpoint import v1 as ocp

    from equipot.training import checkpoint_meta

    with ocp.training.Checkpointer(str(checkpoint.parent.absolute())) as saved:
        parts = saved.load_checkpointables(int(checkpoint.name))
    meta = checkpoint_meta.from_strings(parts["meta"], int(checkpoint.name))
    return dict(meta.digests)


def log_of_steps(run: Path) -> list[str]:
    """Lines of train.log on validations."""
    return [x for x in (run / "train.log").read_text().splitlines() if x.startswith("step ")]


def without_clocks(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lines of metrics without what depends on the clock."""
    return [{k: v for k, v in line.items() if k not in CLOCKS} for line in lines]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Complete lines of JSON; none where there is no file."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def finished_reference(work: Path) -> Path:
    """The run that is left alone; made once for each folder of work."""
    run = work / "reference"
    code = Watched(work, run, work / "programs").process.wait(PATIENCE)
    if code:
        raise SystemExit(f"{run}: failed, see {run.with_suffix('.output')}")
    return run


def new_run(run: Path) -> Path:
    """Clears away what an earlier, unfinished attempt left."""
    shutil.rmtree(run, ignore_errors=True)
    run.with_suffix(".output").unlink(missing_ok=True)
    return run


def write_data(path: Path) -> None:
    """Forty clusters of four atoms, labelled with a Lennard-Jones potential."""
    rng = np.random.default_rng(0)
    base = 3.6 * np.array(list(np.ndindex(2, 2, 1)), float)
    frames = []
    for _ in range(40):
        atoms = ase.Atoms("Ar2Kr2", base + rng.normal(0.0, 0.15, (4, 3)))
        atoms.calc = LennardJones(sigma=3.3, epsilon=0.01, rc=9.0)
        labels = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        atoms.calc = SinglePointCalculator(atoms, **labels)
        frames.append(atoms)
    ase.io.write(path, frames)


if __name__ == "__main__":
    sys.exit(main())
