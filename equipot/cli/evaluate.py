"""``equipot evaluate``: errors of a potential on labelled structures, predictions in a file."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipot import errors, files, quantities
from equipot.cli import inputs, structures

if TYPE_CHECKING:
    from equipot.data.structure import Structure
    from equipot.potential.potential import Potential
    from equipot.store.graph_store import GraphStore


def add_parser(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "evaluate",
        help="errors on labelled structures, predictions in a file",
        description="Compares a potential with labels, and writes its predictions.",
    )
    parser.add_argument("potential", help="a file that ends in .equipot")
    parser.add_argument("structures", nargs="+", help="files of structures; labels may be missing")
    parser.add_argument("--output", metavar="FILE", help="write predictions as extended xyz")
    parser.add_argument("--json", metavar="FILE", help="write the table as JSON in eV and Å")
    parser.add_argument("--quiet", action="store_true", help="print no table of errors")
    parser.add_argument(
        "--group-key", metavar="KEY", help="break the table down by this key, such as temperature"
    )
    parser.add_argument(
        "--batch-size", type=int, default=8, metavar="N", help="structures at once; default 8"
    )
    structures.add_head_option(parser)
    structures.add_label_options(parser).add_argument(
        "--key",
        action="append",
        default=[],
        metavar="QUANTITY=KEY",
        help="name of a declared quantity of the potential in the file, as in dipole=mu",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Prints what was found, and the table of errors."""
    _check_files(options)
    from equipot.data import own_keys, readers, writers
    from equipot.potential import artefact
    from equipot.potential import evaluate as evaluation
    from equipot.training import reports

    if options.batch_size < 1:
        raise errors.ConfigError(
            f"--batch-size: expected at least 1, received {options.batch_size}"
        )
    potential = artefact.load(options.potential)
    declared = potential.spec.quantities
    config = structures.data_options(options, options.structures, options.group_key)
    config = dataclasses.replace(config, quantities=_declarations(declared, options.key))
    contents = [readers.read_file(path, config) for path in options.structures]
    print("\n".join(line for content in contents for line in content.found))
    frames = [structure for content in contents for structure in content.structures]
    if options.head is not None:
        frames = [dataclasses.replace(structure, head=options.head) for structure in frames]
    graphs = evaluation.graphs_of(potential.spec, frames)
    predictions = evaluation.evaluate(potential, graphs, options.batch_size)
    _say_what_is_outside(potential, frames, graphs)
    known = quantities.every({quantity.name: quantity for quantity in declared})
    table = reports.split_errors(frames, predictions, known)
    split = Path(options.structures[0]).name.split(".")[0]
    keys = options.group_key, options.head_key
    if not options.quiet:
        print(reports.error_table({split: table}, known, *keys))
    if options.output:
        beside = [own_keys.read(path, config) for path in options.structures]
        own = [
            kept.get(structure.source)
            for kept, content in zip(beside, contents, strict=True)
            for structure in content.structures
        ]
        writers.write_predictions(options.output, frames, predictions, known, own)
        print(f"predictions: {options.output}")
    if options.json:
        content = {**table.to_json(), "units": reports.units(known)}
        files.write(options.json, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        print(f"table: {options.json}")


def _say_what_is_outside(
    potential: "Potential", frames: "Sequence[Structure]", graphs: "GraphStore"
) -> None:
    """Names the first structure that is outside of what the potential was trained on, if any."""
    from equipot.inference import out_of_range

    outside = []
    for i, s in enumerate(frames):
        found = out_of_range.find_in_graph(potential.distance_range, s.atomic_numbers, graphs[i])
        if found:
            outside.append((s.where, found[0]))
    if outside:
        where, worst = outside[0]
        print(
            f"equipot: outside of training, where numbers mean little: {len(outside)} of"
            f" {len(frames)} structures; {where}: {worst}",
            file=sys.stderr,
        )


def _declarations(
    declared: Sequence[quantities.Quantity], keys: Sequence[str]
) -> dict[str, quantities.QuantityConfig]:
    """The quantities of a potential, with their keys in this file where options name them."""
    found = quantities.configured(declared)
    for word in keys:
        name, _, key = word.partition("=")
        if not name or not key:
            raise errors.ConfigError(f"--key: expected QUANTITY=KEY, received '{word}'")
        if name in quantities.DERIVED:
            raise errors.ConfigError(f"--key: for {name} use --{name}-key {key}")
        if name not in found:
            raise errors.ConfigError(
                f"--key: the potential gives no '{name}'.{errors.did_you_mean(name, found)}"
                f" Declared quantities: {', '.join(found) or 'none'}"
            )
        found[name] = dataclasses.replace(found[name], key=key)
    return found


def _check_files(options: argparse.Namespace) -> None:
    """Stops if a file is missing, or the output would replace one that is read."""
    inputs.potential(options.potential)
    inputs.structures(options.structures)
    read = {Path(name).resolve() for name in (options.potential, *options.structures)}
    for name in (options.output, options.json):
        inputs.output(name)
        if name and Path(name).resolve() in read:
            raise errors.ConfigError(f"{name}: is read from; write to another file")
