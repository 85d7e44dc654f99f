"""Functions of vectors as features: a radial basis times spherical harmonics."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from equipot.e3.dense import ops, so3
from equipot.typing import Array, Float

Keywords = Mapping[str, Any]


def basis(
    r: Float[Array, "*batch 3"],
    *,
    max_degree: int,
    num: int,
    radial_fn: Callable[..., Array],
    angular_fn: Callable[..., Array] = so3.spherical_harmonics,
    radial_kwargs: Keywords | None = None,
    cutoff_fn: Callable[..., Array] | None = None,
    cutoff_kwargs: Keywords | None = None,
    damping_fn: Callable[..., Array] | None = None,
    damping_kwargs: Keywords | None = None,
    return_cutoff: bool = False,
    return_norm: bool = False,
    cartesian_order: bool = True,
) -> Float[Array, "..."] | tuple[Float[Array, "..."], ...]:
    """Features of vectors, Bₙₗₘ(r) = gₙ(|r|) c(|r|) d(|r|)^(l > 0) Yˡₘ(r/|r|).

    At r = 0 those of l > 0 are zero, with derivatives zero; only where the damping vanishes there
    are they also continuous.

    Args:
      r: Vectors.
      max_degree: Largest l.
      num: Number of radial functions, the channels of the result.
      radial_fn: Makes gₙ, ``[..., num]``, of distances, ``num`` and ``radial_kwargs``.
      angular_fn: Makes Yˡₘ, ``[..., (L+1)²]``, of unit vectors (or zero), with the keywords
        ``max_degree`` and ``cartesian_order``; harmonics in Racah's normalisation by default.
      radial_kwargs: More arguments of ``radial_fn``.
      cutoff_fn: Makes c of distances and ``cutoff_kwargs``; 1 if None.
      cutoff_kwargs: More arguments of ``cutoff_fn``.
      damping_fn: Makes d, a factor for l > 0, of distances and ``damping_kwargs``; 1 if None.
      damping_kwargs: More arguments of ``damping_fn``.
      return_cutoff: Whether c is returned too.
      return_norm: Whether |r| is returned too, last.
      cartesian_order: Whether m runs l, -l, …, 1, -1, 0 instead of -l … l.

    Returns:
      Features ``[..., 1, (L+1)², num]``, alone or first of a tuple.

    Raises:
      ValueError: r has no 3 components, max_degree is negative, a cutoff is asked for without
        ``cutoff_fn``, or a function returns a shape that it must not.
    """
    if r.shape[-1] != 3:
        raise ValueError(f"expected r of shape (..., 3), received {r.shape}")
    if return_cutoff and cutoff_fn is None:
        raise ValueError("expected a cutoff_fn with return_cutoff=True, received None")
    so3.check_degree(max_degree)
    unit, distance = ops.normalize_and_return_norm(r, axis=-1)
    unit = jnp.where(distance[..., None] == 0, 0.0, unit)
    radial = radial_fn(distance, num, **(radial_kwargs or {}))
    _check("radial_fn", radial, (*distance.shape, num))
    angular = angular_fn(unit, max_degree=max_degree, cartesian_order=cartesian_order)
    _check("angular_fn", angular, (*distance.shape, (max_degree + 1) ** 2))
    extra = []
    if cutoff_fn is not None:
        cutoff = cutoff_fn(distance, **(cutoff_kwargs or {}))
        _check("cutoff_fn", cutoff, distance.shape)
        radial = radial * cutoff[..., None]
        extra = [cutoff] if return_cutoff else []
    if damping_fn is not None:
        damping = damping_fn(distance, **(damping_kwargs or {}))[..., None]
        angular = jnp.concatenate([angular[..., :1], angular[..., 1:] * damping], axis=-1)
    features = angular[..., None, :, None] * radial[..., None, None, :]
    extra = [*extra, distance] if return_norm else extra
    return (features, *extra) if extra else features


class ExponentialBasis(nn.Module):
    """``basis`` whose ``radial_fn``, one of ``exponential_…``, has a rate γ that is learned.

    The parameter ``gamma`` is γ before a softplus.

    Attributes:
      initial_gamma: γ at first, positive.
      param_dtype: Of the parameter; that of r by default.
    """

    initial_gamma: float = 1.0
    param_dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self,
        r: Float[Array, "*batch 3"],
        *,
        radial_fn: Callable[..., Array],
        radial_kwargs: Keywords | None = None,
        **options: Any,
    ) -> Float[Array, "..."] | tuple[Float[Array, "..."], ...]:
        """Makes features of vectors; arguments and result are those of ``basis``."""
        gamma = self.param("gamma", self._initial_gamma, self.param_dtype or r.dtype)
        keywords = {**(radial_kwargs or {}), "gamma": jax.nn.softplus(gamma.astype(r.dtype))}
        return basis(r, radial_fn=radial_fn, radial_kwargs=keywords, **options)

    def _initial_gamma(self, _: Array, dtype: DTypeLike) -> Array:
        return ops.inverse_softplus(jnp.asarray(self.initial_gamma, dtype))


def _check(name: str, value: Array, shape: tuple[int, ...]) -> None:
    """Raises a ValueError if a function returned another shape."""
    if value.shape != shape:
        raise ValueError(f"expected {name} to return shape {shape}, received {value.shape}")
