"""Tensor products with an environment, as operators that belong to the node.

A layer couples features V with the environment A of a node, channel by channel, with weights w that
are the same for whatever has that node:

    V'[c, u] = Σ_paths w[path, u] Σ_{a, b} C_path[a, b, c] V[a, u] A[b, u].

V' is linear in V. Where only the scalars after some layers are wanted, all V at one node share a
row vector of the node,

    Q = e_scalar T_n … T_1,        scalar after n layers = Σ_a Q[a, u] V[a, u],

made from its left end by ``scalar_operator``: one product for each layer and node, none for each V.

Components of several irreps lie side by side here, ``[nodes, components, channels]``.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from equipot.e3.arrays.irreps import Irrep
from equipot.e3.kernels.convolution import Path, paths
from equipot.e3.products.tensor_product import coupling
from equipot.typing import Array, Float

SCALAR = Irrep("0e")


class Layer(NamedTuple):
    """The couplings of one layer.

    Attributes:
      before: Irreps of the features that enter, in the order of their components.
      environment: Irreps of the environment.
      after: Irreps of the result.
      paths: Couplings (feature, environment, result).
    """

    before: tuple[Irrep, ...]
    environment: tuple[Irrep, ...]
    after: tuple[Irrep, ...]
    paths: tuple[Path, ...]


@functools.cache
def layers(
    environment: tuple[Irrep, ...], allowed: tuple[Irrep, ...], number: int
) -> tuple[Layer, ...]:
    """Layers one after the other, of which the last makes scalars alone.

    The first features have the irreps of the environment. Irreps that are out of reach, and those
    on which no later scalar depends, are left out.

    Args:
      environment: Irreps of the environment of every layer.
      allowed: Irreps that features may have between layers.
      number: Number of layers, at least 1.
    """
    reached = [environment]
    for _ in range(number - 1):
        found = {path.out for path in paths(reached[-1], environment, allowed)}
        reached.append(tuple(irrep for irrep in allowed if irrep in found))
    result: list[Layer] = []
    after: tuple[Irrep, ...] = (SCALAR,)
    for candidates in reversed(reached):
        couplings = paths(candidates, environment, after)
        used = {path.node for path in couplings}
        before = tuple(irrep for irrep in candidates if irrep in used)
        result.insert(0, Layer(before, environment, after, couplings))
        after = before
    return tuple(result)


def scalar_operator(
    chain: Sequence[Layer],
    weights: Sequence[Float[Array, "_ channels"]],
    environments: Sequence[Float[Array, "nodes environment channels"]],
) -> Float[Array, "nodes components channels"]:
    """Q of the scalars after all given layers, on the components of the first features.

    Args:
      chain: The first layers of a model, from the first on.
      weights: Of the paths of each layer, those to one irrep divided by the root of their number.
      environments: The environment that each layer couples to.
    """
    last = environments[-1]
    q, after = jnp.ones((len(last), 1, last.shape[-1]), last.dtype), (SCALAR,)
    for layer, weight, environment in zip(
        reversed(chain), reversed(weights), reversed(environments), strict=True
    ):
        q = _pull_back(layer._replace(after=after), weight, environment, q)
        after = layer.before
    return q


def _pull_back(
    layer: Layer,
    weights: Float[Array, "paths channels"],
    environment: Float[Array, "nodes environment channels"],
    after: Float[Array, "nodes after channels"],
) -> Float[Array, "nodes before channels"]:
    """Takes a row vector on the results of a layer to that on its inputs.

    q[a] = Σ_paths w[path] Σ_{b, c} C_path[a, b, c] A[b] q'[c] / √(paths to the result)

    Written with dense couplings, one matrix product per channel: there are few nodes, and sparse
    sums of products would be long to compile.
    """
    path, coefficients = _dense(layer)
    nodes, _, channels = environment.shape
    table = weights[path] * jnp.asarray(coefficients, weights.dtype)[:, :, None]
    left, right = environment.transpose(2, 0, 1), after.transpose(2, 0, 1)
    products = (left[:, :, :, None] * right[:, :, None, :]).reshape(channels, nodes, -1)
    return jnp.einsum("unk,kau->nau", products, table, precision="highest")


@functools.cache
def _dense(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    """For [environment × result, input] the path of each coefficient, and the coefficient."""
    first = [starts(irreps) for irreps in layer[:3]]
    shape = [sum(irrep.dim for irrep in irreps) for irreps in layer[:3]]
    number, coefficients = np.zeros(shape, np.int32), np.zeros(shape)
    for n, path in enumerate(layer.paths):
        if path.out in layer.after:
            block = tuple(
                slice(start[irrep], start[irrep] + irrep.dim)
                for start, irrep in zip(first, path, strict=True)
            )
            fan_in = sum(other.out == path.out for other in layer.paths)
            number[block], coefficients[block] = n, coupling(*path) * fan_in**-0.5
    number, coefficients = (
        x.transpose(1, 2, 0).reshape(-1, shape[0]) for x in (number, coefficients)
    )
    return number, coefficients


def starts(irreps: Sequence[Irrep]) -> dict[Irrep, int]:
    """Where the components of each irrep begin."""
    ends = np.cumsum([irrep.dim for irrep in irreps])
    return {irrep: int(end) - irrep.dim for irrep, end in zip(irreps, ends, strict=True)}
