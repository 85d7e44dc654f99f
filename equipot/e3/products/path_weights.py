"""The weights of the paths of an equivariant map: their normalisation, and how they are handed in.

A path i sums nᵢ products of unit variance into an output. To give the output unit variance too, it
is multiplied by fᵢ = (nᵢᵅ Σⱼ nⱼ¹⁻ᵅ)^(-1/2), the sum over all paths into that output: α = 0 (named
``element``) weighs every product alike, α = 1 (``path``) every path. Of fᵢ the part fᵢᵝ stands in
the forward pass and fᵢ¹⁻ᵝ in the standard deviation of initial weights: with β = 1 (``path``) every
path learns alike, with β = 0 (``element``) every weight does.
"""

import math
from collections.abc import Collection, Sequence
from typing import TypeAlias

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from equipot.e3.arrays.irreps import Irreps
from equipot.typing import Array

Normalization: TypeAlias = str | int | float | None
Weights: TypeAlias = Sequence[ArrayLike] | ArrayLike
Shape: TypeAlias = tuple[int, ...]
_NAMED = {"element": 0.0, "path": 1.0}
_DEFAULTS = {"path_normalization": "element", "gradient_normalization": "path"}


def exponent(normalization: Normalization, name: str) -> float:
    """The exponent α or β of a normalisation.

    Args:
      normalization: ``element``, ``path`` or a number between those, which are 0 and 1. None
        stands for the default: ``element`` for paths, ``path`` for gradients.
      name: What the message of an error calls it.

    Raises:
      ValueError: It is neither of the names, nor a number from 0 to 1.
    """
    if normalization is None:
        normalization = _DEFAULTS[name]
    value = _NAMED.get(normalization) if isinstance(normalization, str) else float(normalization)
    if value is None or not 0.0 <= value <= 1.0:
        raise ValueError(
            f"expected 'element', 'path' or a number from 0 to 1 for {name}, "
            f"received {normalization!r}"
        )
    return value


def variances(
    sizes: Sequence[int | float], outputs: Sequence[int], normalization: Normalization
) -> list[float]:
    """Variance fᵢ² given to each path; 1 where a path has no products.

    Args:
      sizes: Number nᵢ of products of each path, or their summed variance.
      outputs: The output of each path.
      normalization: The exponent α.
    """
    alpha = exponent(normalization, "path_normalization")
    total = dict.fromkeys(outputs, 0.0)
    for n, output in zip(sizes, outputs, strict=True):
        total[output] += n ** (1.0 - alpha) if n else 0.0
    return [
        1.0 / (n**alpha * total[output]) if n else 1.0
        for n, output in zip(sizes, outputs, strict=True)
    ]


def split_factor(factor: float, normalization: Normalization) -> tuple[float, float]:
    """Splits a factor into that of the forward pass and that of the initial weights.

    Args:
      factor: The factor f.
      normalization: The exponent β.
    """
    beta = exponent(normalization, "gradient_normalization")
    return factor**beta, factor ** (1.0 - beta)


def count(shapes: Sequence[Shape]) -> int:
    """Number of all weights."""
    return sum(math.prod(shape) for shape in shapes)


def split_weights(weights: ArrayLike, shapes: Sequence[Shape], owner: object) -> list[Array]:
    """Cuts the last axis of a vector of all weights into arrays ``[..., *shape]``.

    Args:
      weights: All weights, path after path.
      shapes: Shape of the weights of each path.
      owner: What the message of an error names.

    Raises:
      ValueError: The last axis has the wrong length.
    """
    weights = jnp.asarray(weights)
    if weights.ndim == 0 or weights.shape[-1] != count(shapes):
        raise ValueError(
            f"{owner}: expected {count(shapes)} weights along the last axis, received an array of "
            f"shape {weights.shape}"
        )
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    parts = jnp.split(weights, ends[:-1], axis=-1) if shapes else []
    return [
        part.reshape(*weights.shape[:-1], *shape) for part, shape in zip(parts, shapes, strict=True)
    ]


def as_arrays(ws: Weights, shapes: Sequence[Shape], owner: object) -> list[Array]:
    """One array ``[..., *shape]`` for each path, from a sequence of them or one vector of all.

    Raises:
      ValueError: The number of arrays or a shape is wrong.
    """
    if not isinstance(ws, Sequence):
        return split_weights(ws, shapes, owner)
    arrays = [jnp.asarray(w) for w in ws]
    ends = [w.shape[max(0, w.ndim - len(s)) :] for w, s in zip(arrays, shapes, strict=False)]
    if len(arrays) != len(shapes) or ends != list(shapes):
        raise ValueError(
            f"{owner}: expected weights whose shapes end in {list(shapes)}, received "
            f"{[w.shape for w in arrays]}"
        )
    return arrays


def output_mask(irreps_out: Irreps, reached: Collection[int]) -> np.ndarray:
    """For each component of the output, whether its entry is among those that are reached."""
    flags = [i in reached for i in range(len(irreps_out))]
    return np.repeat(np.array(flags, bool), [item.dim for item in irreps_out])
