"""Quantities of atoms as sums over pairs: Σ_j w[ij] Yˡ(r_ij), for models whose pairs have scalars.

Components are arrays of their own until pairs are summed.
"""

from collections.abc import Sequence

import jax.numpy as jnp

from equipot.e3.arrays.irreps import Irreps
from equipot.e3.kernels.convolution import spread
from equipot.typing import Array, Float

Outputs = tuple[tuple[str, str], ...]
"""Name and irreps of each quantity, as in a ``ModelContext``; of natural parity: 0e, 1o, 2e, …"""


def components(
    outputs: Outputs,
    weights: Sequence[Float[Array, "edges _"]],
    harmonics: Sequence[Float[Array, " edges"]],
) -> list[Array]:
    """What each pair adds to its center: an array [edges, multiplicity] for each component.

    Args:
      outputs: What to make.
      weights: For each part of the irreps one number for each copy, [edges, multiplicity].
      harmonics: Components of the spherical harmonics from degree 1 on.
    """
    parts = [part for _, irreps in outputs for part in Irreps(irreps)]
    found = []
    for part, weight in zip(parts, weights, strict=True):
        degree = part.ir.l
        found += [
            weight * spread(harmonics[m - 1], part.mul) if m else weight
            for m in range(degree**2, (degree + 1) ** 2)
        ]
    return found


def assemble(
    outputs: Outputs, sums: Sequence[Float[Array, "nodes _"]], norm: Float[Array, " nodes"]
) -> dict[str, Array]:
    """The quantities by name, [nodes, components], of the sums of their components.

    Args:
      outputs: What to make.
      sums: Over the pairs of each atom, in the order of ``components``.
      norm: What to multiply the sums of each atom with.
    """
    rest, found = iter(sums), {}
    for name, irreps in outputs:
        parts = [jnp.stack([next(rest) for _ in range(p.ir.dim)], axis=-1) for p in Irreps(irreps)]
        flat = jnp.concatenate([part.reshape(len(norm), -1) for part in parts], axis=1)
        found[name] = flat * norm[:, None]
    return found
