"""Settings of the optimizer and of the learning rate."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

from equipot import errors
from equipot.training import changing
from equipot.training.config.checks import check

OPTIMIZERS: Mapping[str, str] = {
    "adam": "optax:scale_by_adam",
    "amsgrad": "optax:scale_by_amsgrad",
    "adamw": "optax:scale_by_adam",
    "muon": "equipot.training.muon:scale_by_muon",
    "soap": "equipot.training.soap:scale_by_soap",
    "schedule_free": "optax:scale_by_adam",
}
"""Where each optimizer is: a function of the decays of two moments, as optax has them, or of its
own settings where there is a group of them by its name, as ``optimizer.soap``."""
SCHEDULE_FREE = "schedule_free"
DECAYING = ("adamw", "muon", "soap", SCHEDULE_FREE)  # those with a decay of weights

if TYPE_CHECKING:
    _Name: TypeAlias = str
else:
    _Name = Literal[tuple(OPTIMIZERS)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoapConfig:
    """Adam in the eigenbases of the moments of each matrix.

    Attributes:
      betas: Decays of the mean of gradients and of their mean square, default 0.95 and 0.95.
      shampoo_beta: Decay of the moments G Gᵀ and Gᵀ G whose eigenvectors are the bases, default
        0.95.
      eps: What is added to the root of the mean square, default 1e-8.
      precondition_every: Steps between two refreshments of the bases, default 10.
      max_dimension: Largest side of a matrix that has a basis, default 512.
      acts_on: matrices (what Muon acts on: embeddings and readouts to one number follow Adam) or
        all (whatever has two axes or more), default matrices.
    """

    betas: tuple[float, ...] = (0.95, 0.95)
    shampoo_beta: float = 0.95
    eps: float = 1e-8
    precondition_every: int = 10
    max_dimension: int = 512
    acts_on: Literal["matrices", "all"] = "matrices"

    def __post_init__(self) -> None:
        decays = [("betas", beta) for beta in self.betas] + [("shampoo_beta", self.shampoo_beta)]
        check(len(self.betas) == 2, "optimizer.soap.betas", "two numbers", self.betas)
        for key, value in decays:
            expected = "numbers from 0 to below 1" if key == "betas" else "from 0 to below 1"
            check(0 <= value < 1, f"optimizer.soap.{key}", expected, value)
        for key in ("eps", "precondition_every", "max_dimension"):
            value = getattr(self, key)
            check(value > 0, f"optimizer.soap.{key}", "a positive number", value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How parameters follow the gradient.

    Attributes:
      name: adam, amsgrad, adamw, muon (momenta of matrices made orthogonal), soap (Adam in the
        eigenbases of the moments of each matrix), or schedule_free (Adam with an average of all
        parameters so far instead of a falling rate, which is what is validated and kept), default
        muon.
      learning_rate: Largest learning rate, default 0.02.
      schedule: What follows the warm-up: cosine (down to ``final_fraction``), restarts (several
        such falls, each from the top), exponential (down to ``final_fraction``, which must be above
        0, by the same factor at each step), step (cut at given moments), plateau (cut when the
        validation loss stops falling) or constant, default cosine.
      warmup_steps: Steps over which the rate rises linearly from 0; null for 100, or for a tenth
        of a shorter run (not with schedule_free), default null.
      final_fraction: Share of ``learning_rate`` at which cosine, restarts, exponential and plateau
        end, default 0.
      weight_decay: Decay of adamw, muon, soap and schedule_free per unit of learning rate; acts on
        the model's matrices alone, default 0.
      clip_norm: Gradients longer than this are shortened to it; null for none, default null.
      ema_decay: Decay per step of the moving average of the parameters, which is what is validated
        and kept; null for none, default 0.999.
      ema_shrinks: Whether this average reaches ever less far back towards the end of a run whose
        rate falls to zero, and ends as the parameters themselves, default true.
      plateau_factor: What plateau multiplies the rate with, default 0.5.
      plateau_patience: Validations without a better loss before plateau does so, default 10.
      freeze: Groups of parameters that stay as they are, by names of the model's parameters or how
        these begin: embedding, radial, interaction_0, readout, …; with ``init_from`` alone, default
        none.
      soap: Settings of soap.
      drops: When step cuts the rate, ascending: shares of the run up to 1, or numbers of steps
        above 1, default 0.5 and 0.75.
      drop_factor: What step multiplies the rate with each time, default 0.1.
      cycles: How many falls restarts has, default 4.
      cycle_growth: How many times longer each of them is than the one before, default 1.
    """

    name: _Name = "muon"
    learning_rate: float = 0.02
    schedule: Literal["cosine", "restarts", "exponential", "step", "plateau", "constant"] = "cosine"
    warmup_steps: int | None = None
    final_fraction: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float | None = None
    ema_decay: float | None = 0.999
    ema_shrinks: bool = True
    plateau_factor: float = 0.5
    plateau_patience: int = 10
    freeze: tuple[str, ...] = ()
    soap: SoapConfig = dataclasses.field(default_factory=SoapConfig)
    drops: tuple[float, ...] = (0.5, 0.75)
    drop_factor: float = 0.1
    cycles: int = 4
    cycle_growth: float = 1.0

    def __post_init__(self) -> None:
        positive = {
            key: getattr(self, key)
            for key in ("learning_rate", "plateau_patience", "drop_factor", "cycles")
        }
        if self.clip_norm is not None:
            positive["clip_norm"] = self.clip_norm
        for key, value in positive.items():
            check(value > 0, f"optimizer.{key}", "a positive number", value)
        for key in ("warmup_steps", "weight_decay"):
            value = getattr(self, key)
            check(value is None or value >= 0, f"optimizer.{key}", "a number of at least 0", value)
        fractions = {
            "final_fraction": self.final_fraction,
            "plateau_factor": self.plateau_factor,
            "ema_decay": self.ema_decay or 0.0,
        }
        for key, value in fractions.items():
            check(0 <= value < 1, f"optimizer.{key}", "a number from 0 to below 1", value)
        if self.weight_decay and self.name not in DECAYING:
            raise errors.ConfigError(
                f"optimizer.weight_decay: {self.name} has none; use optimizer.name=adamw"
            )
        self._check_schedule()
        if self.name == SCHEDULE_FREE:
            self._check_schedule_free()

    def _check_schedule(self) -> None:
        """Refuses moments and falls that are none."""
        for moment in self.drops:
            changing.check_moment(moment, "optimizer.drops")
        shares = [moment for moment in self.drops if moment <= 1]
        steps = [moment for moment in self.drops if moment > 1]
        ascending = shares == sorted(shares) and steps == sorted(steps)
        check(ascending, "optimizer.drops", "moments in order", self.drops)
        growth = self.cycle_growth
        check(1 <= growth <= 10, "optimizer.cycle_growth", "a number from 1 to 10", growth)
        check(self.cycles <= 100, "optimizer.cycles", "at most 100", self.cycles)
        if self.schedule == "exponential" and self.final_fraction == 0:
            raise errors.ConfigError(
                "optimizer.final_fraction: expected a number above 0, which exponential falls to,"
                " received 0.0; 0.01 ends at a hundredth of the rate"
            )

    def _check_schedule_free(self) -> None:
        """Refuses what its own average makes needless."""
        if self.schedule != "constant":
            raise errors.ConfigError(
                f"optimizer.schedule: schedule_free has no {self.schedule}; use"
                " optimizer=schedule_free, or optimizer.schedule=constant"
            )
        if self.ema_decay is not None:
            raise errors.ConfigError(
                "optimizer.ema_decay: schedule_free averages by itself; use"
                " optimizer=schedule_free, or optimizer.ema_decay=null"
            )
