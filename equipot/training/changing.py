"""What may change during a run, as frozen dataclasses: weights of the loss, and a second stage."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from equipot import errors
from equipot.quantities import DERIVED


def step_at(moment: float | int, num_steps: int) -> int:
    """How many steps are done at a moment of a run, which is rounded down to whole steps.

    In float32, as ``equipot.training.moments`` has it on the devices.

    Args:
      moment: A share of the run up to 1, or a number of steps above 1.
      num_steps: Length of the run.
    """
    if moment > 1:
        return int(moment)
    return int(np.floor(np.float32(moment) * np.float32(num_steps)))


def check_moment(moment: float | int, key: str) -> None:
    """Stops where a moment is none.

    Raises:
      ConfigError: If it is below 0, or neither a share nor a whole number of steps.
    """
    if not (0 <= moment <= 1 or (math.isfinite(moment) and moment == int(moment))):
        raise errors.ConfigError(
            f"{key}: expected a share of the run from 0 to 1, or a number of steps above 1,"
            f" received {moment!r}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChangeConfig:
    """How the weight of a term of the loss changes during a run.

    Attributes:
      to: Weight at the end of the change.
      start: When it begins: a share of the run up to 1, or a number of steps above 1, default 0.
      end: When it is over, likewise; where it is ``start``, the weight jumps, default 1.
      shape: linear, or exponential (the same factor at each step; no weight may be 0 then), default
        linear.
    """

    to: float
    start: float = 0.0
    end: float = 1.0
    shape: Literal["linear", "exponential"] = "linear"


def check_changes(changes: Mapping[str, ChangeConfig], weights: Mapping[str, float | int]) -> None:
    """Stops where a change is none.

    Args:
      changes: By the name of the term.
      weights: Those that the terms begin with.

    Raises:
      ConfigError: If a term is unknown, or a weight or a moment out of its range.
    """
    for name, change in changes.items():
        key = f"loss.changes.{name}"
        if name not in weights:
            raise errors.ConfigError(
                f"loss.changes: unknown term '{name}'.{errors.did_you_mean(name, weights)}"
                f" Known: {', '.join(weights)}"
            )
        _check_weight(change.to, f"{key}.to")
        check_moment(change.start, f"{key}.start")
        check_moment(change.end, f"{key}.end")
        same_kind = (change.start > 1) == (change.end > 1)
        if same_kind and change.end < change.start:
            raise errors.ConfigError(
                f"{key}.end: expected {change.start:g} (start) or later, received {change.end:g}"
            )
        if change.shape == "exponential" and not (change.to > 0 and weights[name] > 0):
            raise errors.ConfigError(
                f"{key}: an exponential change is one between two weights above 0, received"
                f" {weights[name]:g} and {change.to:g}; use shape=linear"
            )


def _check_weight(weight: float | int, key: str) -> None:
    if not 0 <= weight < math.inf:
        raise errors.ConfigError(f"{key}: expected a weight of at least 0, received {weight!r}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageTwoConfig:
    """A second stage of the run, with other weights and another rate; the best is chosen in it.

    Attributes:
      start: When it begins: a share of the run below 1, or a number of steps above 1; null for no
        second stage, default null.
      energy: Weight of the energy from then on; null for that of before, default null.
      forces: Likewise of the forces, default null.
      stress: Likewise of the stress, default null.
      quantities: Likewise of declared quantities, by name.
      learning_rate: Learning rate from then on, constant; null for ``optimizer.schedule`` to go on,
        default null.
      average: What is validated and kept from then on: mean (the plain mean of the parameters after
        each of its steps) or moving (as ``optimizer.ema_decay`` says), default mean.
    """

    start: float | None = None
    energy: float | None = None
    forces: float | None = None
    stress: float | None = None
    quantities: Mapping[str, float] = dataclasses.field(default_factory=dict)
    learning_rate: float | None = None
    average: Literal["mean", "moving"] = "mean"

    def __post_init__(self) -> None:
        if self.start is None:
            self._check_unused()
            return
        check_moment(self.start, "stage_two.start")
        if self.start in (0, 1):
            raise errors.ConfigError(
                f"stage_two.start: expected a share of the run between 0 and 1, or a number of"
                f" steps above 1, received {self.start:g}"
            )
        for name, weight in self.weights.items():
            inside = "" if name in DERIVED else "quantities."
            _check_weight(weight, f"stage_two.{inside}{name}")
        rate = self.learning_rate
        if rate is not None and not 0 < rate < math.inf:
            raise errors.ConfigError(
                f"stage_two.learning_rate: expected a positive number, received {rate!r}"
            )

    def _check_unused(self) -> None:
        """Refuses what would have no effect."""
        settings: dict[str, Any] = {**self.weights, "learning_rate": self.learning_rate}
        given = [key for key, value in settings.items() if value is not None]
        if given:
            raise errors.ConfigError(
                f"stage_two: expected stage_two.start beside {given[0]}, received null; set it to"
                " a share of the run such as 0.75, or to a number of steps"
            )

    @property
    def weights(self) -> dict[str, float]:
        """The weights that it sets, by the name of the term."""
        own = {name: getattr(self, name) for name in DERIVED}
        return {k: w for k, w in own.items() if w is not None} | dict(self.quantities)

    def begins(self, num_steps: int) -> int | None:
        """How many steps are done when it begins; None where there is none.

        Args:
          num_steps: Length of the run.
        """
        return None if self.start is None else step_at(self.start, num_steps)
