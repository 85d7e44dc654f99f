"""Couplings of symmetric powers of features to irreps, and other bases of them.

Of all products of ν components of the features, the couplings U_ν to an irrep pick those sums that
transform like it. They are a basis of all that exist, symmetric in the ν indices because the
product is, and made by ``equipot.e3.products.reduced``. Whoever made a model with another basis
finds in ``change_of_basis`` the matrix for its weights.
"""

import functools
import itertools
import math
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from equipot.e3.arrays.irreps import Irrep, Irreps
from equipot.e3.products import reduced
from equipot.typing import Float


class Power(NamedTuple):
    """A symmetric power of the features, and the irrep that it is coupled to."""

    order: int
    out: Irrep


def powers(
    irreps_in: Iterable[Irrep], irreps_out: Iterable[Irrep], correlation: int
) -> dict[Power, int]:
    """Lists the powers that have couplings, and how many: weights are [species, paths, channels].

    Args:
      irreps_in: Irreps of the features, in any order.
      irreps_out: Irreps of the result; those without any coupling are left out.
      correlation: Highest order, at least 1.

    Raises:
      ValueError: The correlation is below 1, or there are no features.
    """
    irreps = canonical(irreps_in)
    if correlation < 1:
        raise ValueError(f"expected a correlation of at least 1, received {correlation}")
    if not irreps:
        raise ValueError("expected features of at least one irrep, received none")
    candidates = [Power(n, out) for out in irreps_out for n in range(1, correlation + 1)]
    paths = {power: symmetric_coupling(irreps, power).shape[-2] for power in candidates}
    return {power: number for power, number in paths.items() if number}


@functools.cache
def symmetric_coupling(irreps_in: tuple[Irrep, ...], power: Power) -> np.ndarray:
    """The couplings U of one power, float64 [dim, …, dim, paths, 2l+1].

    Σ over all i of U[…, k, m] U[…, k', m'] = δ_kk' δ_mm'. The indices run over the components of
    ``irreps_in``, which the contraction takes in their sorted order.
    """
    sum_of_irreps = Irreps([(1, irrep) for irrep in irreps_in])
    basis = reduced.reduced_symmetric_tensor_product_basis(
        sum_of_irreps, power.order, keep_ir=Irreps(power.out)
    )
    table = np.asarray(basis.array)
    table = table.reshape(*table.shape[:-1], basis.irreps.count(power.out), power.out.dim)
    table.setflags(write=False)
    return table


def change_of_basis(
    irreps_in: Iterable[Irrep], power: Power, other: Float[np.ndarray, "..."]
) -> Float[np.ndarray, "paths other_paths"]:
    """The matrix T that takes weights W' upon other couplings U' to those upon the ones used here.

    Σ_k' U'_k' W'_k' = Σ_k U_k (T W')_k after symmetrisation, T[k, k'] = ⟨U_k, U'_k'⟩ / (2l + 1).

    A model made with other couplings is thus read exactly: multiply its weights by T for every
    power. Other couplings need not be orthonormal, independent or symmetric.

    Args:
      irreps_in: Irreps of the features.
      power: The power and the irrep that both couple to.
      other: U', [dim, …, dim, other_paths, 2l+1], its indices over the sorted irreps.

    Raises:
      ValueError: The shape is wrong, or U' is no coupling in the conventions of this package.
    """
    own = symmetric_coupling(canonical(irreps_in), power)
    expected = (*own.shape[:-2], own.shape[-1])
    if (*other.shape[:-2], other.shape[-1]) != expected:
        raise ValueError(
            f"expected couplings {expected[:-1]} × paths × {expected[-1]}, received {other.shape}"
        )
    axes = list(itertools.permutations(range(power.order)))
    symmetric = sum(other.transpose(*axis, -2, -1) for axis in axes) / len(axes)
    indices = list(range(power.order))
    matrix = np.tensordot(own, symmetric, ([*indices, -1], [*indices, -1])) / power.out.dim
    spanned = np.einsum("...km,kp->...pm", own, matrix)
    if not np.allclose(spanned, symmetric, atol=1e-5 * np.max(np.abs(symmetric), initial=0.0)):
        raise ValueError(
            f"expected couplings of order {power.order} to {power.out}, received tensors that do "
            "not transform so: compare the order of components and irreps"
        )
    return matrix


def canonical(irreps: Iterable[Irrep]) -> tuple[Irrep, ...]:
    """The order in which contractions take irreps: sorted, each once."""
    return tuple(sorted(dict.fromkeys(irreps)))


def sparse(dense: np.ndarray) -> tuple[list[tuple[int, ...]], np.ndarray, np.ndarray]:
    """Couplings as coefficients of different products, [products, paths, 2l+1], made sparser.

    Rows of the reduced echelon form have fewer elements than orthonormal ones, many of them 1.

    Returns:
      Products, coefficients, and the matrix M with U_k = Σ_r M[k, r] (row r).
    """
    order, (dim, paths, components) = dense.ndim - 2, dense.shape[-3:]
    monomials = list(itertools.combinations_with_replacement(range(dim), order))
    repeated = [
        math.factorial(order) / math.prod(map(math.factorial, Counter(monomial).values()))
        for monomial in monomials
    ]
    table = dense[tuple(np.transpose(np.array(monomials)))] * np.array(repeated)[:, None, None]
    flat = table.transpose(1, 0, 2).reshape(paths, -1)
    rows, pivots = _echelon(flat)
    coefficients = rows.reshape(paths, len(monomials), components).transpose(1, 0, 2)
    return monomials, coefficients, flat[:, pivots]


def _echelon(matrix: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Reduced row echelon form, and the columns that have a single one."""
    rows, pivots = matrix.copy(), []
    for column in range(rows.shape[1]):
        done = len(pivots)
        if done == len(rows):
            break
        best = done + int(np.argmax(np.abs(rows[done:, column])))
        if abs(rows[best, column]) < 1e-6:
            continue
        rows[[done, best]] = rows[[best, done]]
        rows[done] /= rows[done, column]
        others = np.arange(len(rows)) != done
        rows[others] -= rows[others, column, None] * rows[done]
        pivots.append(column)
    return np.where(np.abs(rows) < 1e-10, 0.0, rows), pivots
