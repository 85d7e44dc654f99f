"""What decides which parameters of a run are its best: the measure, the stage, or the last step."""

import dataclasses
import math

from equipot import errors
from equipot.data.dataset import Dataset
from equipot.training.changing import step_at
from equipot.training.config import VALID_LOSS, LossConfig, TrainConfig
from equipot.training.state import Progress


def check(config: TrainConfig, dataset: Dataset) -> None:
    """Stops where a setting needs validation frames, or labels of them, that are not there.

    Raises:
      ConfigError: If it needs a validation split.
      DataError: If there is none although nobody asked for that, or the measure that decides has
        no labels.
    """
    best = config.trainer.best
    if not dataset.valid:
        if config.data.num_valid != 0 and config.data.valid_fraction != 0:
            raise errors.DataError(
                "data: expected validation frames, received none; set data.valid, data.num_valid or"
                " data.valid_fraction, or data.valid_fraction=0 to train without"
            )
        asking = {
            "trainer.early_stopping_patience": config.trainer.early_stopping_patience is not None,
            "optimizer.schedule=plateau": config.optimizer.schedule == "plateau",
            f"trainer.best={best}": best != VALID_LOSS,
        }
        for setting in (setting for setting, asks in asking.items() if asks):
            raise errors.ConfigError(
                f"{setting}: expected validation frames, which decide on it, received none; set"
                " data.valid, data.num_valid or data.valid_fraction, or leave it out"
            )
        return
    if best == VALID_LOSS:
        return
    name = config.best_column.removeprefix("valid_").rpartition("_")[0]
    if all(s.label(name) is None for s in dataset.valid):
        raise errors.DataError(
            f"trainer.best={best}: none of the {len(dataset.valid)} validation frames has a label"
            f" of {name}; choose another measure"
        )


def check_moments(config: TrainConfig, num_steps: int, is_new: bool = True) -> None:
    """Stops where a second stage or a change of a weight would not fit into the run.

    Args:
      config: The run.
      num_steps: Its length; 0 where it is to be timed.
      is_new: Whether it begins; one that goes on keeps the changes that it began with.

    Raises:
      ConfigError: With the length.
    """
    begins = config.stage_two.begins(num_steps)
    if begins is not None and num_steps and begins >= num_steps:
        raise errors.ConfigError(
            f"stage_two.start: expected fewer than the {num_steps} steps of the run, received"
            f" {begins}; a share such as 0.75 suits every length"
        )
    for name, change in config.loss.changes.items() if num_steps and is_new else ():
        first, last = (step_at(own, num_steps) for own in (change.start, change.end))
        if not (first < num_steps and first <= last <= num_steps):
            raise errors.ConfigError(
                f"loss.changes.{name}: expected a beginning before the end, both in the {num_steps}"
                f" steps of the run, received {change.start:g} to {change.end:g}, which are the"
                f" steps {first} and {last}; shares such as 0.5 suit every length"
            )


def notes(config: TrainConfig, dataset: Dataset, num_steps: int) -> tuple[str, ...]:
    """Sentences on what is kept, where that is not the best of all validations by their loss.

    Args:
      config: The run.
      dataset: Its data.
      num_steps: Its length; 0 where it is to be timed.
    """
    found = []
    if not dataset.valid:
        found.append(
            "No validation split: the parameters after the last step are kept, averaged as the"
            " optimizer says"
        )
    elif config.trainer.best != VALID_LOSS:
        found.append(f"The best is decided by {config.best_column} (set by trainer.best)")
    warmup = config.optimizer.warmup_steps or 0
    if 0 < num_steps <= warmup:
        found.append(
            f"The rate rises for {warmup} steps (optimizer.warmup_steps), which this run of"
            f" {num_steps} has not: it never falls"
        )
    begins = config.stage_two.begins(num_steps)
    if begins is not None:
        start = config.stage_two.start
        when = f"step {begins}" if num_steps or (start or 0) > 1 else f"{start:g} of the run"
        found.append(f"A second stage begins after {when}; the best is chosen in it")
    return tuple(found)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judge:
    """Decides on the best of a run of a known length.

    Attributes:
      config: The run.
      begins: Steps done when a second stage begins; None where there is none.
    """

    config: TrainConfig
    begins: int | None

    @classmethod
    def of(cls, config: TrainConfig, num_steps: int) -> "Judge":
        """For a run of so many steps."""
        return cls(config=config, begins=config.stage_two.begins(num_steps))

    def loss(self, progress: Progress) -> LossConfig:
        """The loss of the stage; its validations are compared by the weights that it ends with."""
        return self.config.staged_loss if self._is_second(progress.step) else self.config.loss

    def validated(self, progress: Progress, value: float) -> Progress:
        """The progress after a validation; in a second stage the best is chosen anew.

        Args:
          progress: Before it.
          value: Of the measure that decides.
        """
        if self._is_second(progress.step) and not self._is_second(progress.best_step):
            rule = dataclasses.replace(progress.plateau, best=math.inf, waited=0)
            progress = dataclasses.replace(progress, best_loss=math.inf, plateau=rule)
        rule = progress.plateau
        if not (self._is_second(progress.step) and self.config.stage_two.learning_rate):
            rule = rule.after(value, self.config.optimizer)
        return progress.validated(value, rule)

    def stops(self, progress: Progress) -> bool:
        """Whether early stopping is reached, which a second stage is not lost to."""
        patience = self.config.trainer.early_stopping_patience
        is_last = self.begins is None or self._is_second(progress.best_step)
        return patience is not None and is_last and progress.waited >= patience

    def _is_second(self, step: int) -> bool:
        """Whether the parameters after so many steps are of the second stage."""
        return self.begins is not None and step > self.begins
