"""``equipot convert``: a potential of another program, written as an artefact."""

import argparse
from pathlib import Path
from typing import Any

from equipot import errors
from equipot.cli import inputs

_SUFFIX = ".equipot"
_ENDINGS = ".nequip.zip", ".zip", ".ckpt", ".model", ".pth", ".pt", ".nqx"


def add_parser(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "convert",
        help="bring over a potential of Nequix, SevenNet, mace-torch or nequip",
        description="Reads a model of Nequix (.nqx), a checkpoint of SevenNet (.pth), a model of"
        " mace-torch (.model), or a checkpoint (.ckpt) or package (.nequip.zip) of nequip, GNN or"
        " Allegro, and writes a potential with the same energies, which then needs none of them."
        " Opening files of mace-torch and nequip takes torch and the program that wrote them and"
        " runs code in them; those of Nequix and SevenNet are read without.",
    )
    parser.add_argument("model", help="the file to read")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="the file to write; by default MODEL's name with .equipot, in this folder",
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="run the code inside the file; needed for mace-torch and nequip, and wise only if you"
        " know where it comes from",
    )
    parser.add_argument(
        "--head", metavar="NAME", help="which one, where a file holds several heads or models"
    )
    parser.add_argument("--dtype", choices=("float32", "float64"), help="by default the model's")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier file")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Converts, compares with the original, writes, and reports how well the two agree."""
    target = _target(options)
    from equipot.convert import conversion
    from equipot.potential import artefact

    found = conversion.convert(
        options.model, trust=options.trust, head=options.head, dtype=options.dtype
    )
    artefact.save(target, found.potential)
    spec = found.potential.spec
    print(f"{target}: {spec.model_name}, {len(spec.species_table)} elements, {spec.dtype}")
    if found.differences is None:
        print("read number by number, without the program that wrote it: docs/foundation.md")
    else:
        print(f"largest differences from the original in float64: {found.differences}")


def _target(options: argparse.Namespace) -> Path:
    """Where to write, checked before anything is opened."""
    name = Path(options.model).name
    for ending in _ENDINGS:
        if name.endswith(ending):
            name = name.removesuffix(ending)
            break
    inputs.file(options.model)
    target = Path(options.output or f"{name}{_SUFFIX}")
    inputs.output(target)
    if target.suffix != _SUFFIX:
        raise errors.ConfigError(
            f"{target}: expected a name ending in {_SUFFIX}, received '{target.suffix}'"
        )
    if target.exists() and not options.overwrite:
        raise errors.ConfigError(
            f"{target}: already stands there; move it away, choose another name with --output, or"
            " give --overwrite"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    return target
