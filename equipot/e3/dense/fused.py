"""The tensor product of dense features as a product of matrices."""

import functools
import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from equipot.e3.dense import features, so3
from equipot.e3.dense.features import Layout
from equipot.typing import Array

# Parities of two factors and of their product.
PRODUCTS = ("eee", "ooe", "eoo", "oeo")

_Shape = tuple[int, int]


@functools.cache
def kernels(one: _Shape, two: _Shape, three: _Shape) -> dict[str, tuple[int, float, np.ndarray]]:
    """Number of degrees, scale of the variance and mask ``[degrees, 1]`` of each weight.

    The scales are such that independent inputs of unit variance give unit variance on average over
    the components of the output.

    Args:
      one: Parities and maximum degree of the first input.
      two: Of the second input.
      three: Of the output.
    """
    masks = {f"{p}{i}": _mask(shape, p) for i, shape in ((1, one), (2, two)) for p in "eo"}
    masks |= {name: _mask(three, name[2]) for name in PRODUCTS}
    first, second, third = (_couplings(_side(one, two, three), s[1]) for s in (one, two, three))
    power = np.einsum("ija,jkb,ikc->abc", first, second, third, optimize=True) ** 2
    variances = []
    for name in PRODUCTS:
        of_inputs = (_by_component(masks[f"{name[i]}{i + 1}"]) for i in (0, 1))
        part = np.einsum("abc,a,b->c", power, *of_inputs)[_by_component(masks[name])]
        variances.append(part)
    # Two products share an output irrep, each with weights of variance 1/2.
    mean = sum(map(np.sum, variances)) / max(sum(map(len, variances)), 1)
    scale = 1.0 / math.sqrt(mean) if mean > 0 else 1.0
    result = {name: (len(mask), scale, mask[:, None]) for name, mask in masks.items()}
    return result | {name: (len(masks[name]), 0.5, masks[name][:, None]) for name in PRODUCTS}


def couple(
    x: Array,
    y: Array,
    weights: dict[str, Array],
    three: Layout,
    cartesian_order: bool,
    precision: Any,
) -> Array:
    """Product of the matrices of both inputs, as features of layout ``three``."""
    one, two = features.layout(x), features.layout(y)
    side = _side(one[:2], two[:2], three[:2])
    matrices = {}
    for i, z, shape in ((1, x, one), (2, y, two)):
        table = _couplings(side, shape.max_degree, cartesian_order).astype(x.dtype)
        for p in "eo":
            part = z[..., "eo".index(p) if shape.num_parity == 2 else 0, :, :]
            part = part * _expand(weights[f"{p}{i}"], _mask(shape[:2], p), part.ndim)
            matrix = jnp.einsum("ijm,...mf->...ijf", table, part, precision=precision)
            matrices[f"{p}{i}"] = matrix
    table = _couplings(side, three.max_degree, cartesian_order).astype(x.dtype)
    result: dict[str, Any] = {"e": 0.0, "o": 0.0}
    for name in PRODUCTS:
        product = _multiply(matrices[f"{name[0]}1"], matrices[f"{name[1]}2"])
        part = jnp.einsum("ijm,...ijf->...mf", table, product, precision=precision)
        mask = _mask(three[:2], name[2])
        result[name[2]] = result[name[2]] + part * _expand(weights[name], mask, part.ndim)
    if three.num_parity == 1:
        return (result["e"] + result["o"])[..., None, :, :]
    return jnp.stack([result["e"], result["o"]], axis=-3)


def _multiply(a: Array, b: Array) -> Array:
    """Products of matrices ``[..., i, j, F]``, one for each channel."""
    total = a[..., :, :1, :] * b[..., :1, :, :]
    for j in range(1, a.shape[-2]):
        total = total + a[..., :, j : j + 1, :] * b[..., j : j + 1, :, :]
    return total


def _side(*shapes: _Shape) -> int:
    """The degree t whose matrices of side 2t+1 hold all degrees."""
    return -(-max(degree for _, degree in shapes) // 2)


def _couplings(side: int, max_degree: int, cartesian_order: bool = True) -> np.ndarray:
    """Couplings (t, t, l) of all degrees l, side by side: orthonormal matrices."""
    degrees = range(max_degree + 1)
    tables = [so3.clebsch_gordan_for_degrees(side, side, l, cartesian_order) for l in degrees]
    return np.concatenate(tables, axis=-1)


def _mask(shape: _Shape, parity: str) -> np.ndarray:
    """True at the degrees that features have of a parity."""
    num_parity, max_degree = shape
    sign = 1 if parity == "e" else -1
    degrees = range(max_degree + 1)
    return np.array([num_parity == 2 or (-1) ** l == sign for l in degrees])


def _expand(weights: Array, mask: np.ndarray, ndim: int) -> Array:
    """Weights of degrees as weights of components, 0 where the mask is false."""
    rows = jnp.where(mask[:, None], weights, 0.0)[np.repeat(range(len(mask)), _sizes(mask))]
    return rows.reshape((1,) * (ndim - 2) + rows.shape)


def _by_component(mask: np.ndarray) -> np.ndarray:
    return np.repeat(mask, _sizes(mask))


def _sizes(mask: np.ndarray) -> np.ndarray:
    return 2 * np.arange(len(mask)) + 1
