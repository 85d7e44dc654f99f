"""Pointwise nonlinearities: on scalars, by gates and by norms.

Functions are scaled to unit second moment for standard normal input unless asked otherwise. Even
scalars may pass through any function; odd ones through even or odd functions alone.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, overload

import jax
import jax.numpy as jnp
import numpy as np

from equipot.e3.arrays import operations
from equipot.e3.arrays.irreps import Irrep, Irreps, IrrepsLike, MulIrrep
from equipot.e3.arrays.irreps_array import IrrepsArray
from equipot.e3.functions import radial
from equipot.e3.keywords import also_named
from equipot.typing import Array, Float

Activation = Callable[[Array], Array]


@overload
def gate(
    x: IrrepsArray,
    even_act: Activation = ...,
    odd_act: Activation | None = ...,
    even_gate_act: Activation = ...,
    odd_gate_act: Activation = ...,
    normalize_act: bool = ...,
) -> IrrepsArray: ...
@overload
def gate(
    x: IrrepsLike,
    even_act: Activation = ...,
    odd_act: Activation | None = ...,
    even_gate_act: Activation = ...,
    odd_gate_act: Activation = ...,
    normalize_act: bool = ...,
) -> Irreps: ...
@also_named(input="x")
def gate(
    x: IrrepsArray | IrrepsLike,
    even_act: Activation = jax.nn.gelu,
    odd_act: Activation | None = None,
    even_gate_act: Activation = jax.nn.sigmoid,
    odd_gate_act: Activation = jnp.tanh,
    normalize_act: bool = True,
) -> IrrepsArray | Irreps:
    """Multiplies every irrep that is no scalar by a gate of its own, an activated scalar.

    The last scalars of the input, in its order, are the gates; the scalars before them pass through
    their activation. An odd gate turns the parity of what it multiplies. Given
    irreps, the irreps of the result.

    Args:
      x: Scalars (0e and 0o) and other irreps, at least as many scalars as others.
      even_act: For 0e.
      odd_act: For 0o; ``soft_odd`` by default.
      even_gate_act: For gates of 0e.
      odd_gate_act: For gates of 0o.
      normalize_act: Whether the functions are scaled to unit second moment.

    Raises:
      ValueError: There are too few scalars, or a function has no parity where it needs one.
    """
    odd_act = soft_odd if odd_act is None else odd_act
    if not isinstance(x, IrrepsArray):
        example = operations.zeros(x)
        return gate(example, even_act, odd_act, even_gate_act, odd_gate_act, normalize_act).irreps
    x = x.floating()
    scalars, gated = x.filter(keep="0e + 0o"), x.filter(drop="0e + 0o")
    passing = scalars.irreps.num_irreps - gated.irreps.num_irreps
    if passing < 0:
        raise ValueError(
            f"expected at least one scalar for each irrep with l > 0, received {x.irreps} with "
            f"{scalars.irreps.num_irreps} for {gated.irreps.num_irreps}"
        )
    first = scalar_activation(
        scalars.slice_by_mul[:passing],
        even_act=even_act,
        odd_act=odd_act,
        normalize_act=normalize_act,
    )
    gates = scalar_activation(
        scalars.slice_by_mul[passing:],
        even_act=even_gate_act,
        odd_act=odd_gate_act,
        normalize_act=normalize_act,
    )
    return operations.concatenate([first, gated * gates])


@overload
def scalar_activation(
    x: IrrepsArray,
    acts: Sequence[Activation | None] | None = ...,
    *,
    even_act: Activation = ...,
    odd_act: Activation | None = ...,
    normalize_act: bool = ...,
) -> IrrepsArray: ...
@overload
def scalar_activation(
    x: IrrepsLike,
    acts: Sequence[Activation | None] | None = ...,
    *,
    even_act: Activation = ...,
    odd_act: Activation | None = ...,
    normalize_act: bool = ...,
) -> Irreps: ...
@also_named(input="x")
def scalar_activation(
    x: IrrepsArray | IrrepsLike,
    acts: Sequence[Activation | None] | None = None,
    *,
    even_act: Activation = jax.nn.gelu,
    odd_act: Activation | None = None,
    normalize_act: bool = True,
) -> IrrepsArray | Irreps:
    """Applies a function to the scalars of each entry, and leaves other irreps alone.

    Given irreps, the irreps of the result.

    Args:
      x: Any irreps.
      acts: One function or None for each entry; by default ``even_act`` for 0e, ``odd_act`` for 0o.
      even_act: For 0e.
      odd_act: For 0o; ``soft_odd`` by default.
      normalize_act: Whether the functions are scaled to unit second moment.

    Raises:
      ValueError: A function is given for an irrep with l > 0, or for odd scalars one that is
        neither even nor odd, or the number of functions is wrong.
    """
    if not isinstance(x, IrrepsArray):
        options = {"even_act": even_act, "odd_act": odd_act, "normalize_act": normalize_act}
        return scalar_activation(operations.zeros(x), acts, **options).irreps
    if acts is None:
        by_parity = {1: even_act, -1: soft_odd if odd_act is None else odd_act}
        acts = [None if ir.l else by_parity[ir.p] for _, ir in x.irreps]
    if len(acts) != len(x.irreps):
        raise ValueError(f"expected {len(x.irreps)} functions for {x.irreps}, received {len(acts)}")
    x = x.floating()
    entries, chunks = [], []
    for item, chunk, act in zip(x.irreps, x.chunks, acts, strict=True):
        if act is not None:
            item = MulIrrep(item.mul, Irrep(_activated(item, act)))
            act = normalize_function(act) if normalize_act else act
            chunk = _apply(act, chunk, (*x.shape[:-1], item.mul, 1), x.dtype)
        entries.append(item)
        chunks.append(chunk)
    return IrrepsArray.from_chunks(Irreps(entries), chunks, x.shape[:-1], x.dtype)


@also_named(input="x")
def norm_activation(
    x: IrrepsArray, acts: Sequence[Activation | None], *, normalization: str = "component"
) -> IrrepsArray:
    """Multiplies each irrep by f(|x|/√(2l+1)), one function f or None for each entry.

    Args:
      x: Any irreps.
      acts: One function or None for each entry.
      normalization: ``norm`` leaves out the factor 1/√(2l+1), which ``component`` has.

    Raises:
      ValueError: The number of functions is wrong, or the normalisation is unknown.
    """
    if normalization not in ("component", "norm"):
        raise ValueError(f"expected a normalisation component or norm, received {normalization!r}")
    if len(acts) != len(x.irreps):
        raise ValueError(f"expected {len(x.irreps)} functions for {x.irreps}, received {len(acts)}")
    x, chunks = x.floating(), []
    for item, chunk, act in zip(x.irreps, x.chunks, acts, strict=True):
        if chunk is not None and act is not None:
            scale = 1.0 / math.sqrt(item.ir.dim) if normalization == "component" else 1.0
            chunk = chunk * act(radial.safe_norm(chunk, keepdims=True) * scale)
        chunks.append(chunk)
    return IrrepsArray.from_chunks(x.irreps, chunks, x.shape[:-1], x.dtype)


@also_named(input="x")
def soft_normalization(x: IrrepsArray, max_component: int | float) -> IrrepsArray:
    """Bounds the length of each irrep softly: x / (1 + u e^(-1/u)), u = |x|/(max √(2l+1)).

    Short irreps stay as they are, to every order at zero; the length of long ones tends to
    max √(2l+1), for which the root mean square of the components is ``max_component``.

    Args:
      x: Any irreps.
      max_component: The bound, positive.

    Raises:
      ValueError: The bound is not positive.
    """
    if not max_component > 0:
        raise ValueError(f"expected a positive max_component, received {max_component}")

    def shrink(u: Array) -> Array:
        u = u * (1.0 / max_component)
        return 1.0 / (1.0 + u * radial.sus(u))

    return norm_activation(x, [shrink] * len(x.irreps))


@functools.cache
def normalize_function(function: Activation) -> Activation:
    """Scales f to c f with c = ⟨f(z)²⟩^(-1/2) over a standard normal z.

    The mean is a composite Gauss-Legendre quadrature, split at 0, exact to rounding for functions
    that are smooth on either side of it. The result is cached: one function, one object.

    Raises:
      ValueError: The second moment of f is zero or not finite.
    """
    constant = 1.0 / math.sqrt(second_moment(function))

    @functools.wraps(function)
    def normalized(x: Any) -> Array:
        return constant * function(x)

    return normalized


def second_moment(function: Activation) -> float:
    """⟨f(z)²⟩ for a standard normal z, by quadrature in float64.

    Raises:
      ValueError: The moment is zero or not finite.
    """
    nodes, weights = np.polynomial.legendre.leggauss(16)
    edges = np.linspace(-14.0, 14.0, 113)
    half = 0.5 * np.diff(edges)[:, None]
    z = 0.5 * (edges[1:] + edges[:-1])[:, None] + half * nodes
    values = _tabulate(function, z)
    density = np.exp(-0.5 * z**2) / math.sqrt(2.0 * math.pi)
    moment = float(np.sum(half * weights * density * values**2))
    if not (math.isfinite(moment) and moment > 0.0):
        raise ValueError(f"expected a function with a positive second moment, found {moment}")
    return moment


def shifted_softplus(x: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """log((1 + exp x)/2), zero at zero."""
    return jax.nn.softplus(x) - math.log(2.0)


def soft_odd(x: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Returns x (1 - exp(-x²)), an odd function that is flat at zero and linear far away."""
    return (1.0 - jnp.exp(-(x**2))) * x


VANISHING_AT_ZERO = {
    "silu": jax.nn.silu,
    "mish": jax.nn.mish,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "ssp": shifted_softplus,
    "tanh": jnp.tanh,
}
"""By name: after them, what vanishes at the cutoff still does."""


@functools.cache
def parity_of(function: Activation) -> int:
    """1 for an even function, -1 for an odd one, 0 for any other; judged from 256 values.

    Zero is both; it counts as even.
    """
    z = np.linspace(0.0, 10.0, 256)
    right, left = _tabulate(function, z), _tabulate(function, -z)
    scale = 1e-9 * np.max(np.abs(right))
    return 1 if np.all(abs(right - left) <= scale) else -int(np.all(abs(right + left) <= scale))


def _activated(item: MulIrrep, act: Activation) -> tuple[int, int]:
    """Degree and parity of what a function makes of scalars."""
    if item.ir.l:
        raise ValueError(
            f"expected scalars under an activation, received {item}: gate them instead"
        )
    parity = 1 if item.ir.p == 1 else parity_of(act)
    if parity == 0:
        raise ValueError(
            f"expected an even or odd function for the odd scalars {item}, received "
            f"{getattr(act, '__name__', act)}, which is neither"
        )
    return 0, parity


def _apply(
    act: Activation, chunk: Array | None, shape: tuple[int, ...], dtype: Any
) -> Array | None:
    """Activates a chunk; zeros stay known zeros where the function keeps them."""
    if chunk is not None:
        return act(chunk)
    return None if _tabulate(act, np.zeros(1))[0] == 0 else act(jnp.zeros(shape, dtype))


def _tabulate(function: Activation, z: np.ndarray) -> np.ndarray:
    """Values of a JAX function in float64, also while tracing."""
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        return np.asarray(function(jnp.asarray(z, jnp.float64)), np.float64)
