"""``equipot info``: the contents of a saved potential, and what it was trained on."""

import argparse
import json
from typing import Any

from equipot.cli import inputs


def add_parser(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "info", help="what a potential is", description="Shows what a saved potential is."
    )
    parser.add_argument("potential", help="a file that ends in .equipot")
    parser.add_argument("--all", action="store_true", help="print everything that is known")
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Prints the model, its elements with their reference energies, and its training."""
    inputs.potential(options.potential)
    from equipot.cli import summary
    from equipot.potential import artefact

    facts = describe(artefact.read(options.potential))
    if options.json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        print("\n".join(_lines(facts) if options.all else summary.lines(facts)))


def describe(found: Any) -> dict[str, Any]:
    """Collects what a user may want to know about a potential.

    Args:
      found: An ``Artefact``.
    """
    import jax
    import numpy as np

    from equipot import config
    from equipot.data import structure
    from equipot.potential import isolated

    spec = found.potential.spec
    network = found.potential.params["model"]
    symbols = [structure.chemical_symbols[number] for number in spec.species_table]

    def by_element(table: Any) -> dict[str, Any]:
        rows = np.asarray(table, np.float64).reshape(len(spec.heads), -1).tolist()
        found = {
            h: dict(zip(symbols, r, strict=True)) for h, r in zip(spec.heads, rows, strict=True)
        }
        return found if len(found) > 1 else found[spec.heads[0]]

    params = found.potential.params
    return {
        "file": str(found.path),
        "format version": found.format_version,
        "model": {"name": spec.model_name, **config.to_mapping(spec.model_config)},
        "parameters": sum(int(np.size(leaf)) for leaf in jax.tree.leaves(network)),
        "precision": spec.dtype,
        "cutoff in Å": spec.cutoff,
        "average neighbors": spec.avg_num_neighbors,
        "repulsion": "none" if spec.repulsion is None else config.to_mapping(spec.repulsion),
        "wall": _wall(spec),
        "quantities": _quantities(spec.quantities),
        "distances in training in Å": _distances(found.potential.distance_range),
        "reference energies in eV": by_element(spec.references),
        "shift in eV": by_element(params["shift"]),
        "scale in eV": by_element(params["scale"]),
        "isolated atoms in eV": by_element(isolated.isolated_energies(found.potential)),
        "not determined by the data": _undetermined(found.potential),
        "training": config.to_mapping(found.potential.provenance),
    }


def _quantities(quantities: Any) -> dict[str, Any] | str:
    """The quantities that are predicted in addition to energy, forces and stress.

    Args:
      quantities: A tuple of ``Quantity``.
    """
    found = {}
    for quantity in quantities:
        found[quantity.name] = {
            "per": quantity.per,
            "irreps": quantity.irreps,
            "unit": quantity.unit or None,
            "adds up to the charge": quantity.sums_to_charge or None,
            "with the dipole of": quantity.charges or None,
        }
    return found or "energy, forces and stress alone"


def _undetermined(potential: Any) -> str:
    """States in one sentence which part of the energies above is arbitrary.

    Args:
      potential: A ``Potential``.
    """
    sentences = []
    if open_ := potential.provenance.get("undetermined"):
        sentences.append(
            f"how the energy is shared among {', '.join(open_)}, as in all of training"
        )
    if not potential.spec.anchor_isolated:
        sentences.append(
            "isolated atoms, which have a constant energy of the model's own making: take energies"
            " of dissociation from elsewhere, or train with isolated atoms in the data and"
            " potential.shift=bonds"
        )
    return "; ".join(sentences) or "nothing"


def _distances(span: Any) -> dict[str, Any] | str:
    """The range of training distances by element symbols, or a note that there is none.

    Args:
      span: A ``DistanceRange`` or None.
    """
    from equipot.data.structure import chemical_symbols as symbols

    if span is None:
        return "not stated: no structure is compared with them"
    shortest = {f"{symbols[a]}-{symbols[b]}": x for (a, b), x in span.shortest.items()}
    longest = {symbols[z]: x for z, x in span.longest.items()}
    return {
        "shortest of each pair": {pair: round(x, 4) for pair, x in shortest.items()},
        "longest to the nearest atom": {name: round(x, 4) for name, x in longest.items()},
        "atoms alone": {symbols[z]: n for z, n in span.isolated.items()} or "none",
    }


def _wall(spec: Any) -> dict[str, Any] | str:
    """Where the wall of each two elements stands, or a note that there is none.

    Args:
      spec: A ``PotentialSpec``.
    """
    import itertools

    from equipot.data.structure import chemical_symbols as symbols

    if spec.wall is None:
        return "none: below the shortest distances of training the energy is arbitrary"
    names = [
        f"{symbols[a]}-{symbols[b]}"
        for a, b in itertools.combinations_with_replacement(spec.species_table, 2)
    ]
    columns = {"below, in Å": spec.wall.nearest, "force, in eV/Å": spec.wall.pushes}
    tables = {
        title: {name: round(x, 4) for name, x in zip(names, column, strict=True)}
        for title, column in columns.items()
    }
    places = {"begins at": spec.wall.reach, "has that force at": spec.wall.fade}
    return {**tables, **{f"{name}, times that distance": x for name, x in places.items()}}


def _lines(tree: dict[str, Any], indent: str = "") -> list[str]:
    """Nested ``key: value``, with one line for each value that is set."""
    lines = []
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{key}:", *_lines(value, indent + "  ")]
        elif value is not None:
            shown = f"{value:.10g}" if isinstance(value, float) else value
            lines.append(f"{indent}{key}: {shown}")
    return lines
