"""``equipot``: the commands for a saved potential."""

import argparse
import sys
from collections.abc import Sequence

import equipot
from equipot.cli import (
    audit,
    augment,
    compare,
    console,
    convert,
    download,
    drive,
    evaluate,
    info,
    lammps,
    md,
    prepare,
    relax,
)

PROGRAM = "equipot"
EPILOG = """\
examples:
  equipot info water.equipot
  equipot compare runs/water runs/second
  equipot evaluate water.equipot test.extxyz --output predictions.extxyz
  equipot audit water.equipot --data test.extxyz
  equipot md water.equipot start.xyz --temperature 300 --time 10
  equipot relax water.equipot start.xyz --output relaxed.extxyz
  equipot lammps in.lammps
  equipot drive water.equipot start.xyz --ipi unix:water
  equipot convert MACE.model --trust
  equipot download nequix-mp-1
  equipot augment train.extxyz --calculator emt --output stretched.extxyz
  equipot prepare data.train=big.extxyz --output big.store

A potential is trained by equipot-train; in Python, and in anything ASE drives, it is
  from equipot import EquipotCalculator
  atoms.calc = EquipotCalculator("water.equipot")
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; jax is imported only when it is needed.

    Args:
      arguments: The arguments after the program's name; None for those of the command line.
    """
    options = _parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    console.prepare_process()
    with console.clean_errors(PROGRAM):
        options.run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Uses a trained interatomic potential.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"equipot {equipot.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (
        info,
        compare,
        evaluate,
        audit,
        md,
        relax,
        lammps,
        drive,
        convert,
        download,
        augment,
        prepare,
    ):
        command.add_parser(commands)
    return parser
