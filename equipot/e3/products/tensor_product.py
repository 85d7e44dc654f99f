"""Products of irreps, reduced to irreps by Clebsch-Gordan coefficients.

Normalisation of one product x ⊗ y → z of degrees l1, l2 → l3 is by a factor on coefficients whose
squares sum to one: ``component`` √(2l3+1), which keeps the mean square of components; ``norm``
√((2l1+1)(2l2+1)), which keeps the mean squared length; ``none`` 1. None stands for ``component``.
"""

import itertools
import math
from collections.abc import Iterable
from typing import Any, TypeAlias, overload

import jax.numpy as jnp
import numpy as np

from equipot.e3.arrays import slicing
from equipot.e3.arrays.irreps import Irrep, Irreps, IrrepsLike
from equipot.e3.arrays.irreps_array import IrrepsArray
from equipot.e3.keywords import also_named
from equipot.e3.so3.clebsch_gordan import clebsch_gordan
from equipot.typing import Array, Float

Normalization: TypeAlias = str


@overload
def tensor_product(
    x: IrrepsArray,
    y: IrrepsArray,
    *,
    filter_ir_out: IrrepsLike | None = None,
    irrep_normalization: Normalization | None = None,
    regroup_output: bool = True,
) -> IrrepsArray: ...
@overload
def tensor_product(
    x: IrrepsLike,
    y: IrrepsLike,
    *,
    filter_ir_out: IrrepsLike | None = None,
    irrep_normalization: Normalization | None = None,
    regroup_output: bool = True,
) -> Irreps: ...
@also_named(input1="x", input2="y")
def tensor_product(
    x: "IrrepsArray | IrrepsLike",
    y: "IrrepsArray | IrrepsLike",
    *,
    filter_ir_out: IrrepsLike | None = None,
    irrep_normalization: Normalization | None = None,
    regroup_output: bool = True,
) -> "IrrepsArray | Irreps":
    """Every product of a copy in x with a copy in y; given irreps, the irreps of that.

    zₖ = √(2l3+1) Σ C[i, j, k] xᵢ yⱼ, in the order (entry of x, entry of y), and sorted; within an
    entry copies come in the order (copy in x, copy in y).

    Args:
      x: First factor.
      y: Second factor.
      filter_ir_out: Irreps to keep; all by default.
      irrep_normalization: Factor of each product, see the module.
      regroup_output: Whether to merge equal irreps, in the factors and in the result.
    """
    irrep_normalization = _checked(irrep_normalization)
    if not isinstance(x, IrrepsArray) and not isinstance(y, IrrepsArray):
        return _product_irreps(x, y, filter_ir_out, regroup_output)
    if not isinstance(x, IrrepsArray) or not isinstance(y, IrrepsArray):
        raise ValueError(f"expected two IrrepsArrays or two irreps, received {x!r} and {y!r}")
    x, y = x.floating(), y.floating()
    if regroup_output:
        x, y = x.regroup(), y.regroup()
    lead = jnp.broadcast_shapes(x.shape[:-1], y.shape[:-1])
    dtype = jnp.promote_types(x.dtype, y.dtype)
    entries, chunks = [], []
    for (mul1, ir1), a in zip(x.irreps, x.chunks, strict=True):
        for (mul2, ir2), b in zip(y.irreps, y.chunks, strict=True):
            for ir in _kept(ir1 * ir2, filter_ir_out):
                entries.append((mul1 * mul2, ir))
                if a is None or b is None:
                    chunks.append(None)
                    continue
                c = coupling(ir1, ir2, ir, irrep_normalization).astype(dtype)
                z = jnp.einsum("...ui,...vj,ijk->...uvk", a, b, c, precision="highest")
                chunks.append(z.reshape(*lead, mul1 * mul2, ir.dim))
    z = IrrepsArray.from_chunks(entries, chunks, lead, dtype)
    return z.regroup() if regroup_output else z.sort()


@also_named(input1="x", input2="y")
def elementwise_tensor_product(
    x: IrrepsArray,
    y: IrrepsArray,
    *,
    filter_ir_out: IrrepsLike | None = None,
    irrep_normalization: Normalization | None = None,
) -> IrrepsArray:
    """Products of copy n in x with copy n in y, as irreps.

    Raises:
      ValueError: The numbers of copies differ.
    """
    if x.irreps.num_irreps != y.irreps.num_irreps:
        raise ValueError(
            f"expected equal numbers of irreps, received {x.irreps} ({x.irreps.num_irreps}) and "
            f"{y.irreps} ({y.irreps.num_irreps})"
        )
    x, y = x.floating(), y.floating()
    lead = jnp.broadcast_shapes(x.shape[:-1], y.shape[:-1])
    dtype = jnp.promote_types(x.dtype, y.dtype)
    entries, chunks = [], []
    for mine, theirs in slicing.align(x.irreps, y.irreps):
        (a,), (b,) = x.take([mine]).chunks, y.take([theirs]).chunks
        ir1, ir2 = x.irreps[mine.position].ir, y.irreps[theirs.position].ir
        for ir in _kept(ir1 * ir2, filter_ir_out):
            entries.append((mine.last - mine.first, ir))
            c = coupling(ir1, ir2, ir, irrep_normalization)
            chunks.append(None if a is None or b is None else _pair(a, b, c))
    return IrrepsArray.from_chunks(entries, chunks, lead, dtype)


@also_named(input="x")
def tensor_square(
    x: IrrepsArray,
    *,
    irrep_normalization: Normalization | None = None,
    normalized_input: bool = False,
    regroup_output: bool = True,
) -> IrrepsArray:
    """The distinct products of the copies in x with one another: n(n+1)/2 numbers out of n.

    Of equal irreps, products of two different copies come before those of a copy with itself.

    Args:
      x: Both factors.
      irrep_normalization: ``component``: products have mean square 1 in every component if x has.
        ``norm``: products have mean squared length 1 if each copy in x has. ``none``: no factor.
      normalized_input: Each copy in x has length 1 exactly; otherwise x is normally distributed.
      regroup_output: Whether to merge equal irreps of the result.
    """
    irrep_normalization = _checked(irrep_normalization)
    x = x.floating().regroup()
    entries: list[tuple[int, Irrep]] = []
    chunks: list[Array | None] = []
    for i, j in itertools.combinations_with_replacement(range(len(x.irreps)), 2):
        (mul1, ir1), (mul2, ir2) = x.irreps[i], x.irreps[j]
        a, b = x.chunks[i], x.chunks[j]
        u, v = np.indices((mul1, mul2)).reshape(2, -1)
        for ir, same in itertools.product(ir1 * ir2, (False, True)):
            chosen = (u == v) if same else (u < v) if i == j else (u >= 0)
            if (same and (i != j or ir.l % 2)) or not chosen.any():
                continue  # the antisymmetric square of one copy is zero
            c = clebsch_gordan(ir1.l, ir2.l, ir.l)
            c = c * _square_factor(c, same, irrep_normalization, normalized_input)
            entries.append((int(chosen.sum()), ir))
            if a is None or b is None:
                chunks.append(None)
            else:
                chunks.append(_pair(a[..., u[chosen], :], b[..., v[chosen], :], c))
    z = IrrepsArray.from_chunks(entries, chunks, x.shape[:-1], x.dtype).sort()
    return z.simplify() if regroup_output else z


def coupling(
    ir1: Irrep, ir2: Irrep, ir3: Irrep, normalization: Normalization | None = None
) -> np.ndarray:
    """Clebsch-Gordan coefficients with the factor of a normalisation, float64.

    By default √(2 l3 + 1) C[m1, m2, m3].

    Raises:
      ValueError: The normalisation is unknown, or degrees or parities allow no such product.
    """
    normalization = _checked(normalization)
    allowed = tuple(ir1 * ir2)
    if ir3 not in allowed:
        names = ", ".join(map(str, allowed))
        raise ValueError(f"expected {ir1} x {ir2} to one of {names}, got {ir3}")
    factors = {"component": ir3.dim, "norm": ir1.dim * ir2.dim, "none": 1}
    return math.sqrt(factors[normalization]) * clebsch_gordan(ir1.l, ir2.l, ir3.l)


def _checked(normalization: Normalization | None) -> Normalization:
    normalization = "component" if normalization is None else normalization
    if normalization not in ("component", "norm", "none"):
        raise ValueError(
            f"expected a normalisation of component, norm or none, received {normalization!r}"
        )
    return normalization


def _pair(a: Array, b: Array, c: np.ndarray) -> Float[Array, "*batch mul dim"]:
    """Copy by copy products."""
    table = c.astype(jnp.promote_types(a.dtype, b.dtype))
    return jnp.einsum("...ui,...uj,ijk->...uk", a, b, table, precision="highest")


def _kept(irreps: Iterable[Any], filter_ir_out: IrrepsLike | None) -> list[Irrep]:
    kept = None if filter_ir_out is None else {item.ir for item in Irreps(filter_ir_out)}
    return [ir for ir in irreps if kept is None or ir in kept]


def _product_irreps(
    x: Any, y: Any, filter_ir_out: IrrepsLike | None, regroup_output: bool
) -> Irreps:
    x, y = Irreps(x), Irreps(y)
    if regroup_output:
        x, y = x.regroup(), y.regroup()
    entries = [
        (mul1 * mul2, ir)
        for mul1, ir1 in x
        for mul2, ir2 in y
        for ir in _kept(ir1 * ir2, filter_ir_out)
    ]
    return Irreps(entries).regroup() if regroup_output else Irreps(entries).sort().irreps


def _square_factor(c: np.ndarray, same: bool, normalization: str, normalized: bool) -> float:
    """The factor of one product in ``tensor_square``, from the moments of its factors.

    A copy with itself: ⟨z²⟩ = (tr Cₖ)² + 2 tr Cₖ² for normal numbers, times 1/(d(d+2)) on the unit
    sphere in d dimensions.
    """
    if normalization == "none":
        return 1.0
    d1, d2, d3 = c.shape
    moment = 1.0 / d3
    if same:
        trace = np.einsum("iik->k", c)
        moment = float(np.mean(trace**2 + 2.0 * np.einsum("ijk,ijk->k", c, c)))
    if normalized:
        moment /= d1 * (d1 + 2) if same else d1 * d2
        return 1.0 / math.sqrt(moment * (d3 if normalization == "norm" else 1))
    return math.sqrt((d1 * d2 / d3 if normalization == "norm" else 1) / moment)
