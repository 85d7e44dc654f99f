"""The paths of a weighted tensor product: which copies meet, and by which factor.

A path couples copies u of one entry of the first factor with copies v of one entry of the second
into copies w of one entry of the output:

z[w, k] = path_weight Σ W[u, v, w] C[i, j, k] x[u, i] y[v, j]

Its connection mode says which of these indices are one and the same: ``uvw`` joins all copies with
all; in ``uvu``, ``uvv``, ``uuw``, ``uuu`` equal letters are equal indices; ``uvuv`` makes a copy of
the output of each pair; ``uvu<v`` and ``u<vw`` are ``uuu`` and ``uuw`` over the pairs u < v.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from equipot.e3.arrays.irreps import Irreps
from equipot.e3.products import path_weights
from equipot.e3.products.path_weights import Normalization
from equipot.e3.products.tensor_product import coupling


class Mode(NamedTuple):
    """Letters of the copies in an einsum; the first factor always has u.

    Attributes:
      weights: In the weights.
      second: In the second factor.
      out: In the output.
      pairs: Whether u counts the pairs of copies u < v, one from x and the other from y.
    """

    weights: str
    second: str
    out: str
    pairs: bool = False


MODES = {
    "uvw": Mode("uvw", "v", "w"),
    "uvu": Mode("uv", "v", "u"),
    "uvv": Mode("uv", "v", "v"),
    "uuw": Mode("uw", "u", "w"),
    "uuu": Mode("u", "u", "u"),
    "uvuv": Mode("uv", "v", "uv"),
    "uvu<v": Mode("u", "u", "u", pairs=True),
    "u<vw": Mode("uw", "u", "w", pairs=True),
}
Irreps3: TypeAlias = tuple[Irreps, Irreps, Irreps]


class Request(NamedTuple):
    """What is asked of one path: its entries, its mode, and how its variance exceeds others'."""

    i_in1: int
    i_in2: int
    i_out: int
    connection_mode: str
    has_weight: bool
    variance: float = 1.0


@dataclass(frozen=True)
class Instruction:
    """One path of a tensor product.

    Attributes:
      i_in1: Entry of the first factor.
      i_in2: Entry of the second factor.
      i_out: Entry of the output.
      connection_mode: Which copies meet, see the module.
      has_weight: Whether the path has weights; otherwise they are all one.
      path_weight: Factor in the forward pass, that of the coefficients included.
      weight_std: Standard deviation that initial weights should have; 0 without weights.
      path_shape: Shape of the weights: the number of each letter of the mode.
      num_elements: Number of products that are summed into a copy of the output.
    """

    i_in1: int
    i_in2: int
    i_out: int
    connection_mode: str
    has_weight: bool
    path_weight: float
    weight_std: float
    path_shape: tuple[int, ...]
    num_elements: int


def build_instructions(
    irreps: Irreps3,
    requests: Sequence[Sequence[Any]],
    variances: tuple[Sequence[float] | None, Sequence[float] | None, Sequence[float] | None],
    irrep_normalization: str | None,
    path_normalization: Normalization,
    gradient_normalization: Normalization,
) -> tuple[Instruction, ...]:
    """Checks the paths that are asked for and finds their factors.

    path_weight² = share · variance · var_out · α with the share of ``path_weights.variances`` for
    num_elements · var_in1 · var_in2 products, and α = 2l3+1 (``component``), (2l1+1)(2l2+1)
    (``norm``) or 1 (``none``).

    Args:
      irreps: Of the first factor, of the second, and of the output.
      requests: What each path shall be, as ``Request`` or as a tuple of its fields.
      variances: Variance of each entry of the factors, and wanted of the output; 1 if None.
      irrep_normalization: Which α.
      path_normalization: How paths share the variance.
      gradient_normalization: Where the factor stands.

    Raises:
      ValueError: A path is impossible, or something has an unknown name or a wrong length.
    """
    asked = [_request(item) for item in requests]
    shapes = [_sizes(irreps, item) for item in asked]
    var1, var2, var_out = (_variances(*pair) for pair in zip(irreps, variances, strict=True))
    shares = path_weights.variances(
        [
            n * var1[item.i_in1] * var2[item.i_in2]
            for item, (_, n) in zip(asked, shapes, strict=True)
        ],
        [item.i_out for item in asked],
        path_normalization,
    )
    result = []
    for item, (shape, number), share in zip(asked, shapes, shares, strict=True):
        i, j, k, mode, has_weight, wanted = item
        # The squares of bare coefficients sum to one, so those of a table sum to its factor α.
        table = coupling(irreps[0][i].ir, irreps[1][j].ir, irreps[2][k].ir, irrep_normalization)
        factor = math.sqrt(share * wanted * var_out[k] * float(np.sum(table**2)))
        split = path_weights.split_factor(factor, gradient_normalization)
        split = split if has_weight else (factor, 0.0)
        result.append(Instruction(i, j, k, mode, has_weight, *split, shape, number))
    return tuple(result)


def _request(item: Sequence[Any]) -> Request:
    if len(item) not in (5, 6):
        raise ValueError(
            "expected a path (i_in1, i_in2, i_out, connection_mode, has_weight[, variance]), "
            f"received {item}"
        )
    return Request(*item)


def _sizes(irreps: Irreps3, item: Request) -> tuple[tuple[int, ...], int]:
    """Shape of the weights of a path, and number of products in a sum; checks the path."""
    _check(irreps, item)
    i, j, k, mode, _, _ = item
    (mul1, ir1), (mul2, ir2), (mul3, ir3) = irreps[0][i], irreps[1][j], irreps[2][k]
    weights, second, out, pairs = MODES[mode]
    numbers = {"u": mul1 * (mul1 - 1) // 2 if pairs else mul1, "v": mul2, "w": mul3}
    made = math.prod(numbers[letter] for letter in out)
    if mul3 != made or (second == "u" and mul1 != mul2):
        rule = "equal multiplicities of the factors and " if second == "u" else ""
        raise ValueError(
            f"path {item[:4]}: expected {rule}multiplicity {made} of the output, received "
            f"{mul1}x{ir1}, {mul2}x{ir2} and {mul3}x{ir3}"
        )
    summed = {"u", second} - set(out)
    number = math.prod(numbers[letter] for letter in summed)
    return tuple(numbers[letter] for letter in weights), number


def _check(irreps: Irreps3, item: Request) -> None:
    """Checks that the entries, the mode and the product of the irreps exist."""
    entries, path = item[:3], f"path {item[:4]}"
    if not all(0 <= n < len(each) for n, each in zip(entries, irreps, strict=True)):
        raise ValueError(
            f"{path}: expected entries of {irreps[0]}, of {irreps[1]} and of {irreps[2]}"
        )
    if item.connection_mode not in MODES:
        raise ValueError(
            f"{path}: expected a mode of {list(MODES)}, received {item.connection_mode!r}"
        )
    first, second, out = (each[n].ir for n, each in zip(entries, irreps, strict=True))
    possible = list(first * second)
    if out not in possible:
        raise ValueError(
            f"{path}: expected one of {possible} as the product of {first} and {second}, "
            f"received {out}"
        )
    if "w" in MODES[item.connection_mode].out and not item.has_weight:
        raise ValueError(
            f"{path}: expected weights, because without them all copies of the output would be "
            "one and the same"
        )


def _variances(irreps: Irreps, variances: Sequence[float] | None) -> Sequence[float]:
    if variances is None:
        return [1.0] * len(irreps)
    if len(variances) != len(irreps):
        raise ValueError(
            f"expected {len(irreps)} variances, one for each entry of {irreps}, received "
            f"{len(variances)}"
        )
    return variances
