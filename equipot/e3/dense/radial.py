"""Radial basis functions: a distance becomes K numbers, along a new last axis.

Four families (Bernstein, Chebyshev, Fourier, Gaussian) come in three forms. The basic ones spread
over [0, limit]; reciprocal and exponential ones over all distances, by a mapping μ(x) from 1 at
zero to 0 far away. Distances are not negative. All derivatives are finite, also at zero.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import special

from equipot.e3.dense.cutoffs import Scalar, check_basis, in_dtype
from equipot.e3.functions.radial import row, sine_quotient
from equipot.typing import Array, Float

Kind: TypeAlias = Literal["shifted", "damped", "cuspless"]


def reciprocal_mapping(x: Float[Array, "*batch"], kind: Kind = "shifted") -> Float[Array, "*batch"]:
    """Maps [0, ∞) to (0, 1], like 1/x far away.

    μ(x) = 1/(x + 1) (``shifted``), (1 - e⁻ˣ)/x (``damped``) or 1/(x + e⁻ˣ) (``cuspless``, whose
    slope vanishes at zero).

    Args:
      x: Distances.
      kind: Which of them.

    Raises:
      ValueError: The kind is unknown.
    """
    if kind == "shifted":
        return 1.0 / (x + 1.0)
    if kind == "damped":
        return _damped_reciprocal(x)
    if kind == "cuspless":
        return 1.0 / (x + jnp.exp(-x))
    raise ValueError(f"expected kind 'shifted', 'damped' or 'cuspless', received {kind!r}")


def exponential_mapping(
    x: Float[Array, "*batch"], gamma: Scalar = 1.0, cuspless: bool = False
) -> Float[Array, "*batch"]:
    """Maps [0, ∞) to (0, 1], exponentially: μ(x) = exp(-γx), or exp(-γ(x + e⁻ˣ - 1)).

    Args:
      x: Distances.
      gamma: Rate γ.
      cuspless: Whether it is the second, whose slope vanishes at zero.
    """
    distance = x + jnp.expm1(-x) if cuspless else x
    return jnp.exp(-in_dtype(gamma, x) * distance)


def basic_bernstein(
    x: Float[Array, "*batch"], num: int, limit: Scalar = 1.0
) -> Float[Array, "*batch {num}"]:
    """Bernstein polynomials bₖ(x) = C(K-1, k) tᵏ (1-t)ᴷ⁻¹⁻ᵏ, t = x/limit, k = 0 … K-1.

    They sum to 1. Outside of [0, limit] they keep the value at that end.

    Args:
      x: Distances.
      num: Number K of functions.
      limit: Upper end.

    Raises:
      ValueError: num or limit is not positive.
    """
    return _bernstein(_clipped(x, num, limit), num - 1)


def basic_chebyshev(
    x: Float[Array, "*batch"], num: int, limit: Scalar = 1.0
) -> Float[Array, "*batch {num}"]:
    """Chebyshev polynomials Tₖ(2x/limit - 1) = cos(k arccos(2x/limit - 1)), k = 0 … K-1.

    Outside of [0, limit] they keep the value at that end.

    Args:
      x: Distances.
      num: Number K of functions.
      limit: Upper end.

    Raises:
      ValueError: num or limit is not positive.
    """
    t = 2.0 * _clipped(x, num, limit) - 1.0
    values = [jnp.ones_like(t), t]
    for _ in range(2, num):
        values.append(2.0 * t * values[-1] - values[-2])
    return jnp.stack(values[:num], axis=-1)


def basic_fourier(
    x: Float[Array, "*batch"], num: int, limit: Scalar = 1.0
) -> Float[Array, "*batch {num}"]:
    """Cosines fₖ(x) = cos(k π x/limit), k = 0 … K-1.

    Args:
      x: Distances.
      num: Number K of functions.
      limit: Half of their common period.

    Raises:
      ValueError: num or limit is not positive.
    """
    check_basis(num, limit)
    return jnp.cos(row(math.pi * np.arange(num), x) * (x / in_dtype(limit, x))[..., None])


def basic_gaussian(
    x: Float[Array, "*batch"], num: int, limit: Scalar = 1.0
) -> Float[Array, "*batch {num}"]:
    """Gaussians gₖ(x) = exp(-√(2K) (K-1) (x/limit - k/(K-1))²), k = 0 … K-1.

    Args:
      x: Distances.
      num: Number K of functions.
      limit: Center of the last one.

    Raises:
      ValueError: num or limit is not positive.
    """
    check_basis(num, limit)
    last = num - 1
    offset = (x / in_dtype(limit, x))[..., None] - row(np.arange(num) / max(last, 1), x)
    return jnp.exp(-(math.sqrt(2.0 * num) * last) * offset**2)


def sinc(x: Float[Array, "*batch"], num: int, limit: Scalar = 1.0) -> Float[Array, "*batch {num}"]:
    """Spherical Bessel functions sₖ(x) = sin((k+1) π t)/((k+1) π t), t = x/limit, 0 beyond.

    Each is 1 at zero and 0 at the limit, with a kink there: multiply by a cutoff.

    Args:
      x: Distances.
      num: Number K of functions, k = 0 … K-1.
      limit: Their common zero.

    Raises:
      ValueError: num or limit is not positive.
    """
    check_basis(num, limit)
    t = (x / in_dtype(limit, x))[..., None]
    return jnp.where(t <= 1.0, sine_quotient(t * row(math.pi * np.arange(1, num + 1), x)), 0.0)


def reciprocal_bernstein(
    x: Float[Array, "*batch"],
    num: int,
    kind: Kind = "shifted",
    use_reciprocal_weighting: bool = False,
) -> Float[Array, "*batch {num}"]:
    """``basic_bernstein`` of 1 - μ(x), times μ(x) if weighted; μ is ``reciprocal_mapping``."""
    mapping = reciprocal_mapping(x, kind)
    return _mapped(basic_bernstein, 1.0 - mapping, num, mapping, use_reciprocal_weighting)


def reciprocal_chebyshev(
    x: Float[Array, "*batch"],
    num: int,
    kind: Kind = "shifted",
    use_reciprocal_weighting: bool = False,
) -> Float[Array, "*batch {num}"]:
    """``basic_chebyshev`` of μ(x), times μ(x) if weighted; μ is ``reciprocal_mapping``."""
    mapping = reciprocal_mapping(x, kind)
    return _mapped(basic_chebyshev, mapping, num, mapping, use_reciprocal_weighting)


def reciprocal_fourier(
    x: Float[Array, "*batch"],
    num: int,
    kind: Kind = "shifted",
    use_reciprocal_weighting: bool = False,
) -> Float[Array, "*batch {num}"]:
    """``basic_fourier`` of 1 - μ(x), times μ(x) if weighted; μ is ``reciprocal_mapping``."""
    mapping = reciprocal_mapping(x, kind)
    return _mapped(basic_fourier, 1.0 - mapping, num, mapping, use_reciprocal_weighting)


def reciprocal_gaussian(
    x: Float[Array, "*batch"],
    num: int,
    kind: Kind = "shifted",
    use_reciprocal_weighting: bool = False,
) -> Float[Array, "*batch {num}"]:
    """``basic_gaussian`` of 1 - μ(x), times μ(x) if weighted; μ is ``reciprocal_mapping``."""
    mapping = reciprocal_mapping(x, kind)
    return _mapped(basic_gaussian, 1.0 - mapping, num, mapping, use_reciprocal_weighting)


def exponential_bernstein(
    x: Float[Array, "*batch"],
    num: int,
    gamma: Scalar = 1.0,
    cuspless: bool = False,
    use_exponential_weighting: bool = False,
) -> Float[Array, "*batch {num}"]:
    """``basic_bernstein`` of 1 - μ(x), times μ(x) if weighted; μ is ``exponential_mapping``.

    Reference: Unke et al. 2021 (SpookyNet). arXiv:2105.00304
    """
    mapping = exponential_mapping(x, gamma, cuspless)
    return _mapped(basic_bernstein, 1.0 - mapping, num, mapping, use_exponential_weighting)


def exponential_chebyshev(
    x: Float[Array, "*batch"],
    num: int,
    gamma: Scalar = 1.0,
    cuspless: bool = False,
    use_exponential_weighting: bool = False,
) -> Float[Array, "*batch {num}"]:
    """``basic_chebyshev`` of μ(x), times μ(x) if weighted; μ is ``exponential_mapping``."""
    mapping = exponential_mapping(x, gamma, cuspless)
    return _mapped(basic_chebyshev, mapping, num, mapping, use_exponential_weighting)


def exponential_fourier(
    x: Float[Array, "*batch"],
    num: int,
    gamma: Scalar = 1.0,
    cuspless: bool = False,
    use_exponential_weighting: bool = False,
) -> Float[Array, "*batch {num}"]:
    """``basic_fourier`` of 1 - μ(x), times μ(x) if weighted; μ is ``exponential_mapping``."""
    mapping = exponential_mapping(x, gamma, cuspless)
    return _mapped(basic_fourier, 1.0 - mapping, num, mapping, use_exponential_weighting)


def exponential_gaussian(
    x: Float[Array, "*batch"],
    num: int,
    gamma: Scalar = 1.0,
    cuspless: bool = False,
    use_exponential_weighting: bool = False,
) -> Float[Array, "*batch {num}"]:
    """``basic_gaussian`` of 1 - μ(x), times μ(x) if weighted; μ is ``exponential_mapping``."""
    mapping = exponential_mapping(x, gamma, cuspless)
    return _mapped(basic_gaussian, 1.0 - mapping, num, mapping, use_exponential_weighting)


def _mapped(
    basis: Callable[[Array, int], Array], argument: Array, num: int, mapping: Array, weighted: bool
) -> Array:
    """A basis of a mapped distance, times the mapping if weighted."""
    values = basis(argument, num)
    return mapping[..., None] * values if weighted else values


def _damped_reciprocal(x: Array) -> Array:
    """(1 - e⁻ˣ)/x; by its series Σ (-x)ⁿ/(n+1)! below 1, where the quotient cancels."""
    small = jnp.abs(x) < 1.0
    near, far = jnp.where(small, x, 0.0), jnp.where(small, 1.0, x)
    series = jnp.full_like(x, 1.0 / math.factorial(20))
    for n in range(18, -1, -1):
        series = 1.0 / math.factorial(n + 1) - near * series
    return jnp.where(small, series, -jnp.expm1(-far) / far)


def _clipped(x: Array, num: int, limit: Scalar) -> Array:
    """x/limit between 0 and 1, with slope 1 at both ends and 0 beyond."""
    check_basis(num, limit)
    t = x / in_dtype(limit, x)
    return jnp.where(t < 0.0, 0.0, jnp.where(t > 1.0, 1.0, t))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _bernstein(t: Array, degree: int) -> Array:
    """C(n, k) tᵏ (1-t)ⁿ⁻ᵏ for k = 0 … n by logarithms, which neither over- nor underflow."""
    k = np.arange(degree + 1)
    log_binomial = [math.log(math.comb(degree, i)) for i in k]
    low = special.xlogy(row(k, t), t[..., None])
    high = special.xlog1py(row(degree - k, t), -t[..., None])
    return jnp.exp(row(np.array(log_binomial), t) + low + high)


@_bernstein.defjvp
def _bernstein_jvp(degree: int, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Any, Any]:
    """The slope n (bₖ₋₁ - bₖ) of polynomials of one degree less, exact also at 0 and 1."""
    (t,), (dt,) = primals, tangents
    values = _bernstein(t, degree)
    if degree == 0:
        return values, jnp.zeros_like(values)
    lower = _bernstein(t, degree - 1)
    zero = jnp.zeros_like(lower[..., :1])
    slope = jnp.concatenate([zero, lower], -1) - jnp.concatenate([lower, zero], -1)
    return values, degree * slope * dt[..., None]
