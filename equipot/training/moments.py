"""Moments of a run, and weights of the loss at each step, inside of a compiled program."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import jax.numpy as jnp

from equipot.training.changing import ChangeConfig
from equipot.training.config import LossConfig
from equipot.typing import Array, Float, Int

Weights: TypeAlias = Mapping[str, Float[Array, ""] | float]


def moment(value: float | int, num_steps: Int[Array, ""]) -> Float[Array, ""]:
    """How many steps are done at a moment, as ``changing.step_at`` has it.

    Args:
      value: A share of the run up to 1, or a number of steps above 1.
      num_steps: Length of the run.
    """
    if value > 1:
        return jnp.asarray(int(value), jnp.float32)
    return jnp.floor(jnp.asarray(value, jnp.float32) * num_steps.astype(jnp.float32))


def loss_weights(config: LossConfig) -> Callable[[Int[Array, ""], Int[Array, ""]], Weights]:
    """Returns the weights of the loss by the number of steps done and the length of the run.

    They are plain numbers, the same at each step, unless ``loss.changes`` says otherwise. With x
    the share of a change that is done, a weight goes from a to b as a + (b − a) x, or as a (b/a)ˣ
    where the change is exponential.

    Args:
      config: The loss.
    """

    def weights(step: Int[Array, ""], num_steps: Int[Array, ""]) -> Weights:
        changed = {
            name: _weight(config.terms[name], change, step, num_steps)
            for name, change in config.changes.items()
        }
        return {**config.terms, **changed}

    return weights


def _weight(
    begun: float | int, change: ChangeConfig, step: Int[Array, ""], num_steps: Int[Array, ""]
) -> Float[Array, ""]:
    """One weight after so many steps."""
    first, last = moment(change.start, num_steps), moment(change.end, num_steps)
    done = step.astype(jnp.float32) - first
    share = jnp.clip(done / jnp.maximum(last - first, 1.0), 0.0, 1.0)
    share = jnp.where(last > first, share, (done >= 0).astype(jnp.float32))
    if change.shape == "exponential":
        return begun * (change.to / begun) ** share
    return begun + (change.to - begun) * share
