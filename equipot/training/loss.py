"""The loss: means of weighted errors in energy per atom, forces, stress and declared quantities."""

from collections.abc import Callable

import jax.numpy as jnp

from equipot.e3.functions import radial
from equipot.training.config import LossConfig
from equipot.training.metrics import Residuals, Sum, Sums
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
    weight in the configuration is 0 are left out.
    """
    error = _ERRORS[config.kind]

    def terms(residuals: Residuals) -> Sums:
        sums: Sums = {}
        for name, weight in config.terms.items():
            if weight > 0:
                difference, label_weight = residuals[name]
                sums[name] = _weighted(error(difference, config.huber_delta), label_weight)
        return sums

    return terms


def combine(terms: Sums, config: LossConfig) -> Float[Array, ""]:
    """The loss: the means of its terms, weighted as configured.

    Args:
      terms: Sums over everything that counts, all devices included.
      config: The weights.
    """
    parts = [config.terms[name] * term.mean for name, term in terms.items()]
    return jnp.sum(jnp.stack(parts))


def _weighted(values: Array, weight: Array) -> Sum:
    """Σ_i w_i Σ_components values, and the number of components that have a weight above zero."""
    per_row = jnp.sum(jnp.reshape(values, (values.shape[0], -1)), axis=1)
    components = values.size // values.shape[0]
    labelled = jnp.sum((weight > 0).astype(weight.dtype))
    return Sum(total=jnp.sum(weight * per_row), weight=components * labelled)


def _huber(error: Array, delta: float) -> Array:
    """Half the square to delta, then linear with the same slope. Reference: Huber 1964."""
    size = jnp.abs(error)
    inner = jnp.minimum(size, delta)
    return inner * (size - 0.5 * inner)


def _norm(error: Array, _: float) -> Array:
    """The length of each row."""
    return radial.safe_norm(jnp.reshape(error, (error.shape[0], -1)))


_ERRORS: dict[str, Callable[[Array, float], Array]] = {
    "mse": lambda error, _: error**2,
    "mae": lambda error, _: jnp.abs(error),
    "huber": _huber,
    "norm": _norm,
}
