"""``equipot lammps``: an input script of LAMMPS in which a potential stands as a pair style."""

import argparse
import contextlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from equipot import errors
from equipot.cli import inputs, outside


def add_parser(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "lammps",
        help="runs an input script of LAMMPS",
        description="Runs an input script of LAMMPS that says 'pair_style equipot' and "
        "'pair_coeff * * POTENTIAL ELEMENT …'.",
    )
    parser.add_argument("script", metavar="FILE", help="the input script")
    parser.add_argument(
        "--dtype", choices=("float32", "float64"), help="by default the potential's"
    )
    parser.add_argument("--head", metavar="NAME", help="level of theory, where there are several")
    parser.add_argument(
        "--device", metavar="NAME", help="cpu, gpu, gpu:1, …; by default a GPU where there is one"
    )
    outside.add_strict_option(parser)
    parser.add_argument("--log", default="log.lammps", metavar="FILE", help="LAMMPS's log")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Runs the script to its end."""
    inputs.file(options.script)
    from equipot.drivers import lammps_input

    script = lammps_input.read(Path(options.script))
    inputs.potential(script.potential)
    from equipot.drivers import lammps

    lmp = lammps.start(["-log", options.log])
    try:
        with _said():
            lammps_input.run(lmp, script.before)
            lammps.attach(
                lmp,
                script.potential,
                script.elements,
                dtype=options.dtype,
                head=options.head,
                device=options.device,
                strict=options.strict,
            )
            lammps_input.run(lmp, script.after)
    except errors.EquipotError:
        raise
    except Exception as failure:  # all that LAMMPS raises
        if not str(failure).startswith("ERROR"):
            raise
        raise errors.DriverError(
            f"{options.script}: LAMMPS says: {errors.brief(failure)}"
        ) from failure
    finally:
        lmp.close()


@contextlib.contextmanager
def _said() -> Iterator[None]:
    """What is outside of training is a sentence on stderr, once for each sort."""

    def say(message: Warning | str, *_: Any) -> None:
        print(f"{outside.PROGRAM}: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", errors.OutOfRangeWarning)
        warnings.showwarning = say
        yield
