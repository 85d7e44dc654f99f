"""Parameters of a model of ours, to write those of another program over."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from equipot import errors
from equipot.e3.functions import activations
from equipot.models.context import ModelContext
from equipot.typing import PyTree


def zeros(model: Any, config: Any, num_species: int, average: float) -> PyTree:
    """All parameters of a model, zero, float64.

    Args:
      model: Its class.
      config: Its settings.
      num_species: Number of species.
      average: Mean number of neighbors.
    """
    table = tuple(range(1, num_species + 1))  # which they are does not matter here
    context = ModelContext(species_table=table, avg_num_neighbors=average)
    ours = model(config=config, context=context)
    index, vectors = jnp.zeros(2, jnp.int32), jnp.ones((2, 3))
    shapes = jax.eval_shape(ours.init, jax.random.key(0), vectors, index, index, index)["params"]
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape), shapes)


def fill_hidden(
    target: PyTree, matrices: Sequence[np.ndarray], basis_ratio: float, place: str
) -> np.ndarray:
    """Writes the hidden layers of a radial network; returns what its last matrix becomes here.

    Silu is normalised here: what it is larger by is taken off the matrix that follows.

    Args:
      target: Parameters of our radial network.
      matrices: Theirs, for a plain silu.
      basis_ratio: Theirs over ours, for the radial basis.
      place: Where it stands, for messages.
    """
    factor = basis_ratio
    for i, matrix in enumerate(matrices[:-1]):
        put(target, f"hidden_{i}", matrix * factor * math.sqrt(len(matrix)), place)
        factor = silu_constant() ** -1
    return matrices[-1] * factor * math.sqrt(len(matrices[-1]))


def silu_constant() -> float:
    """What silu is multiplied by here, for a second moment of one."""
    return activations.second_moment(jax.nn.silu) ** -0.5


def put(target: PyTree, name: str, value: np.ndarray, place: str) -> None:
    """Writes an array over one of ours of the same shape.

    Raises:
      ConversionError: If there is none, or it has another shape.
    """
    wanted = target[name].shape if name in target else None
    if wanted != value.shape:
        raise errors.ConversionError(
            f"{place}: expected an array of shape {wanted} for {name}, received {value.shape}"
        )
    target[name][...] = value


def numbers(found: Any, shape: tuple[int, ...] | None, place: str) -> np.ndarray:
    """Finite numbers of a shape, in float64.

    Args:
      found: What stands in a file.
      shape: What is expected; None for any.
      place: The file and the name of the array, for messages.

    Raises:
      ConversionError: If it is something else.
    """
    is_array = isinstance(found, np.ndarray) and found.dtype.kind == "f"
    if not is_array or (shape is not None and found.shape != shape):
        have = f"{found.dtype} of {found.shape}" if isinstance(found, np.ndarray) else "nothing"
        raise errors.ConversionError(
            f"{place}: expected numbers{f' of shape {shape}' if shape else ''}, received {have}; is"
            " the file of another architecture, or cut short?"
        )
    if not np.isfinite(found).all():
        raise errors.ConversionError(f"{place}: holds numbers that are not finite")
    return found.astype(np.float64)
