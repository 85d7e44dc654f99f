"""Benchmarks, each a command; docs/benchmarks.md and docs/performance.md have their figures.

    python -m scripts.benchmark models --preset peers --peers
    python -m scripts.benchmark models --model nequip --atoms 192 1536 5184 --plot times.png
    python -m scripts.benchmark profile --preset peers
    python -m scripts.benchmark e3
    python -m scripts.benchmark degrees
    python -m scripts.benchmark optimizers
    python -m scripts.benchmark training --sets ethanol water --minutes 5
    python -m scripts.benchmark peer_training --sets ethanol water --minutes 20
    python -m scripts.benchmark foundation --atoms 96 960
    python -m scripts.benchmark engines runs/water/water.equipot
    python -m scripts.benchmark dynamics runs/water/water.equipot

Parameters are random, which does not change the time. Times are medians with their extremes, each
after one call to warm up; compilation is given apart. Run them on a machine that does nothing else.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import jax

from equipot import files
from equipot.cli import console
from equipot.training import folder
from scripts.benchmark import (
    degrees,
    dynamics,
    engines,
    foundation,
    layers,
    models,
    optimizers,
    peer_training,
    profile,
    training,
)

COMMANDS = {
    "models": models,
    "profile": profile,
    "e3": layers,
    "degrees": degrees,
    "optimizers": optimizers,
    "training": training,
    "peer_training": peer_training,
    "foundation": foundation,
    "engines": engines,
    "dynamics": dynamics,
}


def main() -> None:
    """Reads the command line, runs one benchmark, prints and writes its results."""
    arguments = read_arguments()
    limit_threads(arguments.threads)
    # Several processes may share an accelerator, and are to take only what they need.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    console.keep_memory()
    about = describe(arguments)
    print(
        f"jax {jax.__version__} on {jax.devices()[0].device_kind}, {about['processor']},"
        f" {about['threads']} threads, {about['date']}, commit {about['commit']}"
    )
    results = COMMANDS[arguments.command].run(arguments)
    if arguments.json:
        files.write(arguments.json, json.dumps({"about": about, "results": results}, indent=2))


def read_arguments() -> argparse.Namespace:
    """The command line, with the options that all commands have."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmark",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        description = str(module.__doc__)
        command = commands.add_parser(
            name,
            help=description.splitlines()[0],
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.add_argument("--threads", type=int, help="processors to use; by default all")
        command.add_argument("--json", type=Path, help="write the results here too")
    return parser.parse_args()


def limit_threads(count: int | None) -> None:
    """Keeps this process and those it starts to so many processors; jax makes a thread for each.

    Raises:
      SystemExit: There are not so many.
    """
    if count is not None:
        available = sorted(os.sched_getaffinity(0))
        if not 1 <= count <= len(available):
            raise SystemExit(f"--threads: expected 1 to {len(available)}, received {count}")
        os.sched_setaffinity(0, available[:count])


def describe(arguments: argparse.Namespace) -> dict[str, Any]:
    """What results depend on: program, versions, machine, date, settings."""
    settings = {k: v for k, v in vars(arguments).items() if isinstance(v, (int, float, str, list))}
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "versions": folder.versions(),
        "processor": _processor(),
        "threads": len(os.sched_getaffinity(0)),
        "settings": settings,
    }


def _commit() -> str:
    """The commit of these files; with a plus where they have been changed since."""
    words = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+"]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown"


def _processor() -> str:
    """The name of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
