"""Real spherical harmonics as homogeneous polynomials of (x, y, z).

The polar axis is y and components run m = -l … l, so that degree 1 is proportional to (x, y, z). In
component normalisation the mean square of every component over the sphere is 1, hence |Yˡ|² = 2l+1
at unit vectors. Being polynomials they have exact derivatives of every order, also at the origin.
"""

import math
from typing import TypeVar

import jax.numpy as jnp
import numpy as np

from equipot.typing import Array, Float

T = TypeVar("T", Array, np.ndarray)


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
    x, y, z = (vectors[..., i] for i in range(3))
    one = np.ones_like(x) if isinstance(x, np.ndarray) else jnp.ones_like(x)
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


def _recurrence(x: T, y: T, z: T, one: T, known: list[list[T]], lmax: int) -> list[list[T]]:
    """Continues ``known`` to ``lmax``.

    Yˡₘ = Pˡₘ(y, r²) Im or Re (z + i x)ᵐ, with Pˡₘ = a (y Pˡ⁻¹ₘ - b r² Pˡ⁻²ₘ),
    a = √((4l²-1)/(l²-m²)) and b = √(((l-1)²-m²)/(4(l-1)²-1)).
    """
    r2 = x * x + y * y + z * z
    real, imaginary = [one], [0.0 * one]
    polar = {(0, 0): one}
    for m in range(1, lmax + 1):
        real.append(real[-1] * z - imaginary[-1] * x)
        imaginary.append(real[-2] * x + imaginary[-1] * z)
        diagonal = math.sqrt((2 * m + 1) / (2 * m)) * math.sqrt(2 if m == 1 else 1)
        polar[m, m] = diagonal * polar[m - 1, m - 1]
    for l in range(1, lmax + 1):
        for m in range(l):
            term = y * polar[l - 1, m]
            if m <= l - 2:
                b = math.sqrt(((l - 1) ** 2 - m**2) / (4 * (l - 1) ** 2 - 1))
                term = term - b * (r2 * polar[l - 2, m])
            polar[l, m] = math.sqrt((4 * l**2 - 1) / (l**2 - m**2)) * term
    degrees = list(known)
    for l in range(len(known), lmax + 1):
        sines = [polar[l, m] * imaginary[m] for m in range(l, 0, -1)]
        cosines = [polar[l, m] * real[m] for m in range(l + 1)]
        degrees.append(sines + cosines)
    return degrees
