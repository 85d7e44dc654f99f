"""Benchmarks, each a command; docs/benchmarks.md has their figures.

    python scripts/benchmark.py potential --model nequip --set num_layers=4 lmax=2 num_channels=32
    python scripts/benchmark.py e3
    python scripts/benchmark.py degrees

Parameters are random, which does not change the time. Times are medians with their extremes, each
after one call to warm up; compilation is given apart. Run them on a machine that does nothing else.
"""

import argparse
import json
import platform
from pathlib import Path

import benchmark_degrees
import benchmark_e3
import benchmark_potential
import jax

from equipot.cli import console

COMMANDS = {
    "potential": benchmark_potential,
    "e3": benchmark_e3,
    "degrees": benchmark_degrees,
}


def main() -> None:
    """Reads the command line, runs one benchmark, prints and writes its results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
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
        command.add_argument("--json", type=Path, help="write the results here too")
    arguments = parser.parse_args()

    console.keep_memory()
    print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}, {platform.machine()}")
    results = COMMANDS[arguments.command].run(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
