"""The state of a run: the part on the devices, and the part that the loop keeps on the host."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, no_type_check

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from equipot import config as configuration
from equipot.training.optimizer import Plateau
from equipot.typing import Array, Float, Int, PyTree


@no_type_check
@struct.dataclass
class TrainState:
    """The state that one step takes and returns, all on the devices.

    Attributes:
      step: Steps done, int32.
      params: Parameters.
      ema_params: Their moving average, which is validated and kept.
      opt_state: State of the optimizer.
      rate_factor: Factor by which the plateau rule multiplies the learning rate, float32.
    """

    step: Int[Array, ""]
    params: PyTree
    ema_params: PyTree
    opt_state: PyTree
    rate_factor: Float[Array, ""]


def init_state(params: PyTree, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        ema_params=jax.tree.map(jnp.copy, params),
        opt_state=optimizer.init(params),
        rate_factor=jnp.ones((), jnp.float32),
    )


def to_host(state: PyTree) -> PyTree:
    """Copies a tree into NumPy; the copies stay when the next step takes the buffers."""
    return jax.tree.map(lambda leaf: np.array(leaf, copy=True), state)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Progress:
    """The progress of a run: with it and a ``TrainState`` a run resumes as if it had never stopped.

    Attributes:
      step: Steps done.
      seed: Seed of the order of the structures.
      epoch: Pass over the training set, from 0.
      position: Batches of this epoch that are done.
      best_loss: Lowest validation loss so far.
      best_step: The step of the lowest loss; -1 for none.
      waited: Number of validations since that step.
      plateau: State of the plateau rule.
      seconds: Time spent, excluding work lost when the run was killed.
      logs: Length in bytes of each log file.
      counted: Sums since the last line of the log and their weights, by name; empty just after one.
      is_due: Whether the run was stopped in the validation after this step, which is to be made.
    """

    step: int = 0
    seed: int = 0
    epoch: int = 0
    position: int = 0
    best_loss: float = math.inf
    best_step: int = -1
    waited: int = 0
    plateau: Plateau = dataclasses.field(default_factory=Plateau)
    seconds: float = 0.0
    logs: Mapping[str, int] = dataclasses.field(default_factory=dict)
    counted: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)
    is_due: bool = False

    def validated(self, loss: float, plateau: Plateau) -> "Progress":
        """Where the run stands after a validation with this loss."""
        if loss < self.best_loss:
            return dataclasses.replace(
                self, best_loss=loss, best_step=self.step, waited=0, plateau=plateau
            )
        return dataclasses.replace(self, waited=self.waited + 1, plateau=plateau)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> "Progress":
        """The inverse of ``equipot.config.to_mapping``."""
        return configuration.from_mapping(cls, mapping, "checkpoint")
