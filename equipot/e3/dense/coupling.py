"""The weighted tensor product of dense features, path by path.

A path couples degrees l1 and l2 to l3. Its parities are carried as an axis of the arrays, and the
forbidden ones are never formed. Inside, components come first and channels last, so that a path is
either a few products of whole arrays or one matrix product with its table of coefficients.
"""

import functools
import itertools
import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from equipot.e3.dense import features, so3
from equipot.typing import Array

# Coefficients beyond which a product is not written out: twice as fast, but with its gradient it
# compiles three times as long (L = 2, both parities, on CPU).
_WRITTEN_OUT = 100


class DegreePath(NamedTuple):
    """One coupling of degrees (l1, l2, l3) and what the parities of its factors are.

    Term t multiplies parity ``first[t][g]`` of one input by ``second[t][g]`` of the other, for each
    parity ``out[g]`` of the output. All are positions on the axis of parities.
    """

    degrees: tuple[int, int, int]
    out: tuple[int, ...]
    first: tuple[tuple[int, ...], ...]
    second: tuple[tuple[int, ...], ...]


@functools.cache
def paths(shape: tuple[int, int, int, int, int, int]) -> tuple[DegreePath, ...]:
    """All allowed paths of a kernel of shape (P1, L1+1, P2, L2+1, P3, L3+1)."""
    found = []
    for l1, l2, l3 in np.ndindex(shape[1], shape[3], shape[5]):
        degrees = (l1, l2, l3)
        if not abs(l1 - l2) <= l3 <= l1 + l2:
            continue
        signs: dict[int, list[tuple[int, int]]] = {}
        for pair in itertools.product((1, -1), repeat=2):
            parities = (*pair, math.prod(pair))
            a, b, c = map(features.parity_index, degrees, parities, shape[0::2])
            if a is not None and b is not None and c is not None:
                signs.setdefault(c, []).append((a, b))
        if signs:
            out = tuple(sorted(signs))
            terms = list(zip(*(sorted(signs[c]) for c in out), strict=True))
            first = tuple(tuple(a for a, _ in term) for term in terms)
            second = tuple(tuple(b for _, b in term) for term in terms)
            found.append(DegreePath(degrees, out, first, second))
    return tuple(found)


def path_mask(shape: tuple[int, int, int, int, int, int]) -> np.ndarray:
    """True at the entries of a kernel that belong to an allowed path."""
    mask = np.zeros(shape, bool)
    for (l1, l2, l3), out, first, second in paths(shape):
        for a, b in zip(first, second, strict=True):
            mask[list(a), l1, list(b), l2, list(out), l3] = True
    return mask


def couple(
    x: Array, y: Array, kernel: Array, cartesian_order: bool, precision: Any = "highest"
) -> Array:
    """Σ w[a, l1, b, l2, c, l3] (x[a, l1] ⊗ y[b, l2])[l3], channel by channel.

    Args:
      x: Features ``[..., P1, (L1+1)², F]``.
      y: Features ``[..., P2, (L2+1)², F]``; leading axes broadcast.
      kernel: Weights ``[P1, L1+1, P2, L2+1, P3, L3+1, F]``; those of forbidden paths do not matter.
      cartesian_order: The order of components.
      precision: Of the matrix products.
    """
    shape = kernel.shape[:-1]
    lead = jnp.broadcast_shapes(x.shape[:-3], y.shape[:-3])
    couplings = paths(shape)
    tables = [so3.clebsch_gordan_for_degrees(*path.degrees, cartesian_order) for path in couplings]
    count = sum(np.count_nonzero(t) * len(c.first) for c, t in zip(couplings, tables, strict=True))
    small = count <= _WRITTEN_OUT
    first, second = _Factor(x, len(lead)), _Factor(y, len(lead))
    weights = _weights(couplings, kernel, len(lead))
    sums: dict[int, dict[tuple[int, ...], Array]] = {l3: {} for l3 in range(shape[5])}
    for path, table, of_path in zip(couplings, tables, weights, strict=True):
        l1, l2, l3 = path.degrees
        terms = [
            _Term(weight, first.degree(l1, a), second.degree(l2, b))
            for weight, a, b in zip(of_path, path.first, path.second, strict=True)
        ]
        if min(path.degrees) == 0:
            z = _with_scalar(float(table[0, 0, 0]), l3, terms)
        elif small:
            z = _written_out(table, terms)
        else:
            z = _as_matrix(table, terms, precision)
        sums[l3][path.out] = sums[l3][path.out] + z if path.out in sums[l3] else z
    blank = jnp.zeros((1, 1, *lead, x.shape[-1]), x.dtype)
    degrees = [_all_parities(sums[l3], shape[4], l3, blank) for l3 in range(shape[5])]
    return jnp.moveaxis(jnp.concatenate(degrees), (0, 1), (-2, -3))


class _Term(NamedTuple):
    """Weights ``[parity, *1, F]`` and two factors ``[m, parity, *lead, F]``."""

    weight: Array
    x: "_Degree"
    y: "_Degree"


class _Degree:
    """Components of one degree, together and, where asked for, one by one."""

    def __init__(self, array: Array) -> None:
        self.array = array

    @functools.cached_property
    def rows(self) -> list[Array]:
        """Cut once for all uses, so that gradients are put together once."""
        return [row[0] for row in lax.split(self.array, [1] * self.array.shape[0])]


class _Factor:
    """Features by degree, with their parities in each order that paths ask for."""

    def __init__(self, z: Array, lead: int) -> None:
        z = z.reshape((1,) * (lead + 3 - z.ndim) + z.shape)
        z = jnp.moveaxis(z, (-2, -3), (0, 1))
        if z.shape[1] == 1:
            orders = {(0,): z, (0, 0): z}
        else:
            even, odd = lax.split(z, [1, 1], axis=1)
            flipped = jnp.concatenate([odd, even], axis=1)
            orders = {(0, 1): z, (1, 0): flipped, (0, 0): even, (1, 1): odd, (0,): even, (1,): odd}
        sizes = [2 * l + 1 for l in range(math.isqrt(z.shape[0]))]
        self._degrees = {k: [_Degree(d) for d in lax.split(v, sizes)] for k, v in orders.items()}

    def degree(self, degree: int, parities: tuple[int, ...]) -> _Degree:
        """A degree with the parities asked for, or with the one that is always meant."""
        return self._degrees[parities][degree]


def _weights(couplings: tuple[DegreePath, ...], kernel: Array, lead: int) -> list[list[Array]]:
    """Weights ``[parity, *1, F]`` of each term of each path."""
    rows, sizes = [], []
    for (l1, l2, l3), out, first, second in couplings:
        for a, b in zip(first, second, strict=True):
            rows += [(i, l1, j, l2, k, l3) for i, j, k in zip(a, b, out, strict=True)]
            sizes.append(len(out))
    table = kernel[tuple(np.array(rows).T)]
    table = table.reshape((table.shape[0],) + (1,) * lead + table.shape[1:])
    parts = iter(lax.split(table, sizes))
    return [[next(parts) for _ in path.first] for path in couplings]


def _with_scalar(coefficient: float, l3: int, terms: list[_Term]) -> Array:
    """A path in which one degree is 0: its table is a multiple of the unit matrix."""
    total = 0.0
    for weight, x, y in terms:
        product = x.array * y.array
        if l3 == 0:
            product = jnp.sum(product, axis=0, keepdims=True)
        total = total + (coefficient * weight)[None] * product
    return jnp.asarray(total)


def _written_out(table: np.ndarray, terms: list[_Term]) -> Array:
    """A path as a sum over the coefficients that are not zero."""
    components = []
    for m3 in range(table.shape[2]):
        total = 0.0
        for weight, x, y in terms:
            part = 0.0
            for m1, m2 in zip(*np.nonzero(table[:, :, m3]), strict=True):
                part = part + float(table[m1, m2, m3]) * (x.rows[m1] * y.rows[m2])
            total = total + weight * part
        components.append(total)
    return jnp.stack(components)


def _as_matrix(table: np.ndarray, terms: list[_Term], precision: Any) -> Array:
    """A path as one matrix product of its table with all products of components."""
    total = 0.0
    for weight, x, y in terms:
        total = total + (weight[None] * x.array)[:, None] * y.array[None]
    total = jnp.asarray(total)
    return jnp.einsum("mnk,mn...->k...", table.astype(total.dtype), total, precision=precision)


def _all_parities(
    sums: dict[tuple[int, ...], Array], num_parity: int, l3: int, blank: Array
) -> Array:
    """Puts the sums of a degree side by side on the axis of parities, with zeros where none is."""
    parts = []
    for p in range(num_parity):
        here = [z[:, out.index(p)][:, None] for out, z in sums.items() if p in out]
        empty = jnp.broadcast_to(blank, (2 * l3 + 1, *blank.shape[1:]))
        parts.append(functools.reduce(jnp.add, here) if here else empty)
    return jnp.concatenate(parts, axis=1)
