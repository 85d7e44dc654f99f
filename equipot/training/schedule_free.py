"""Schedule-free training: an average of all parameters so far instead of a falling rate.

Reference: Defazio et al. 2024. arXiv:2405.15682
"""

from collections.abc import Callable

import jax
import optax
from optax import contrib

from equipot.typing import Array, PyTree

_BETA = 0.9  # share of the average in where gradients are taken


def schedule_free(
    optimizer: optax.GradientTransformation, schedule: Callable[..., Array]
) -> optax.GradientTransformation:
    """Returns updates that hold the learning rate already.

    With the optimizer's direction d(y), of unit learning rate, and the rate γ of a step,

        z ← z + γ d(y),   x ← (1 − c) x + c z,   y = β x + (1 − β) z,

    where c is γ² over the sum of all γ² so far. The parameters of the state are y; x is what is
    validated and kept, see ``averaged``.

    Args:
      optimizer: Without momentum, which the average replaces.
      schedule: Learning rate by the number of steps done; one that does not fall.
    """
    base = optax.chain(optimizer, optax.scale_by_schedule(schedule))
    return contrib.schedule_free(base, learning_rate=lambda count: schedule(count - 1), b1=_BETA)


def averaged(opt_state: PyTree, params: PyTree) -> PyTree:
    """The average x that belongs to the parameters y.

    Args:
      opt_state: State of ``schedule_free``.
      params: Parameters y.
    """
    return jax.tree.map(lambda y, z: (y - (1 - _BETA) * z) / _BETA, params, opt_state.z)
