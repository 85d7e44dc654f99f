"""The loss: means of weighted errors in energy per atom, forces, stress and declared quantities."""

from collections.abc import Callable

import jax.numpy as jnp

from equipot.e3.functions import radial
from equipot.quantities import FORCES
from equipot.training import moments
from equipot.training.config import LossConfig
from equipot.training.metrics import Residual, Residuals, Sum, Sums
from equipot.typing import Array, Float


def make_loss(config: LossConfig) -> Callable[[Residuals], Sums]:
    """Returns ``terms(residuals)``: each term of the loss as a sum over structures and its weight.

    With weights w_i, N_i atoms and ℓ the square, the magnitude or Huber's function,

        energy: Σ_i w_i ℓ(ΔE_i / N_i) / Σ_i 1
        forces: Σ_i w_i Σ_aα ℓ(ΔF_iaα) / Σ_i 3 N_i
        stress: Σ_i w_i Σ_αβ ℓ(Δσ_iαβ) / Σ_i 9

    and likewise for declared quantities of atoms and of structures, which are not divided by N_i,
    with sums over the structures that have the label (w_i > 0). If ℓ is the norm, a vector or
    matrix counts as one number, its length: forces: Σ_i w_i Σ_a |ΔF_ia| / Σ_i N_i. Labels are
    counted, not weights, so a weight also has an effect in a batch of one structure. Terms whose
    weight in the configuration is 0 throughout the run are left out.
    """
    error = _ERRORS[config.kind]

    def terms(residuals: Residuals) -> Sums:
        sums: Sums = {}
        for name, weight in config.largest_terms.items():
            if weight > 0:
                own = residuals[name]
                delta = _delta(name, own, config)
                sums[name] = _weighted(error(own.difference, delta), own.weight)
        return sums

    return terms


def combine(
    terms: Sums, config: LossConfig, weights: moments.Weights | None = None
) -> Float[Array, ""]:
    """The loss: the means of its terms, weighted as configured.

    Args:
      terms: Sums over everything that counts, all devices included.
      config: The weights, unless others are given.
      weights: By the name of the term.
    """
    own = config.terms if weights is None else weights
    return jnp.sum(jnp.stack([weighted(own[name], term) for name, term in terms.items()]))


def weighted(weight: Float[Array, ""] | float, term: Sum) -> Float[Array, ""]:
    """The mean of a term times its weight, in the precision of the term."""
    mean = term.mean
    is_number = isinstance(weight, float | int)
    return (weight if is_number else weight.astype(mean.dtype)) * mean


def _weighted(values: Array, weight: Array) -> Sum:
    """Σ_i w_i Σ_components values, and the number of components that have a weight above zero."""
    per_row = jnp.sum(jnp.reshape(values, (values.shape[0], -1)), axis=1)
    components = values.size // values.shape[0]
    labelled = jnp.sum((weight > 0).astype(weight.dtype))
    return Sum(total=jnp.sum(weight * per_row), weight=components * labelled)


def _delta(name: str, residual: Residual, config: LossConfig) -> Array | float:
    """Where Huber's function becomes linear; for forces by the length of the label if universal.

    Reference: Batatia et al. 2023, the conditional Huber loss of the forces. arXiv:2401.00096
    """
    if config.kind != "universal" or name != FORCES.name:
        return config.huber_delta
    length = jnp.sqrt(jnp.sum(residual.label**2, axis=-1, keepdims=True))
    bounds = jnp.asarray(config.huber_sizes, length.dtype)
    factors = jnp.asarray((1.0, *config.huber_factors), length.dtype)
    return config.huber_delta * factors[jnp.searchsorted(bounds, length, side="right")]


def _huber(error: Array, delta: Array | float) -> Array:
    """Half the square to delta, then linear with the same slope. Reference: Huber 1964."""
    size = jnp.abs(error)
    inner = jnp.minimum(size, delta)
    return inner * (size - 0.5 * inner)


def _norm(error: Array, _: Array | float) -> Array:
    """The length of each row."""
    return radial.safe_norm(jnp.reshape(error, (error.shape[0], -1)))


_ERRORS: dict[str, Callable[[Array, Array | float], Array]] = {
    "mse": lambda error, _: error**2,
    "mae": lambda error, _: jnp.abs(error),
    "huber": _huber,
    "universal": _huber,
    "norm": _norm,
}
