"""Parameters of elements that are alike are drawn alike, where there are many elements.

A table with a row of its own for each of dozens of elements knows nothing of the periodic table,
and few structures have a given element: what is learnt of one must hold for its relatives.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from equipot.data import elements
from equipot.models import registry
from equipot.typing import Array, PyTree


def alike(params: PyTree, model: type[nn.Module], species_table: Sequence[int]) -> PyTree:
    """The random parameters of a model, with rows of species that are correlated.

    Each table T of independent rows becomes L T, with L Lᵀ = ``elements.similarity``: every row is
    as it was drawn from N(0, 1), and two of them have the elements' similarity in common. Tables
    whose rows are equal, and all tables for at most eight species, stay as they are.

    In float64 this must be called inside ``potential.precision.of``.

    Args:
      params: Of the model.
      model: Its class, which names its tables of species.
      species_table: Atomic numbers.
    """
    if len(species_table) <= registry.FEW_SPECIES:
        return params
    factor = np.linalg.cholesky(elements.similarity(species_table))

    def correlated(path: tuple, leaf: Array) -> Array:
        is_table = registry.is_species_table(model, [part.key for part in path])
        if not is_table or not np.ptp(np.asarray(leaf), axis=0).any():
            return leaf
        return jnp.tensordot(jnp.asarray(factor, leaf.dtype), leaf, axes=1)

    return jax.tree_util.tree_map_with_path(correlated, params)
