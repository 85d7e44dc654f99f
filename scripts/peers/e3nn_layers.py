"""The layers of ``scripts/benchmark/layers.py`` as one writes them with e3nn-jax.

They take the parameters of our layers, joined as e3nn-jax wants them, and give the same numbers.
"""

from collections.abc import Mapping
from typing import Any

import e3nn_jax  # pyright: ignore[reportMissingImports]
import jax
import jax.numpy as jnp

from equipot.e3.arrays.irreps import Irrep
from equipot.e3.kernels.convolution import Path
from equipot.typing import Array, PyTree

SILU = e3nn_jax.normalize_function(jax.nn.silu)


def join(features: Mapping[Irrep, Array]) -> Array:
    """``{irrep: [nodes, 2l+1, channels]}`` as one array, multiplicity outside."""
    chunks = [jnp.swapaxes(x, 1, 2).reshape(len(x), -1) for x in features.values()]
    return jnp.concatenate(chunks, axis=1)


def convolution_params(params: Mapping[str, Any], paths: list[Path]) -> dict[str, PyTree]:
    """Our parameters with the paths joined, in the order of e3nn-jax: by irrep of the message."""
    names = {path: "_".join(map(str, path)) for path in _in_order(paths)}
    radial, linear = params["radial"], params["linear_down"]
    outputs = dict.fromkeys(path.out for path in names)
    return {
        "hidden": [radial[name] for name in sorted(radial) if name.startswith("hidden")],
        "last": jnp.concatenate([radial[name] for name in names.values()], axis=1),
        "linear": [
            jnp.concatenate([linear[name] for path, name in names.items() if path.out == irrep])
            for irrep in outputs
        ],
    }


def convolution(
    params: Mapping[str, Any],
    node_feats: Array,
    edge_sh: Array,
    basis: Array,
    senders: Array,
    receivers: Array,
    *,
    irreps: tuple[str, str, str],
    num_nodes: int,
) -> e3nn_jax.IrrepsArray:
    """Gather, tensor product, radial weights, sum at receivers, linear map.

    Args:
      params: Of ``convolution_params``.
      node_feats: [nodes, dim].
      edge_sh: [edges, dim].
      basis: [edges, basis].
      senders: [edges].
      receivers: [edges].
      irreps: Of nodes, of edges, and of the result.
      num_nodes: Number of nodes.
    """
    hidden = basis
    for weight in params["hidden"]:
        hidden = SILU(hidden @ weight / weight.shape[0] ** 0.5)
    weights = hidden @ params["last"] / hidden.shape[-1] ** 0.5
    x = e3nn_jax.IrrepsArray(irreps[0], node_feats)[senders]
    y = e3nn_jax.IrrepsArray(irreps[1], edge_sh)
    out = e3nn_jax.Irreps(irreps[2])
    messages = e3nn_jax.tensor_product(x, y, filter_ir_out=[ir for _, ir in out]) * weights
    summed = e3nn_jax.scatter_sum(messages, dst=receivers, output_size=num_nodes)
    linear = e3nn_jax.FunctionalLinear(summed.irreps, out)
    return jax.vmap(linear, (None, 0))(params["linear"], summed)


def harmonics(vectors: Array, lmax: int) -> Array:
    """Spherical harmonics of unit vectors in component normalisation, [edges, dim]."""
    irreps = e3nn_jax.Irreps.spherical_harmonics(lmax)
    return e3nn_jax.spherical_harmonics(
        irreps, e3nn_jax.IrrepsArray("1o", vectors), normalize=False, normalization="component"
    ).array


def couplings(irreps_in: str, irreps_out: str, correlation: int) -> dict[tuple[int, str], Array]:
    """Dense couplings [dim, …, dim, paths, 2l+1] of symmetric powers, by order and irrep."""
    keep = [ir for _, ir in e3nn_jax.Irreps(irreps_out)]
    result = {}
    for order in range(correlation, 0, -1):
        basis = e3nn_jax.reduced_symmetric_tensor_product_basis(irreps_in, order, keep_ir=keep)
        for (_, irrep), chunk in zip(basis.irreps, basis.chunks, strict=True):
            result[order, str(irrep)] = jnp.asarray(chunk, jnp.float32)
    return result


def contraction(
    weights: Mapping[tuple[int, str], Array],
    features: Array,
    species: Array,
    *,
    dense: Mapping[tuple[int, str], Array],
    correlation: int,
) -> dict[str, Array]:
    """The symmetric contraction of MACE, nested from the highest order down.

        B = ((U₃ W₃ · A + U₂ W₂) · A + U₁ W₁) · A

    Args:
      weights: ``{(order, irrep): [species, paths, channels]}``.
      features: [nodes, channels, dim].
      species: [nodes].
      dense: Of ``couplings``.
      correlation: Highest order.
    """

    def one_node(x: Array, own: Mapping[tuple[int, str], Array]) -> dict[str, Array]:
        partial: dict[str, Array] = {}
        for order in range(correlation, 0, -1):
            partial = {
                irrep: jnp.einsum("c...jd,cj->c...d", t, x, precision="highest")
                for irrep, t in partial.items()
            }
            for (of_order, irrep), u in dense.items():
                if of_order == order:
                    w = own[order, irrep]
                    term = jnp.einsum("...jkd,kc,cj->c...d", u, w, x, precision="highest")
                    partial[irrep] = partial[irrep] + term if irrep in partial else term
        return partial

    return jax.vmap(one_node)(features, {name: w[species] for name, w in weights.items()})


def _in_order(paths: list[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: path.out)
