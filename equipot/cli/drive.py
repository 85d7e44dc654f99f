"""``equipot drive``: a potential that another program asks for forces."""

import argparse
from typing import Any

from equipot import errors
from equipot.cli import inputs, outside, structures


def add_parser(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "drive",
        help="answers i-PI",
        description="Connects to i-PI and answers it until it ends.",
    )
    structures.add_start_arguments(parser, optional=True)
    parser.add_argument(
        "--ipi", metavar="ADDRESS", help="where i-PI listens: unix:NAME, or HOST:PORT"
    )
    parser.add_argument(
        "--path",
        action="store_true",
        help="print the file for i-pi-py_driver -m custom -P, and do nothing else",
    )
    parser.add_argument(
        "--dtype", choices=("float32", "float64"), help="by default the potential's"
    )
    parser.add_argument(
        "--device", metavar="NAME", help="cpu, gpu, gpu:1, …; by default a GPU where there is one"
    )
    outside.add_strict_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Serves until i-PI ends."""
    if options.path:
        from equipot.drivers import DRIVER_OF_IPI

        print(DRIVER_OF_IPI)
        return
    if options.potential is None or options.structure is None or options.ipi is None:
        raise errors.ConfigError(
            "drive: expected a potential, a file with the atoms, and --ipi ADDRESS (or --path)"
        )
    inputs.potential(options.potential)
    inputs.structures([options.structure])
    from equipot.drivers import ipi

    address = ipi.address_of(options.ipi)
    atoms = structures.read_start(options)
    periodic = "".join(name for name, along in zip("abc", atoms.pbc, strict=True) if along)
    print(f"{atoms.get_chemical_formula()}, periodic along {periodic or 'nothing'}", flush=True)
    atoms.calc = calculator = outside.make_calculator(options)
    with outside.reported("those of i-PI") as look:
        count = ipi.serve(atoms, address, lambda step: look(step, calculator.outside))
    print(f"i-PI has ended: {count} evaluations, {calculator.n_compilations} programs compiled")
