"""Units and means of declared quantities from data, so that a model learns numbers of order one.

NumPy only; everything is in float64.
"""

from collections.abc import Sequence

import numpy as np

from equipot.data import columns
from equipot.data import structure as structures_
from equipot.data.structure import Structure
from equipot.potential import outputs
from equipot.quantities import Quantity


def quantity_scales(
    structures: Sequence[Structure], quantities: Sequence[Quantity], species_table: Sequence[int]
) -> dict[str, tuple[float, np.ndarray]]:
    """Scale and shift of each quantity, as ``potential.init_params`` takes them.

    The shift is the mean of each invariant component: of the atoms of a species, or of structures
    shared among species by least squares. The scale is the root mean square of what is left, all
    components together; of structures it is divided by √N, since N atoms add up to them. Without
    labels they are 1 and 0.

    Args:
      structures: The training set.
      quantities: What is predicted.
      species_table: Atomic numbers.

    Returns:
      By name the scale, in the unit of the labels, and the shift [species, components of 0e].
    """
    return {
        quantity.name: _scale_and_shift(structures, quantity, np.asarray(species_table))
        for quantity in quantities
    }


def _scale_and_shift(
    structures: Sequence[Structure], quantity: Quantity, species_table: np.ndarray
) -> tuple[float, np.ndarray]:
    places = outputs.invariants(quantity)
    labelled = columns.labelled(structures, quantity.name)
    if not labelled:
        return 1.0, np.zeros((len(species_table), len(places)))
    stacked = columns.label_values(labelled, quantity)
    rest = outputs.components(stacked, quantity)
    if quantity.per == "atom":
        species, sizes = np.searchsorted(species_table, columns.atomic_numbers(labelled)), 1.0
        shift = _means(rest[:, places], species, len(species_table))
        rest[:, places] -= shift[species]
    else:
        counts = structures_.compositions(labelled, species_table.tolist()).astype(np.float64)
        sizes = counts.sum(axis=1, keepdims=True)
        shift = np.linalg.lstsq(counts, rest[:, places], rcond=None)[0]
        rest[:, places] -= counts @ shift
    rms = float(np.sqrt(np.mean(rest**2 / sizes)))
    return (rms if rms > 0 else 1.0), shift


def _means(values: np.ndarray, species: np.ndarray, count: int) -> np.ndarray:
    """Mean of each column for each species, [species, columns]; 0 for one without atoms."""
    numbers = np.maximum(np.bincount(species, minlength=count), 1)
    sums = [np.bincount(species, own, minlength=count) for own in values.T]
    return np.stack(sums, axis=1) / numbers[:, None] if sums else np.zeros((count, 0))
