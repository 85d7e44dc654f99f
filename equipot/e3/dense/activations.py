"""Nonlinearities that gate every irrep by the even scalars: act(x) = gate(x[0+]) x.

Each gate is f(s)/s for the usual function f of the scalar s, so that f acts on the even scalars.
For degree 0 without pseudotensors the usual function itself is applied, bit for bit. Gates and
their derivatives are finite at s = 0.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from equipot.e3.dense.features import layout
from equipot.e3.functions import activations as scalar_functions
from equipot.typing import Array, Float

Function = Callable[[Array], Array]

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def relu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Gate 1 where s > 0, else 0."""
    return _gated(x, lambda s: (s > 0).astype(s.dtype), jax.nn.relu)


def leaky_relu(x: Float[Array, "..."], negative_slope: int | float = 1e-2) -> Float[Array, "..."]:
    """Gate 1 where s >= 0, else ``negative_slope``."""
    return _gated(
        x,
        lambda s: jnp.where(s >= 0, jnp.ones_like(s), negative_slope),
        lambda s: jax.nn.leaky_relu(s, negative_slope),
    )


def relu6(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Gate 0 where s < 0, 1 to s = 6, and 6/s beyond."""
    return _gated(x, lambda s: jnp.where(s > 0, 6.0 / jnp.maximum(s, 6.0), 0.0), jax.nn.relu6)


def elu(x: Float[Array, "..."], alpha: int | float = 1.0) -> Float[Array, "..."]:
    """Gate 1 where s > 0, else alpha (exp(s) - 1)/s."""
    return _gated(x, lambda s: _elu_gate(s, alpha), lambda s: jax.nn.elu(s, alpha))


def selu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Gate of ``elu`` with α = 1.6733 times λ = 1.0507, for which mean 0 and variance 1 are stable.

    Reference: Klambauer et al. 2017. arXiv:1706.02515
    """
    return _gated(x, lambda s: _SELU_SCALE * _elu_gate(s, _SELU_ALPHA), jax.nn.selu)


def celu(x: Float[Array, "..."], alpha: int | float = 1.0) -> Float[Array, "..."]:
    """Gate 1 where s > 0, else alpha (exp(s/alpha) - 1)/s."""
    return _gated(x, lambda s: _elu_gate(s * (1.0 / alpha), 1.0), lambda s: jax.nn.celu(s, alpha))


def gelu(x: Float[Array, "..."], approximate: bool = True) -> Float[Array, "..."]:
    """Gate Φ(s), the normal distribution function, or its approximation by a tanh."""

    def gate(s: Array) -> Array:
        if not approximate:
            return 0.5 * jax.lax.erfc(-s * math.sqrt(0.5))
        return 0.5 * (1.0 + jnp.tanh(math.sqrt(2.0 / math.pi) * (s + 0.044715 * s**3)))

    return _gated(x, gate, lambda s: jax.nn.gelu(s, approximate=approximate))


def silu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Gate 1/(1 + exp(-s))."""
    return _gated(x, jax.nn.sigmoid, jax.nn.silu)


def hard_silu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Gate min(max(s + 3, 0), 6)/6."""
    return _gated(x, jax.nn.hard_sigmoid, jax.nn.hard_silu)


def hard_tanh(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Gate 1 where |s| <= 1, else 1/|s|."""
    return _gated(x, lambda s: 1.0 / jnp.maximum(jnp.abs(s), 1.0), jax.nn.hard_tanh)


def mish(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Gate tanh(softplus(s)).

    Reference: Misra 2019. arXiv:1908.08681
    """
    return _gated(x, lambda s: jnp.tanh(jax.nn.softplus(s)), jax.nn.mish)


def serf(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Gate erf(softplus(s)).

    Reference: Nag and Bhattacharyya 2021. arXiv:2108.09598
    """
    return _gated(x, lambda s: jax.lax.erf(jax.nn.softplus(s)))


def shifted_softplus(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Gate log((1 + exp(s))/2)/s, which is 1/2 at s = 0."""
    return _gated(x, _softplus_gate, scalar_functions.shifted_softplus)


def soft_sign(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Gate 1/(1 + |s|)."""
    return _gated(x, lambda s: 1.0 / (1.0 + jnp.abs(s)), jax.nn.soft_sign)


def bent_identity(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Gate 1 + (√(s² + 1) - 1)/(2s)."""
    return _gated(x, lambda s: 1.0 + 0.5 * s / (jnp.sqrt(s * s + 1.0) + 1.0))


swish, hard_swish = silu, hard_silu


def _gated(x: Array, gate: Function, function: Function | None = None) -> Array:
    """gate(x[0+]) x, by way of the scalar function where there are even scalars alone."""
    num_parity, max_degree, _ = layout(x)
    if function is not None and (num_parity, max_degree) == (1, 0):
        return function(x)
    return gate(x[..., :1, :1, :]) * x


def _elu_gate(s: Array, alpha: int | float) -> Array:
    """1 where s > 0, else alpha (exp(s) - 1)/s, by its series where the quotient would cancel."""
    small = jnp.abs(s) < 0.1
    far = jnp.where((s > 0) | small, -1.0, s)
    near = jnp.where(small, s, 0.0)
    series = _polynomial(near, [1.0 / math.factorial(n + 1) for n in range(12)])
    return jnp.where(s > 0, 1.0, alpha * jnp.where(small, series, jnp.expm1(far) / far))


def _softplus_gate(s: Array) -> Array:
    """(softplus(s) - log 2)/s = 1/2 + log(cosh(s/2))/s, by its series where that would cancel."""
    small = jnp.abs(s) < 0.2
    far, near = jnp.where(small, 1.0, s), jnp.where(small, 0.5 * s, 0.0)
    # log(cosh(u))/u² in powers of u².
    log_cosh = [1 / 2, -1 / 12, 1 / 45, -17 / 2520, 31 / 14175, -691 / 935550, 10922 / 42567525]
    series = 0.5 + 0.5 * near * _polynomial(near * near, log_cosh)
    return jnp.where(small, series, scalar_functions.shifted_softplus(far) / far)


def _polynomial(x: Array, coefficients: list[float]) -> Array:
    """Σ coefficients[n] xⁿ."""
    total = jnp.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total * x + coefficient
    return total
