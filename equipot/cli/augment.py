"""``equipot augment``: frames with stretched bonds, labelled by any ASE calculator."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipot import errors
from equipot.cli import inputs, structures

if TYPE_CHECKING:
    from ase import Atoms

    from equipot.data.stretching import Stretched

_MARK = "stretched"
_PARTS = ".parts"  # what is labelled already, until all are


def add_parser(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "augment",
        help="training frames with stretched bonds, labelled by any ASE calculator",
        description="Stretches bonds of the structures of a dataset, far beyond what dynamics there"
        " showed, and labels the new frames with the method of the dataset: trained on both, a"
        " potential knows that bonds hold.",
    )
    parser.add_argument("data", nargs="+", help="files of structures, the training set")
    parser.add_argument(
        "--calculator",
        required=True,
        metavar="NAME",
        help="a name that ASE knows, or module:Class, as in tblite.ase:TBLite",
    )
    parser.add_argument(
        "--calculator-args",
        default="{}",
        metavar="YAML",
        help="keyword arguments of the calculator, as in '{method: GFN1-xTB}'",
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="new; extended xyz")
    for name, default, letter, meaning in (
        ("molecules", 96, "N", "frames that are molecules, cut out, with one bond stretched"),
        ("neighbors", 4, "N", "up to so many of the nearest molecules come along"),
        ("whole", 0, "N", "frames that are whole structures with some bonds stretched"),
        ("share", 0.1, "X", "part of the molecules of a whole structure that is stretched"),
        ("longest", 2.5, "X", "up to so many mean bond lengths"),
        ("seed", 0, "N", "of all choices"),
    ):
        help_text = f"{meaning}; default %(default)s"
        parser.add_argument(
            f"--{name}", type=type(default), default=default, metavar=letter, help=help_text
        )
    parser.add_argument(
        "--group-key",
        metavar="KEY",
        help=f"mark frames KEY={_MARK}: the data.group_key of the dataset, so that tables list them"
        " apart",
    )
    parser.add_argument(
        "--weight",
        type=float,
        metavar="W",
        help="write this into each frame as 'weight', for data.weight_key=weight",
    )
    parser.add_argument(
        "--any-method",
        action="store_true",
        help="do not compare the calculator with the labels of the dataset",
    )
    structures.add_label_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Makes frames, labels and writes them, and prints what became of them."""
    inputs.structures(options.data)
    if Path(options.output).exists():
        raise errors.DataError(
            f"--output: {options.output} exists; give another name, or remove it"
        )
    inputs.output(options.output)
    import hashlib
    import shutil

    from rich import progress

    from equipot.calculators import labelling
    from equipot.data import paths, readers, stretching, writers

    plan = stretching.Plan(
        whole=options.whole,
        molecules=options.molecules,
        neighbors=options.neighbors,
        share=options.share,
        longest=options.longest,
        seed=options.seed,
    )
    make = labelling.find_calculator(options.calculator, _arguments(options.calculator_args))
    config = structures.data_options(options, options.data)
    contents = [readers.read_file(paths.resolve(path), config) for path in options.data]
    known = [structure for content in contents for structure in content.structures]
    if not options.any_method:
        print(labelling.check_method(known, make))
    if options.weight is not None and not 0.0 < options.weight < float("inf"):
        raise errors.ConfigError(
            f"--weight: expected a positive number, received {options.weight:g}"
        )
    made = stretching.stretch(known, plan)
    asked = plan.whole + plan.molecules
    if len(made) < asked:
        print(f"{asked - len(made)} frames had no room for a stretched bond")
    marks: dict[str, Any] = {options.group_key: _MARK} if options.group_key else {}
    if options.weight is not None:
        marks["weight"] = options.weight
    frames = [_atoms(one, marks, config.head_key) for one in made]
    method = f"{options.calculator} {options.calculator_args}".encode()  # labels of two never mix
    parts = Path(f"{options.output}.{hashlib.sha256(method).hexdigest()[:8]}{_PARTS}")
    if parts.exists():
        print(f"goes on with the labels in {parts}")
    done = labelling.label(progress.track(frames, description="labels"), make, parts)
    for reason, count in done.dropped.items():
        print(f"dropped {count}: {reason}")
    if not done.frames:
        raise errors.DataError("the calculator fails at every frame; nothing was written")
    written = [writers.as_read_with(config, own) for own in done.frames]
    writers.write_frames(options.output, written)
    shutil.rmtree(parts)
    bonds = sum(len(made[place].bonds) for place in done.places)
    print(f"{len(done.frames)} frames with {bonds} stretched bonds: {options.output}")


def _arguments(text: str) -> dict[str, Any]:
    """Keyword arguments, in YAML or JSON.

    Raises:
      ConfigError: If they are none.
    """
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise errors.ConfigError(
            f"--calculator-args: expected YAML or JSON ({errors.brief(error)})"
        ) from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise errors.ConfigError(
            f"--calculator-args: expected names with values, as in '{{method: GFN1-xTB}}', received"
            f" {text!r}"
        )
    return found


def _atoms(one: "Stretched", marks: dict[str, Any], head_key: str | None) -> "Atoms":
    """For ASE, with where it comes from, and its level of theory where there are several."""
    from equipot.data import writers

    atoms = writers.to_atoms(one.structure)
    levels = {head_key: one.structure.head} if head_key else {}
    atoms.info.update(made_of=one.source, stretched="; ".join(one.bonds), **marks, **levels)
    return atoms
