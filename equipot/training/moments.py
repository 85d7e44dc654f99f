"""Moments of a run, and weights of the loss at each step, inside of a compiled program."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import jax.numpy as jnp

from equipot.training.changing import ChangeConfig, step_at
from equipot.training.config import LossConfig
from equipot.typing import Array, Float, Int

Length: TypeAlias = Int[Array, ""] | int
Weights: TypeAlias = Mapping[str, Float[Array, ""] | float]


def moment(value: float | int, length: Length) -> Float[Array, ""]:
    """How many steps are done at a moment, as ``changing.step_at`` has it.

    Args:
      value: A share of the run up to 1, or a number of steps above 1.
      length: Number of steps of the run.
    """
    if value > 1 or isinstance(length, int):
        return jnp.asarray(step_at(value, length if isinstance(length, int) else 0), jnp.float32)
    return jnp.floor(jnp.asarray(value, jnp.float32) * length.astype(jnp.float32))


def loss_weights(config: LossConfig, num_steps: int) -> Callable[..., Weights]:
    """Returns the weights of the loss as a function of the number of steps done.

    They are plain numbers, the same at each step, unless ``loss.changes`` says otherwise. With x
    the share of a change that is done, a weight goes from a to b as a + (b − a) x, or as a (b/a)ˣ
    where the change is exponential.

    Args:
      config: The loss.
      num_steps: Length of the run; the second argument of the function, where there is one, takes
        its place, as with ``optimizer.make_schedule``.
    """

    def weights(step: Int[Array, ""], length: Int[Array, ""] | None = None) -> Weights:
        steps = num_steps if length is None else length
        changed = {
            name: _weight(config.terms[name], change, step, steps)
            for name, change in config.changes.items()
        }
        return {**config.terms, **changed}

    return weights


def _weight(
    begun: float | int, change: ChangeConfig, step: Int[Array, ""], length: Length
) -> Float[Array, ""]:
    """One weight after so many steps."""
    first, last = moment(change.start, length), moment(change.end, length)
    done = step.astype(jnp.float32) - first
    share = jnp.clip(done / jnp.maximum(last - first, 1.0), 0.0, 1.0)
    share = jnp.where(last > first, share, (done >= 0).astype(jnp.float32))
    if change.shape == "exponential":
        return begun * (change.to / begun) ** share
    return begun + (change.to - begun) * share
