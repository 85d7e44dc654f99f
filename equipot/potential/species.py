"""A potential for other elements: tables of species cut to fewer, or lengthened by new ones.

A new element begins as the known one that is most like it (``equipot.data.elements.similarity``):
its rows are copies, and training tells the two apart.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from equipot.data import elements
from equipot.data.distance_range import DistanceRange
from equipot.models import registry
from equipot.potential import outputs, wall
from equipot.potential.potential import Potential, PotentialSpec
from equipot.potential.wall import Wall
from equipot.typing import PyTree


def with_species(potential: Potential, numbers: Sequence[int]) -> tuple[Potential, dict[int, int]]:
    """The same potential for another table of elements, with parameters in NumPy.

    Energies of structures that hold only elements it knew stay as they are.

    Args:
      potential: The potential.
      numbers: Atomic numbers of the elements that it is to know.

    Returns:
      The potential, and for each new element the known one whose rows it has.
    """
    spec, table = potential.spec, tuple(sorted(set(numbers)))
    known = {z: i for i, z in enumerate(spec.species_table)}
    sources = {z: z if z in known else _most_similar(z, spec.species_table) for z in table}
    rows = np.array([known[sources[z]] for z in table])
    changed = dataclasses.replace(
        potential,
        spec=_spec(spec, table, rows),
        params=_params(potential.params, spec.model_name, rows),
        distance_range=_range(potential.distance_range, table),
    )
    return changed, {z: source for z, source in sources.items() if z != source}


def _most_similar(number: int, known: Sequence[int]) -> int:
    return known[int(np.argmax(elements.similarity([*known, number])[-1, :-1]))]


def _spec(spec: PotentialSpec, table: tuple[int, ...], rows: np.ndarray) -> PotentialSpec:
    config, radii, repulsion = spec.model_config, spec.bond_radii, spec.repulsion
    if cutoffs := getattr(config, "pair_cutoffs", ()):
        chosen = np.asarray(cutoffs)[np.ix_(rows, rows)].tolist()
        config = dataclasses.replace(config, pair_cutoffs=tuple(map(tuple, chosen)))
    if radii is not None:
        radii = _radii(spec, radii, table, rows)
    if repulsion is not None and repulsion.covalent_radii:
        own = _radii(spec, repulsion.covalent_radii, table, rows)
        repulsion = dataclasses.replace(repulsion, covalent_radii=own)
    return dataclasses.replace(
        spec,
        model_config=config,
        species_table=table,
        atomic_energies=tuple(spec.references[:, rows].ravel().tolist()),
        bond_radii=radii,
        repulsion=repulsion,
        wall=None if spec.wall is None else _wall(spec.wall, spec, table),
    )


def _wall(found: Wall, spec: PotentialSpec, table: tuple[int, ...]) -> Wall:
    """Known pairs keep theirs; those of new elements have what elements that never met have."""
    before = spec.species_table
    there = [before.index(z) if z in before else -1 for z in table]
    apart = wall.unmet(table, spec.cutoff, {name: getattr(found, name) for name in wall.FORMER})
    known = [i >= 0 and j >= 0 for i, j in itertools.combinations_with_replacement(there, 2)]
    rows, columns = np.triu_indices(len(table))
    i, j = np.array(there)[rows], np.array(there)[columns]
    tables = {
        name: np.where(known, wall.as_matrix(getattr(found, name), len(before))[i, j], own)
        for name, own in {"nearest": apart.nearest, "pushes": apart.pushes}.items()
    }
    return dataclasses.replace(found, **{k: tuple(x.tolist()) for k, x in tables.items()})


def _radii(
    spec: PotentialSpec, known: Sequence[float], table: tuple[int, ...], rows: np.ndarray
) -> tuple[float, ...]:
    """Radii of known elements stay; a new one has its own, not that of its likeness."""
    return tuple(
        known[row] if z in spec.species_table else float(elements.COVALENT_RADII[z])
        for z, row in zip(table, rows, strict=True)
    )


def _params(params: Mapping[str, Any], model_name: str, rows: np.ndarray) -> PyTree:
    model = registry.model_class(model_name)

    def chosen(path: tuple, leaf: Any) -> np.ndarray:
        names, own = [part.key for part in path], np.asarray(leaf)
        if registry.is_species_pair_table(model, names):
            return own[np.ix_(rows, rows)]
        return own[rows] if registry.is_species_table(model, names) else own

    found = jax.tree.map(np.asarray, dict(params))
    found["model"] = jax.tree_util.tree_map_with_path(chosen, params["model"])
    found |= {name: found[name][..., rows] for name in ("scale", "shift")}
    shifts = found.get(outputs.SHIFT, {})
    return {**found, **({outputs.SHIFT: {n: x[rows] for n, x in shifts.items()}} if shifts else {})}


def _range(found: DistanceRange | None, table: tuple[int, ...]) -> DistanceRange | None:
    """Distances between elements that are left."""
    if found is None:
        return None
    return dataclasses.replace(
        found,
        shortest={pair: x for pair, x in found.shortest.items() if set(pair) <= set(table)},
        longest={z: x for z, x in found.longest.items() if z in table},
        isolated={z: n for z, n in found.isolated.items() if z in table},
    )
