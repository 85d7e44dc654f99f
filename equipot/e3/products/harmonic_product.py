"""Tensor products with the spherical harmonics of a direction, about that direction.

In a frame whose polar axis is the direction its harmonics have one component each, m = 0. A product
then is a matrix for each irrep, the same for every direction: l³ operations for each path, in place
of l³ times the number of components. What remains is the rotation there and back.

Reference: Passaro and Zitnick 2023 (eSCN). arXiv:2302.03655
"""

import math

import jax.numpy as jnp
import numpy as np

from equipot.e3.arrays.irreps import Irrep
from equipot.e3.arrays.irreps_array import IrrepsArray
from equipot.e3.functions import radial
from equipot.e3.keywords import also_named
from equipot.e3.products.tensor_product import coupling
from equipot.typing import Array, Bool, Float


@also_named(input="x")
def tensor_product_with_spherical_harmonics(
    x: IrrepsArray, vector: IrrepsArray, degree: int
) -> IrrepsArray:
    """``tensor_product(x, spherical_harmonics(range(degree + 1), vector, True))``, computed faster.

    All derivatives are those of the direct product, in every direction. At the zero vector the
    products with harmonics of degree l > 0 are zero, as there, and so are their derivatives by the
    vector (there, those of the polynomials).

    Args:
      x: Any irreps.
      vector: One vector, 1o or 1e, of any length.
      degree: Highest degree of the harmonics, at least 0.

    Raises:
      ValueError: The second argument is not one vector, or the degree is negative.
    """
    if vector.irreps.simplify() not in ("1o", "1e"):
        raise ValueError(f"expected one vector, 1o or 1e, received {vector.irreps}")
    if degree < 0:
        raise ValueError(f"expected a degree >= 0, received {degree}")
    parity, x = vector.irreps.simplify()[0].ir.p, x.floating().regroup()
    harmonics = [Irrep(l, parity**l) for l in range(degree + 1)]
    vector = vector.floating()
    frame = _frame(vector.array).astype(x.dtype)
    lead = jnp.broadcast_shapes(x.shape[:-1], frame.shape[:-2])
    x = x.transform_by_rotation(jnp.swapaxes(frame, -1, -2)).broadcast_to((*lead, -1))
    present = jnp.broadcast_to(_present(vector.array), (*lead, 1))[..., None, :]
    entries, chunks = [], []
    for (mul, ir1), chunk in zip(x.irreps, x.chunks, strict=True):
        irreps, table, always = _table(ir1, harmonics)
        entries += [(mul, ir) for ir in irreps]
        if chunk is None:
            chunks += [None] * len(irreps)
            continue
        products = jnp.einsum("...ui,ik->...uk", chunk, table.astype(x.dtype), precision="highest")
        always = always.reshape((1,) * (products.ndim - 1) + always.shape)
        products = jnp.where(present | always, products, 0.0)
        chunks += jnp.split(products, np.cumsum([ir.dim for ir in irreps])[:-1], axis=-1)
    z = IrrepsArray.from_chunks(entries, chunks, lead, x.dtype).regroup()
    return z.transform_by_rotation(frame)


def _table(ir1: Irrep, harmonics: list[Irrep]) -> tuple[list[Irrep], np.ndarray, np.ndarray]:
    """The irreps that an irrep gives with harmonics, and their components [2l+1, all of them].

    Of each harmonic only the component m = 0 differs from zero, and is √(2l+1). The third value
    says which of the results are with degree 0, and so need no direction.
    """
    irreps, tables, always = [], [], []
    for harmonic in harmonics:
        for l in range(abs(ir1.l - harmonic.l), ir1.l + harmonic.l + 1):
            ir = Irrep(l, ir1.p * harmonic.p)
            irreps.append(ir)
            tables.append(coupling(ir1, harmonic, ir)[:, harmonic.l, :] * math.sqrt(harmonic.dim))
            always += [harmonic.l == 0] * ir.dim
    return irreps, np.concatenate(tables, axis=1), np.array(always)


def _present(vector: Float[Array, "*batch 3"]) -> Bool[Array, "*batch 1"]:
    """Whether a vector has a direction."""
    return jnp.sum(vector * vector, axis=-1, keepdims=True) != 0


def _frame(vector: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3 3"]:
    """A rotation that turns the y axis to a direction (no rotation for the zero vector).

    Which of the rotations it is does not matter to the product. This is the shortest one from the
    nearer of the poles ±y, after half a turn about z if that is -y: a rational function of the
    direction on either side of the equator, so that derivatives exist everywhere.
    """
    pole = np.array([0.0, 1.0, 0.0]).reshape((1,) * (vector.ndim - 1) + (3,)).astype(vector.dtype)
    vector = jnp.where(_present(vector), vector, pole)
    x, y, z = jnp.moveaxis(radial.safe_normalize(vector), -1, 0)
    sign = jnp.where(y < 0, -1.0, 1.0).astype(y.dtype)
    a = 1.0 / (1.0 + sign * y)
    rows = [
        [sign * (1.0 - a * x * x), x, -a * x * z],
        [-x, sign * (1.0 - a * (x * x + z * z)), -sign * z],
        [-sign * a * x * z, z, 1.0 - a * z * z],
    ]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
