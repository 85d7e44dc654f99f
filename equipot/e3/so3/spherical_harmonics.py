"""Real spherical harmonics as homogeneous polynomials of (x, y, z).

The polar axis is y and components run m = -l … l, so that degree 1 is proportional to (x, y, z). In
component normalisation the mean square of every component over the sphere is 1, hence |Yˡ|² = 2l+1
at unit vectors. Being polynomials they have exact derivatives of every order, also at the origin.
"""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

import jax.numpy as jnp
import numpy as np

from equipot.e3.arrays.irreps import Irrep, Irreps, IrrepsLike
from equipot.e3.arrays.irreps_array import IrrepsArray
from equipot.e3.functions import radial
from equipot.e3.keywords import also_named
from equipot.typing import Array, Float

T = TypeVar("T", Array, np.ndarray)
Normalization: TypeAlias = str


@also_named(input="vectors")
def spherical_harmonics(
    irreps_out: IrrepsLike | int | Sequence[int],
    vectors: "IrrepsArray | Array | np.ndarray",
    normalize: bool,
    normalization: Normalization | None = None,
    *,
    algorithm: Any = None,
) -> IrrepsArray:
    """Spherical harmonics of vectors: equivariant polynomials, one for each irrep asked for.

    Args:
      irreps_out: Irreps of the result, or the degrees alone; the parity of degree l is that of the
        vectors to the power l.
      vectors: One vector each, as 1o or 1e; a plain array ``[..., 3]`` has the parity asked for.
      normalize: Whether to divide vectors by their length first; if not, degree l scales with its
        l-th power. The zero vector gives zero for l > 0, with finite derivatives.
      normalization: Of unit vectors: ``component`` (the default) |Yˡ|² = 2l+1, ``norm`` 1,
        ``integral`` (2l+1)/4π, for which ∫Y² over the sphere is 1.
      algorithm: Not used: there is one algorithm. Programs written for e3nn-jax may give theirs.

    Raises:
      ValueError: The input is not one vector, or an irrep does not have the parity it must.
    """
    irreps, array = _output_irreps(irreps_out, vectors)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        array = array.astype(jnp.result_type(float))
    if normalize:
        array = radial.safe_normalize(array)
    factors = {"component": lambda l: 1.0, "norm": lambda l: (2 * l + 1) ** -0.5}
    factors["integral"] = lambda l: (4.0 * math.pi) ** -0.5
    normalization = "component" if normalization is None else normalization
    if normalization not in factors:
        raise ValueError(f"expected a normalisation of {list(factors)}, received {normalization!r}")
    degrees = spherical_harmonics_components(array, max((ir.l for _, ir in irreps), default=0))
    chunks = []
    for mul, ir in irreps:
        y = jnp.stack(degrees[ir.l], axis=-1) * factors[normalization](ir.l)
        chunks.append(jnp.repeat(y[..., None, :], mul, axis=-2))
    return IrrepsArray.from_chunks(irreps, chunks, array.shape[:-1], array.dtype)


@also_named(input="vectors")
def sh(
    irreps_out: IrrepsLike | int | Sequence[int],
    vectors: Float[Array | np.ndarray, "*batch 3"],
    normalize: bool,
    normalization: Normalization | None = None,
    *,
    algorithm: Any = None,
) -> Float[Array, "*batch dim"]:
    """Spherical harmonics of plain odd vectors as a plain array."""
    odd = vectors if isinstance(irreps_out, str | Irreps) else IrrepsArray("1o", vectors)
    return spherical_harmonics(irreps_out, odd, normalize, normalization, algorithm=algorithm).array


def spherical_harmonics_components(
    vectors: Float[Array | np.ndarray, "*batch 3"], lmax: int
) -> list[list[Array]] | list[list[np.ndarray]]:
    """Yˡₘ(vectors) in component normalisation, one array per component: entry [l][l + m].

    Vectors are taken as they are: component (l, m) is a homogeneous polynomial of degree l.

    Args:
      vectors: Normalise them first for functions on the sphere. NumPy stays NumPy.
      lmax: Highest degree, at least 0. Closed polynomials to 3, a stable recurrence in l beyond.

    Raises:
      ValueError: lmax is negative.
    """
    if lmax < 0:
        raise ValueError(f"expected lmax >= 0, received {lmax}")
    components: list[Any] = [vectors[..., i] for i in range(3)]
    x, y, z = components
    one: Any = np.ones_like(x) if isinstance(x, np.ndarray) else jnp.ones_like(x)
    degrees = [[one], *_closed(x, y, z)][: lmax + 1]
    return degrees if lmax <= 3 else _recurrence(x, y, z, one, degrees, lmax)


def _closed(x: T, y: T, z: T) -> list[list[T]]:
    """Degrees 1, 2 and 3."""
    x2, y2, z2 = x * x, y * y, z * z
    plane, difference = x2 + z2, z2 - x2
    xz, tangent = x * z, 4.0 * y2 - plane
    return [
        [math.sqrt(3) * x, math.sqrt(3) * y, math.sqrt(3) * z],
        [
            math.sqrt(15) * xz,
            math.sqrt(15) * (x * y),
            math.sqrt(5) * (y2 - 0.5 * plane),
            math.sqrt(15) * (y * z),
            math.sqrt(15 / 4) * difference,
        ],
        [
            math.sqrt(35 / 8) * (x * (3.0 * z2 - x2)),
            math.sqrt(105) * (xz * y),
            math.sqrt(21 / 8) * (x * tangent),
            math.sqrt(7 / 4) * (y * (2.0 * y2 - 3.0 * plane)),
            math.sqrt(21 / 8) * (z * tangent),
            math.sqrt(105 / 4) * (y * difference),
            math.sqrt(35 / 8) * (z * (z2 - 3.0 * x2)),
        ],
    ]


def polar_polynomials(y: T, r2: T, one: T, lmax: int) -> dict[tuple[int, int], T]:
    """The part Pˡₘ of Yˡₘ = Pˡₘ(y, r²) Im or Re (z + i x)ᵐ, for 0 <= m <= l <= lmax.

    Pˡₘ = a (y Pˡ⁻¹ₘ - b r² Pˡ⁻²ₘ), a = √((4l²-1)/(l²-m²)) and b = √(((l-1)²-m²)/(4(l-1)²-1)): up to
    its factor the associated Legendre function over sinᵐ, a polynomial.
    """
    polar = {(0, 0): one}
    for m in range(1, lmax + 1):
        diagonal = math.sqrt((2 * m + 1) / (2 * m)) * math.sqrt(2 if m == 1 else 1)
        polar[m, m] = diagonal * polar[m - 1, m - 1]
    for l in range(1, lmax + 1):
        for m in range(l):
            term = y * polar[l - 1, m]
            if m <= l - 2:
                b = math.sqrt(((l - 1) ** 2 - m**2) / (4 * (l - 1) ** 2 - 1))
                term = term - b * (r2 * polar[l - 2, m])
            polar[l, m] = math.sqrt((4 * l**2 - 1) / (l**2 - m**2)) * term
    return polar


def _recurrence(x: T, y: T, z: T, one: T, known: list[list[T]], lmax: int) -> list[list[T]]:
    """Continues ``known`` to ``lmax``."""
    polar = polar_polynomials(y, x * x + y * y + z * z, one, lmax)
    real, imaginary = [one], [0.0 * one]
    for _ in range(lmax):
        real.append(real[-1] * z - imaginary[-1] * x)
        imaginary.append(real[-2] * x + imaginary[-1] * z)
    degrees = list(known)
    for l in range(len(known), lmax + 1):
        sines = [polar[l, m] * imaginary[m] for m in range(l, 0, -1)]
        cosines = [polar[l, m] * real[m] for m in range(l + 1)]
        degrees.append(sines + cosines)
    return degrees


def _output_irreps(
    irreps_out: IrrepsLike | int | Sequence[int], vectors: "IrrepsArray | Array | np.ndarray"
) -> tuple[Irreps, Array]:
    """The irreps asked for, and the vectors as a plain array."""
    degrees: Any = [irreps_out] if isinstance(irreps_out, int | np.integer) else irreps_out
    by_degree = not isinstance(degrees, str | Irrep) and all(
        isinstance(l, int | np.integer) for l in degrees
    )
    if by_degree and not list(degrees):
        by_degree, degrees = False, Irreps()
    if isinstance(vectors, IrrepsArray):
        if vectors.irreps.simplify() not in ("1o", "1e"):
            raise ValueError(f"expected one vector, 1o or 1e, received {vectors.irreps}")
        parity, array = vectors.irreps.simplify()[0].ir.p, vectors.array
    elif by_degree:
        raise ValueError(
            "expected irreps such as '0e + 1o' for a plain array, received degrees alone: give the "
            "vectors as IrrepsArray('1o', …)"
        )
    else:
        odd = [ir.p for _, ir in Irreps(degrees) if ir.l % 2]
        parity, array = (odd[0] if odd else 1), jnp.asarray(vectors)
    irreps = Irreps(
        degrees if not by_degree else [(1, (int(l), parity ** int(l))) for l in degrees]
    )
    if array.shape[-1:] != (3,):
        raise ValueError(f"expected vectors with 3 components, received shape {array.shape}")
    for _, ir in irreps:
        if ir.p != parity**ir.l:
            vector = "1e" if parity == 1 else "1o"
            raise ValueError(f"expected parities of harmonics of {vector}, received {irreps}: {ir}")
    return irreps, array
