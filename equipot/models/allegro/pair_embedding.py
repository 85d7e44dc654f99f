"""A hidden layer from functions of the distance of two atoms and from what they are.

First comes a matrix that depends on both species:

- ``radial`` M, ``centre`` and ``neighbor``: x = (b M) ∘ (centre[species] ⊕ neighbor[species]),
- ``splines`` M: x = b M[species of the center, species of the neighbor],
- ``table``: either of these for few species, times the matrix that follows, in one product of
  all functions of all pairs of species, of which those of one pair are not zero.

Then come ``hidden`` matrices with activations: x = act(x H) for each.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from equipot.typing import Array, Float, Int


def fold(
    first: Mapping[str, Array], hidden: Sequence[Array]
) -> tuple[dict[str, Array], list[Array]]:
    """Makes a ``table`` of the first matrix and of the first hidden one, where there is one.

    Returns:
      The table (``linear_table`` without hidden matrices), and the hidden matrices left.
    """
    if "splines" in first:
        table = first["splines"]
    else:
        center, neighbor = first["centre"][:, None], first["neighbor"][None]
        shape = len(first["centre"]), len(first["neighbor"]), center.shape[-1]
        ends = [jnp.broadcast_to(end, shape) for end in (center, neighbor)]
        table = jnp.concatenate(ends, axis=-1)[:, :, None, :] * first["radial"][None, None]
    table = table.reshape(-1, table.shape[-1])
    if not hidden:
        return {"linear_table": table}, []
    return {"table": table @ hidden[0]}, list(hidden[1:])


def evaluate(
    activation: Callable[[Array], Array],
    params: Mapping[str, Any],
    basis: Float[Array, "edges basis"],
    pair: Int[Array, " edges"],
) -> Float[Array, "edges width"]:
    """The hidden layer of every pair of atoms.

    Args:
      activation: Of the hidden matrices.
      params: The first matrix in one of its forms, and ``hidden`` ones.
      basis: Functions of the distance.
      pair: Species of the center times the number of species, plus that of the neighbor.
    """
    if "table" in params:
        x = activation(_typed(basis, pair, len(params["table"])) @ params["table"])
    elif "linear_table" in params:
        x = _typed(basis, pair, len(params["linear_table"])) @ params["linear_table"]
    elif "splines" in params:
        splines = params["splines"]
        x = jnp.einsum("eb,ebd->ed", basis, splines.reshape(-1, *splines.shape[2:])[pair])
    else:
        number = jnp.asarray(len(params["neighbor"]), pair.dtype)
        ends = params["centre"][pair // number], params["neighbor"][pair % number]
        x = (basis @ params["radial"]) * jnp.concatenate(ends, axis=-1)
    for matrix in params["hidden"]:
        x = activation(x @ matrix)
    return x


def _typed(basis: Array, pair: Array, width: int) -> Float[Array, "edges width"]:
    """The functions of every pair of species, zero for all but one."""
    pairs = jnp.arange(width // basis.shape[-1], dtype=pair.dtype)
    chosen = (pair[:, None] == pairs[None])[:, :, None]
    return jnp.where(chosen, basis[:, None, :], 0.0).reshape(len(basis), width)
