"""Times other programs on the same work, each in an environment of its own.

What runs is a shell script that comes beside the reference data: ``bench/run_peers.sh`` next to
``$EQUIPOT_REFERENCE_DATA``, or the file that ``$EQUIPOT_RUN_PEERS`` names. It makes the
environments in ``$EQUIPOT_PEERS`` when it is first called, and prints for each program a heading,
the number of parameters, and seconds of energy + forces and of a training step.
"""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scripts.benchmark.cases import ENERGY_FORCES, TASKS, TRAINING

ATOMS = 192  # of the box that peers are timed on
PEERS = {"mace": ("mace-torch", "mlip"), "nequip": ("nequip", "mlip"), "allegro": ("allegro",)}
_NUMBER = r"(?:np\.float64\()?([\d.e+-]+)"
_LINES = {
    ENERGY_FORCES: re.compile(rf"^E\+F s \({_NUMBER}"),
    TRAINING: re.compile(rf"^train s \({_NUMBER}"),
    "parameters": re.compile(r"^params (\d+)"),
}
_HEADING = re.compile(r"^== (\w+), ([^:]*)")


class Reading(NamedTuple):
    """What one program says of itself in one run.

    Attributes:
      model: Name of the model, as here.
      program: Name and version of the program, with a number where it is run in several modes.
      values: Seconds by task, and the number of parameters.
    """

    model: str
    program: str
    values: dict[str, float]


def script() -> Path | None:
    """The script, or nothing where it is not."""
    root = Path(__file__).parents[2]
    data = Path(os.environ.get("EQUIPOT_REFERENCE_DATA", root.parent / "shared" / "data"))
    named = os.environ.get("EQUIPOT_RUN_PEERS")
    path = Path(named) if named else data.parent / "bench" / "run_peers.sh"
    return path if path.is_file() else None


def names(models: Sequence[str]) -> list[str]:
    """The peers of some models, each once."""
    return list(dict.fromkeys(peer for model in models for peer in PEERS.get(model, ())))


def run(path: Path, peer: str) -> list[Reading]:
    """Times one peer.

    Raises:
      RuntimeError: The script failed.
    """
    result = subprocess.run([str(path), peer], stdout=subprocess.PIPE, text=True, check=False)
    readings = parse(result.stdout)
    if result.returncode or not readings:
        raise RuntimeError(
            f"{path} {peer}: expected times, received code {result.returncode} and"
            f" {result.stdout!r}"
        )
    return readings


def parse(text: str) -> list[Reading]:
    """Reads what the script prints; a mode of a program begins with its number of parameters."""
    readings: list[Reading] = []
    model = program = ""
    for line in text.splitlines():
        if heading := _HEADING.match(line):
            model, program = heading.group(1).lower(), heading.group(2).strip()
        for what, pattern in _LINES.items():
            if found := pattern.match(line):
                if what == "parameters":
                    modes = sum(
                        r.program.startswith(program) and r.model == model for r in readings
                    )
                    mode = f"{program} (mode {modes + 1})" if modes else program
                    readings.append(Reading(model, mode, {}))
                readings[-1].values[what] = float(found.group(1))
    return readings


def summarize(readings: Sequence[Reading]) -> list[dict[str, Any]]:
    """One row per program and task: median and extremes over all runs."""
    rows = []
    for model, program in dict.fromkeys((r.model, r.program) for r in readings):
        of_program = [r.values for r in readings if (r.model, r.program) == (model, program)]
        for task in TASKS:
            if seconds := [values[task] for values in of_program if task in values]:
                rows.append(
                    {
                        "model": model,
                        "program": program,
                        "task": task,
                        "parameters": int(of_program[0]["parameters"]),
                        "median": float(np.median(seconds)),
                        "minimum": min(seconds),
                        "maximum": max(seconds),
                    }
                )
    return rows


def ratios(rows: Sequence[dict[str, Any]], peers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """How many times longer the best of the peers takes, for every model and task."""
    found = []
    for row in rows:
        same = [p for p in peers if (p["model"], p["task"]) == (row["model"], row["task"])]
        if same and row["atoms"] == ATOMS:
            best = min(same, key=lambda peer: peer["median"])
            found.append(
                {
                    "model": row["model"],
                    "task": row["task"],
                    "median": row["median"],
                    "best_of_peers": best["program"],
                    "peer_median": best["median"],
                    "ratio": best["median"] / row["median"],
                }
            )
    return found
