"""Initial weights of tensor products, scaled by the number of paths into or out of an irrep."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from equipot.e3.dense import coupling
from equipot.typing import Array

Initializer: TypeAlias = Callable[..., Array]

# Standard deviation of a standard normal variable cut at ±2.
_TRUNCATED = 0.87962566103423978


def tensor_variance_scaling(
    scale: int | float, mode: str, distribution: str, dtype: DTypeLike = float
) -> Initializer:
    """Weights of mean 0 and variance scale/fan for kernels of ``Tensor``, 0 at forbidden paths.

    Args:
      scale: Factor of the variance, positive.
      mode: What counts as fan: ``fan_in`` the paths into the output irrep, ``fan_out`` those out
        of the pair of input irreps, ``fan_avg`` their mean.
      distribution: ``truncated_normal`` (at two standard deviations), ``normal`` or ``uniform``.
      dtype: Of the weights, unless the call says otherwise.

    Raises:
      ValueError: The mode or the distribution is unknown; at the call, the shape is no kernel's.
    """
    if mode not in ("fan_in", "fan_out", "fan_avg"):
        raise ValueError(f"expected a mode of fan_in, fan_out or fan_avg, received {mode!r}")
    draw = _distribution(distribution)

    def init(key: Array, shape: Sequence[int], dtype: DTypeLike = dtype) -> Array:
        if len(shape) != 7:
            raise ValueError(
                f"expected a kernel of shape (P1, L1+1, P2, L2+1, P3, L3+1, F), received {shape}"
            )
        p1, n1, p2, n2, p3, n3, _ = shape
        mask = coupling.path_mask((p1, n1, p2, n2, p3, n3))
        variance = scale * mask / _fan(mask, mode)
        deviation = np.sqrt(variance)[..., None].astype(jnp.result_type(dtype))
        return draw(key, tuple(shape), dtype) * deviation

    return init


def tensor_lecun_normal(dtype: DTypeLike = float) -> Initializer:
    """Truncated normal weights of variance 1/fan_in."""
    return tensor_variance_scaling(1.0, "fan_in", "truncated_normal", dtype)


def tensor_lecun_uniform(dtype: DTypeLike = float) -> Initializer:
    """Uniform weights of variance 1/fan_in."""
    return tensor_variance_scaling(1.0, "fan_in", "uniform", dtype)


def tensor_glorot_normal(dtype: DTypeLike = float) -> Initializer:
    """Truncated normal weights of variance 1/fan_avg."""
    return tensor_variance_scaling(1.0, "fan_avg", "truncated_normal", dtype)


def tensor_glorot_uniform(dtype: DTypeLike = float) -> Initializer:
    """Uniform weights of variance 1/fan_avg."""
    return tensor_variance_scaling(1.0, "fan_avg", "uniform", dtype)


def tensor_he_normal(dtype: DTypeLike = float) -> Initializer:
    """Truncated normal weights of variance 2/fan_in."""
    return tensor_variance_scaling(2.0, "fan_in", "truncated_normal", dtype)


def tensor_he_uniform(dtype: DTypeLike = float) -> Initializer:
    """Uniform weights of variance 2/fan_in."""
    return tensor_variance_scaling(2.0, "fan_in", "uniform", dtype)


tensor_xavier_normal, tensor_xavier_uniform = tensor_glorot_normal, tensor_glorot_uniform
tensor_kaiming_normal, tensor_kaiming_uniform = tensor_he_normal, tensor_he_uniform


def fused_tensor_normal(
    scale: Any = 1.0, mask: Any = True, dtype: DTypeLike = float
) -> Initializer:
    """Normal weights of mean 0 and variance ``scale``, 0 where ``mask`` is false."""
    return _masked("normal", scale, mask, dtype)


def fused_tensor_uniform(
    scale: Any = 1.0, mask: Any = True, dtype: DTypeLike = float
) -> Initializer:
    """Uniform weights of mean 0 and variance ``scale``, 0 where ``mask`` is false."""
    return _masked("uniform", scale, mask, dtype)


def _masked(distribution: str, scale: Any, mask: Any, dtype: DTypeLike) -> Initializer:
    draw = _distribution(distribution)

    def init(key: Array, shape: Sequence[int], dtype: DTypeLike = dtype) -> Array:
        deviation = np.broadcast_to(np.sqrt(scale) * np.asarray(mask), tuple(shape))
        return draw(key, tuple(shape), dtype) * deviation.astype(jnp.result_type(dtype))

    return init


def _fan(mask: np.ndarray, mode: str) -> np.ndarray:
    """Number of paths that share the variance, one for each entry of the mask, at least 1."""
    into = np.sum(mask, axis=(0, 1, 2, 3), keepdims=True)
    out = np.sum(mask, axis=(4, 5), keepdims=True)
    fan = {"fan_in": into, "fan_out": out, "fan_avg": (into + out) / 2}[mode]
    return np.maximum(np.broadcast_to(fan, mask.shape), 1)


def _distribution(name: str) -> Callable[..., Array]:
    """A function that draws numbers of mean 0 and variance 1."""
    if name == "normal":
        return jax.random.normal
    if name == "uniform":
        bound = math.sqrt(3.0)
        return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)
    if name == "truncated_normal":
        return lambda key, shape, dtype: (
            jax.random.truncated_normal(key, -2.0, 2.0, shape, dtype) * (1.0 / _TRUNCATED)
        )
    raise ValueError(
        f"expected a distribution of truncated_normal, normal or uniform, received {name!r}"
    )
