"""Many-body features of every node: symmetric powers of its features, coupled to irreps.

Features A are a mapping from irrep to an array ``[nodes, 2l+1, channels]``. Of a node n of species
s, with all components of A in one axis i,

    B[n, m, c] = Σ_ν Σ_k W_ν[s, k, c] Σ_{i1…iν} U_ν[i1, …, iν, k, m] A[n, i1, c] ⋯ A[n, iν, c]

for every irrep of the output. The couplings U_ν to an irrep are an orthonormal basis of all that
exist; k counts them, and they are symmetric in the indices i, because the product is.

``symmetric_contraction_reference`` is the contract, written with the dense couplings. Nearly all
their elements are zero, and most of the others belong to equal products: of 4096 products of three
out of 16 components, 77 different ones make an invariant. ``symmetric_contraction`` evaluates
these alone (``equipot.e3.kernels.polynomials``), and is what models use. Both must agree through
the second derivative, because training on forces differentiates twice.

Reference: Batatia et al. 2022 (MACE), eq. 10 and 11. arXiv:2206.07697
"""

import functools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from equipot.e3.arrays.irreps import Irrep
from equipot.e3.kernels import couplings, polynomials
from equipot.e3.kernels.couplings import Power
from equipot.typing import Array, Float, Int

Features = Mapping[Irrep, Array]
_FEW_SPECIES = 8


class _Plan(NamedTuple):
    """Polynomials of a contraction, its paths, and a matrix that mixes the weights of all paths."""

    system: polynomials.System
    paths: Mapping[Power, int]
    mixing: np.ndarray


def symmetric_contraction(
    features: Features,
    weights: Mapping[Power, Float[Array, "species paths channels"]],
    species: Int[Array, " nodes"],
    irreps_out: Iterable[Irrep],
    correlation: int,
) -> dict[Irrep, Array]:
    """Couples all powers of the features up to an order, as sparse polynomials.

    Args:
      features: ``{irrep: [nodes, 2l+1, channels]}``, in any order of irreps, with equal channels.
      weights: For each of ``couplings.powers``; nodes of the same species share them.
      species: Which of the weights are a node's own, one for each node, in any order.
      irreps_out: Irreps of the result; those without any coupling are left out.
      correlation: Highest order, at least 1.

    Returns:
      ``{irrep: [nodes, 2l+1, channels]}``.

    Raises:
      ValueError: Features, weights or species have other shapes or keys than described.
    """
    irreps, outputs = couplings.canonical(features), tuple(dict.fromkeys(irreps_out))
    _check(features, weights, species, outputs, correlation)
    plan = _plan(irreps, outputs, correlation)
    if not plan.mixing.size:
        return {}
    joined = jnp.concatenate([weights[power] for power in plan.paths], axis=1)
    mixing = plan.mixing.astype(joined.dtype)
    mixed = jnp.einsum("kr,skc->src", mixing, joined, precision="highest")
    operands = (tuple(features[irrep] for irrep in irreps), (_of_nodes(mixed, species),))
    values = polynomials.evaluate(plan.system, operands)
    found = dict.fromkeys(power.out for power in plan.paths)
    return dict(zip(found, values, strict=True))


def symmetric_contraction_reference(
    features: Features,
    weights: Mapping[Power, Float[Array, "species paths channels"]],
    species: Int[Array, " nodes"],
    irreps_out: Iterable[Irrep],
    correlation: int,
) -> dict[Irrep, Array]:
    """The same with dense couplings, an einsum for each power: what faster forms must equal."""
    irreps, outputs = couplings.canonical(features), tuple(dict.fromkeys(irreps_out))
    _check(features, weights, species, outputs, correlation)
    joined = jnp.concatenate([features[irrep] for irrep in irreps], axis=-2)
    result: dict[Irrep, Array] = {}
    for power in couplings.powers(irreps, outputs, correlation):
        dense = couplings.symmetric_coupling(irreps, power).astype(joined.dtype)
        own = weights[power][species]
        partial = jnp.einsum("...km,nkc->n...mc", dense, own, precision="highest")
        for _ in range(power.order):
            partial = jnp.einsum("ni...c,nic->n...c", partial, joined, precision="highest")
        result[power.out] = result[power.out] + partial if power.out in result else partial
    return result


def _check(
    features: Features,
    weights: Mapping[Power, Array],
    species: Array,
    irreps_out: Iterable[Irrep],
    correlation: int,
) -> None:
    """Compares features, weights and species with what a contraction needs."""
    expected = couplings.powers(features, irreps_out, correlation)
    channels = {array.shape[-1] for array in features.values()}
    if len(channels) > 1:
        raise ValueError(
            f"expected the same channels for all irreps, received {sorted(channels)}: products are "
            "taken channel by channel; mix channels linearly before"
        )
    for irrep, array in features.items():
        if array.ndim != 3 or array.shape[1] != irrep.dim:
            raise ValueError(
                f"expected features of {irrep} [nodes, {irrep.dim}, channels], "
                f"received {array.shape}"
            )
        if species.shape != array.shape[:1]:
            raise ValueError(
                f"expected a species for each of the {len(array)} nodes of {irrep}, received shape "
                f"{species.shape}"
            )
    if set(weights) != set(expected):
        raise ValueError(f"expected weights of {list(expected)}, received {list(weights)}")
    num_species = {len(array) for array in weights.values()}
    if len(num_species) > 1:
        raise ValueError(
            f"expected weights of the same species for all powers, received {sorted(num_species)}"
        )
    for power, paths in expected.items():
        shape = weights[power].shape
        if len(shape) != 3 or shape[1:] != (paths, *channels):
            raise ValueError(
                f"expected weights of order {power.order} to {power.out} "
                f"[species, {paths}, {channels.pop()}], received {shape}"
            )


@functools.cache
def _plan(irreps: tuple[Irrep, ...], outputs: tuple[Irrep, ...], correlation: int) -> _Plan:
    """Writes the contraction as polynomials of features (group 0) and weights (group 1)."""
    paths = couplings.powers(irreps, outputs, correlation)
    total, first = sum(paths.values()), 0
    mixing = np.zeros((total, total))
    terms: dict[Irrep, list[list[polynomials.Term]]] = {}
    variables = [
        polynomials.Variable(0, i, m) for i, irrep in enumerate(irreps) for m in range(irrep.dim)
    ]
    for power, number in paths.items():
        monomials, coefficients, matrix = couplings.sparse(
            couplings.symmetric_coupling(irreps, power)
        )
        collected = terms.setdefault(power.out, [[] for _ in range(power.out.dim)])
        for t, k, m in zip(*np.nonzero(coefficients), strict=True):
            product = tuple(variables[i] for i in monomials[t])
            weight = polynomials.Variable(1, 0, first + int(k))
            term = polynomials.Term(float(coefficients[t, k, m]), (*product, weight))
            collected[m].append(term)
        mixing[first : first + number, first : first + number] = matrix
        first += number
    components = tuple(tuple(tuple(p) for p in output) for output in terms.values())
    system = polynomials.System((tuple(irrep.dim for irrep in irreps), (total,)), components)
    return _Plan(system, paths, mixing)


def _of_nodes(
    weights: Float[Array, "species paths channels"], species: Int[Array, " nodes"]
) -> Float[Array, "nodes paths channels"]:
    """The weights of each node.

    With few species a product with an indicator is preferred: its derivative sums many nodes into
    few rows, which is slow on a GPU and in no fixed order where it is a scatter.
    """
    if len(weights) > _FEW_SPECIES:
        return weights[species]
    chosen = species[:, None] == jnp.arange(len(weights), dtype=species.dtype)[None]
    return jnp.einsum("ns,skc->nkc", chosen.astype(weights.dtype), weights, precision="highest")
