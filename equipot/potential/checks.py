"""Checks that a specification and parameters read from a file form a potential.

Types are right by then (``equipot.config``); here it is what numbers may be, before a model is
built from them: a number of layers or channels that no parameters in the file stand for would cost
minutes and gigabytes.
"""

import dataclasses
import math
import reprlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from equipot import config, errors, quantities
from equipot.data.structure import chemical_symbols
from equipot.potential import precision
from equipot.potential.config import PotentialConfig
from equipot.potential.potential import PotentialSpec, init_params
from equipot.potential.probe import MAX_ATOMS, Probe
from equipot.store import host_graph
from equipot.typing import PyTree

_MOST_NEIGHBORS = 1e5
_FEW = 128  # a count up to this is affordable, whatever the file holds
_NARROWEST, _WIDEST = 0.1, 100.0  # lengths in a probe, in units of the cutoff


def check_spec(spec: PotentialSpec) -> None:
    """Refuses a specification that no potential can have.

    Raises:
      ArtefactError: At a number that is not finite, a table that does not fit the others, or an
        unknown word.
    """
    for place, value in _numbers(config.to_mapping(spec), "potential"):
        finite = isinstance(value, int) or math.isfinite(value)
        _require(finite, place, "a finite number", value)
    table = spec.species_table
    elements = all(0 < number < len(chemical_symbols) for number in table)
    ascending = bool(table) and list(table) == sorted(set(table))
    _require(elements and ascending, "species_table", "atomic numbers, ascending", list(table))
    heads, count = spec.heads, len(spec.atomic_energies)
    named = heads == host_graph.ONE_HEAD or all(heads)
    _require(bool(heads) and named and len(set(heads)) == len(heads), "heads", "names", list(heads))
    expected = len(heads) * len(table)
    _require(count == expected, "atomic_energies", f"{expected} energies", count)
    neighbors = spec.avg_num_neighbors
    _require(0 < neighbors <= _MOST_NEIGHBORS, "avg_num_neighbors", "a positive number", neighbors)
    for name in ("dtype", "matmul_precision"):
        config.from_mapping(PotentialConfig, {name: getattr(spec, name)}, "potential")
    _check_quantities(spec.quantities)
    if spec.repulsion is not None and spec.repulsion.covalent_radii:
        radii = spec.repulsion.covalent_radii
        _require(len(radii) == len(table), "covalent_radii", f"{len(table)} radii", len(radii))
    if spec.wall is not None:
        found, pairs = len(spec.wall.nearest), len(table) * (len(table) + 1) // 2
        _require(found == pairs, "wall", f"numbers for {pairs} pairs of elements", found)


def check_params(spec: PotentialSpec, params: PyTree) -> None:
    """Compares the parameters with those that the model of this version has; compiles nothing.

    Raises:
      ArtefactError: If one is missing, superfluous, of another shape or type, or not finite.
    """
    found = leaves(params)
    for name, leaf in found.items():
        if not np.isfinite(leaf).all():
            raise errors.ArtefactError(f"params/{name} holds NaN or infinity; train it anew")
    _check_counts(spec, found)
    with precision.of(spec.dtype):
        ones = jnp.ones(spec.table_shape, spec.dtype)
        expected = leaves(
            jax.eval_shape(lambda key: init_params(spec, key, ones, ones), jax.random.key(0))
        )
    for name in sorted(expected.keys() | found.keys()):
        shapes = [own[name].shape if name in own else None for own in (expected, found)]
        if shapes[0] != shapes[1]:
            raise errors.ArtefactError(
                f"params/{name} has shape {shapes[1]}, expected {shapes[0]} (None is for"
                f" none); the model {spec.model_name} of this version of equipot is another one"
            )
        if found[name].dtype != expected[name].dtype:
            raise errors.ArtefactError(
                f"params/{name} holds {found[name].dtype}, expected {expected[name].dtype}, the"
                " precision of the potential"
            )


def check_probe(stored: Probe, spec: PotentialSpec) -> None:
    """Refuses a probe that is none: of no finite size, of other elements, or costly to evaluate.

    Raises:
      ArtefactError: At the first that is wrong.
    """
    structure, prediction = stored.structure, stored.prediction
    count = len(structure.positions)
    _require(0 < count <= MAX_ATOMS, "probe", f"1 to {MAX_ATOMS} atoms", count)
    shapes = {"energies": (count,), "forces": (count, 3), "stress": (3, 3)}
    values = {name: getattr(prediction, name) for name in shapes} | dict(prediction.others)
    for quantity in spec.quantities:
        atoms = (count,) if quantity.per == "atom" else ()
        shapes[quantity.name] = atoms + quantity.shape
    for name, shape in shapes.items():
        value = values[name]
        _require(value.shape == shape, f"probe/{name}", f"the shape {shape}", value.shape)
        finite = bool(np.isfinite(value).all())
        _require(finite, f"probe/{name}", "finite numbers", "NaN or infinity")
    numbers = structure.atomic_numbers
    known = bool(np.isin(numbers, spec.species_table).all())
    _require(known, "probe/atomic_numbers", "elements of the potential", numbers.tolist())
    lengths = np.concatenate([structure.cell, structure.positions])
    bounded = bool((np.abs(lengths) <= _WIDEST * spec.cutoff).all())
    wide = bounded and bool((_heights(structure.cell) >= _NARROWEST * spec.cutoff).all())
    _require(wide, "probe/cell", "a cell as wide as the cutoff", structure.cell.tolist())


def _check_quantities(table: tuple[quantities.Quantity, ...]) -> None:
    """Refuses quantities that could not have been declared."""
    names = [quantity.name for quantity in table]
    _require(len(set(names)) == len(names), "quantities", "names that differ", names)
    declared = quantities.declared(
        {
            quantity.name: quantities.QuantityConfig(
                per=quantity.per,
                irreps=quantity.irreps,
                unit=quantity.unit,
                sums_to_charge=quantity.sums_to_charge,
                charges=quantity.charges or None,
            )
            for quantity in table
        }
    )
    for quantity in table:
        found = dataclasses.replace(declared[quantity.name], keys=quantity.keys)
        _require(found == quantity, f"quantities.{quantity.name}", str(found), quantity)


def _heights(cell: np.ndarray) -> np.ndarray:
    """Distance of opposite faces of a cell, [3]; zero where it has no volume."""
    areas = np.linalg.norm(np.cross(cell[[1, 2, 0]], cell[[2, 0, 1]]), axis=1)
    return abs(np.linalg.det(cell)) / np.maximum(areas, np.finfo(float).tiny)


def leaves(tree: PyTree) -> dict[str, Any]:
    """The leaves of a tree of mappings by their path."""
    found = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {"/".join(str(key.key) for key in path): leaf for path, leaf in found}


def _check_counts(spec: PotentialSpec, found: dict[str, Any]) -> None:
    """Bounds every count of the model by the parameters that are there for it."""
    total = sum(int(np.size(leaf)) for leaf in found.values())
    counts = dataclasses.asdict(spec.model_config)
    most_layers = max(len(found), 1)
    if counts.get("num_layers", 0) > most_layers:
        raise errors.ArtefactError(
            f"potential.model.num_layers is {counts['num_layers']}, but there are only"
            f" {len(found)} arrays of parameters"
        )
    for place, value in _numbers(counts, "potential.model"):
        if isinstance(value, int) and value > max(total, _FEW):
            raise errors.ArtefactError(f"{place} is {value}, but there are only {total} parameters")


def _numbers(value: Any, place: str) -> Iterator[tuple[str, int | float]]:
    """Every number in nested mappings and lists, with its place."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _numbers(item, f"{place}[{i}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield place, value


def _require(holds: bool, place: str, expected: str, received: Any) -> None:
    if not holds:
        shown = reprlib.repr(received)
        raise errors.ArtefactError(f"{place}: expected {expected}, received {shown}")
