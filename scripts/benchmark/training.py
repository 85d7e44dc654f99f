"""Trains each recipe on each set for some minutes, and compares errors of validation.

Every run is an `equipot-train` of its own, in a folder of its own: one that is finished is not made
again, one that was killed is resumed, and a folder that another recipe of the same name has made is
refused. Errors of the test split are read with `--test` alone. With `--halving` all recipes run
first; the better half of them is trained anew for twice the minutes, until one is left.

    python -m scripts.benchmark training --sets ethanol --recipes default soap --minutes 5
    python -m scripts.benchmark training --sets ethanol water mptrj --halving --minutes 5 --jobs 2
"""

import argparse
import dataclasses
import itertools
import json
import math
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from equipot import files
from scripts.benchmark import recipes, training_plot
from scripts.benchmark import runs as training_runs

_PROGRAM = "import os; {pin}from equipot.cli import train; train.main()"


@dataclasses.dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
      set: Name of the data.
      recipe: Name of the settings.
      seed: Of parameters and order.
      minutes: Time of the training.
    """

    set: str
    recipe: str
    seed: int
    minutes: float

    def folder(self, output: Path) -> Path:
        """Where it is."""
        return output / f"{self.minutes:g}min" / self.set / self.recipe / f"seed{self.seed}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--sets", nargs="+", default=["water"], choices=recipes.SETS)
    parser.add_argument("--recipes", nargs="+", default=None, help="names; by default all")
    parser.add_argument(
        "--also", action="append", default=[], metavar="NAME=OVERRIDES", help="one more recipe"
    )
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, each on one core if 2")
    parser.add_argument("--halving", action="store_true", help="train the better half anew, longer")
    parser.add_argument("--test", action="store_true", help="read the errors of the test split")
    parser.add_argument("--tiny", action="store_true", help="few frames, a small model: a trial")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmark"))


def run(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Runs what is missing; gives what all runs that were asked for have found."""
    table = {**recipes.RECIPES, **dict(map(_recipe, arguments.also))}
    names = arguments.recipes or list(table)
    if unknown := [name for name in names if name not in table]:
        raise SystemExit(f"--recipes: unknown {unknown[0]!r}. Known: {', '.join(table)}")
    minutes, found = arguments.minutes, []
    while True:
        asked = itertools.product(arguments.sets, names, arguments.seeds)
        runs = [Run(*each, minutes) for each in asked]
        results = _all(runs, table, arguments)
        found += results
        _write(arguments.output, found)
        if not arguments.halving or len(names) == 1:
            return found
        names, minutes = better_half(results, names), 2 * minutes
        print(f"Anew for {minutes:g} minutes: {', '.join(names)}")


def _recipe(words: str) -> tuple[str, Sequence[str]]:
    """``name=key=value key=value``, quoted as in a shell."""
    name, _, overrides = words.partition("=")
    return name, shlex.split(overrides)


def _all(
    runs: Sequence[Run], table: Mapping[str, Sequence[str]], arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    """The results of some runs, each said as soon as it is there."""

    def one(run: Run, core: int | None) -> dict[str, Any]:
        return train(run, table[run.recipe], core, arguments)

    results = []
    for result in training_runs.spread(one, runs, arguments.jobs):
        results.append(result)
        print(_line(result), flush=True)
    return results


def train(
    run: Run, overrides: Sequence[str], core: int | None, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Trains, or finds that it is done, and reads what was found.

    Args:
      run: The run.
      overrides: Its recipe.
      core: The one that it is to keep to; none for all.
      arguments: The command line.
    """
    folder = run.folder(arguments.output)
    words = [*command(run, overrides, folder, arguments.tiny)]
    result = {**dataclasses.asdict(run), "overrides": words}
    folder.parent.mkdir(parents=True, exist_ok=True)
    pin = "" if core is None else f"os.sched_setaffinity(0, {{{core}}}); "
    program = [sys.executable, "-c", _PROGRAM.format(pin=pin), *words]
    with folder.with_suffix(".output").open("w") as said:
        code = subprocess.run(program, stdout=said, stderr=said, check=False).returncode
    if code:
        lines = folder.with_suffix(".output").read_text(encoding="utf-8").splitlines()
        return {**result, "failed": lines[-1] if lines else f"code {code}"}
    return {**result, **read(folder, arguments.test)}


def command(run: Run, overrides: Sequence[str], folder: Path, tiny: bool) -> list[str]:
    """The overrides of one run; the recipe comes after the set."""
    return [
        *recipes.SETS[run.set],
        *overrides,
        *(recipes.TINY if tiny else ()),
        f"trainer.minutes={run.minutes:g}",
        f"seed={run.seed}",
        f"name={run.set}",
        f"run_dir={folder}",
    ]


def read(folder: Path, with_test: bool) -> dict[str, Any]:
    """What a finished run found: validation over time and at the end, test where asked for.

    Args:
      folder: Of the run.
      with_test: Whether to read the errors of the test split.
    """
    records = [
        json.loads(line)
        for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    curve = [
        {
            key: value
            for key, value in record.items()
            if key in ("step", "seconds") or "valid" in key
        }
        for record in records
        if "valid_loss" in record
    ]
    errors = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    splits = ("valid", "test") if with_test else ("valid",)
    final = {split: errors.get(split) for split in splits}
    return {"steps": records[-1]["step"], "seconds": errors["seconds"], "curve": curve, **final}


def better_half(results: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """The recipes with the lowest errors, best first; one that failed is not among them.

    By the geometric mean, over sets and seeds, of the force MAE of the validation split.

    Args:
      results: Of all of the recipes on the same sets.
      names: Their names.
    """

    def score(name: str) -> float:
        own = [force_error(result) for result in results if result["recipe"] == name]
        return sum(map(math.log, own)) / len(own) if own else math.inf

    trained = [name for name in names if score(name) < math.inf]
    return sorted(trained or names, key=score)[: max(1, len(names) // 2)]


def force_error(result: Mapping[str, Any]) -> float:
    """Force MAE of the validation split in eV/Å; infinite for a run that failed."""
    valid = result.get("valid") or {}
    return (valid.get("forces") or {}).get("mae", math.inf)


def _line(result: Mapping[str, Any]) -> str:
    place = f"{result['set']:16} {result['recipe']:20} seed {result['seed']}"
    if "failed" in result:
        return f"{place}  failed: {result['failed']}"
    error = 1e3 * force_error(result)
    return (
        f"{place}  {result['steps']:6} steps  {result['seconds']:5.0f} s  forces {error:.2f} meV/Å"
    )


def _write(output: Path, results: Sequence[Mapping[str, Any]]) -> None:
    """All results so far, as JSON and as a picture."""
    output.mkdir(parents=True, exist_ok=True)
    files.write(output / "results.json", json.dumps(results, indent=1))
    training_plot.plot(results, output / "training.png")
