"""Distances stretched by the sizes of the atoms, and bases that suit such distances.

A transform makes distances of different pairs of elements comparable before they are expanded in a
basis. An envelope acts on the distance itself: transformed, it has no common cutoff.

Distances, scales and cutoffs share one unit (Å in the models). All derivatives that forces and
training on forces need are finite at distance zero.
"""

import jax.numpy as jnp
import numpy as np

from equipot.e3.functions import radial
from equipot.typing import Array, Float

AGNESI = {"a": 1.0805, "q": 0.9183, "p": 4.5791}
SOFT_STEEPNESS = 4.0


def gaussian(
    r: Float[Array, "*batch"], n: int, cutoff: int | float = 1.0
) -> Float[Array, "*batch {n}"]:
    """Gaussians whose centers divide the range to the cutoff evenly, as wide as they are apart.

    gₖ(r) = exp(-(r - kd)²/(2d²)) for k = 0 … n-1, with d = cutoff/(n-1).

    Args:
      r: Distances.
      n: Number of functions, at least 2.
      cutoff: Center of the last function, positive.
    """
    spacing = cutoff / (n - 1)
    x = r[..., None] * (1.0 / spacing) - radial.row(np.arange(float(n)), r)
    return jnp.exp(-0.5 * x * x)


def chebyshev(x: Float[Array, "*batch"], n: int) -> Float[Array, "*batch {n}"]:
    """Chebyshev polynomials of the first kind T₁(x) … Tₙ(x), by T₍ₖ₊₁₎ = 2x Tₖ - T₍ₖ₋₁₎.

    Between -1 and 1 they lie there, too; outside they grow like xⁿ.

    Args:
      x: A distance brought into that range, as by ``agnesi``.
      n: Number of polynomials, at least 1.
    """
    polynomials = [jnp.ones_like(x), x]
    for _ in range(n - 1):
        polynomials.append(2.0 * x * polynomials[-1] - polynomials[-2])
    return jnp.stack(polynomials[1:], axis=-1)


def agnesi(r: Float[Array, "*batch"], scale: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Maps distances to (0, 1], one at zero; steepest where atoms are bonded.

    y(r) = 1/(1 + a xᵖ/(1 + xᵖ⁻ᵠ)), x = r/scale: like 1 - a xᵖ near zero, like 1/(a xᵠ) far away.

    Args:
      r: Distances, non-negative.
      scale: Mean of the covalent radii of the two atoms.

    Reference: Witt et al. 2023 (ACEpotentials.jl), Journal of Chemical Physics 158, 164101.
      DOI 10.1063/5.0158783
    """
    a, q, p = AGNESI["a"], AGNESI["q"], AGNESI["p"]
    x = r / scale
    return 1.0 / (1.0 + a * x**p / (1.0 + x ** (p - q)))


def soft(r: Float[Array, "*batch"], scale: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Holds distances below a bond at one value, and leaves longer ones as they are.

    y(r) = b + (r - b) (1 + tanh(s (r - m)/w))/2 with b = 3/4 scale, the width w = 7/12 scale from b
    to 4/3 scale, their middle m, and steepness s.

    Args:
      r: Distances, non-negative.
      scale: Sum of the covalent radii of the two atoms.
    """
    below, above = 0.75 * scale, (4.0 / 3.0) * scale
    steps = SOFT_STEEPNESS * (r - 0.5 * (below + above)) / (above - below)
    return below + (r - below) * (0.5 * (1.0 + jnp.tanh(steps)))
