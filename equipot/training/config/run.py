"""Settings of a whole run."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from equipot import config as configuration
from equipot import errors
from equipot.data import config as data_config
from equipot.potential import config as potential_config
from equipot.quantities import DERIVED
from equipot.training import changing
from equipot.training.config.checks import check
from equipot.training.config.loss import LossConfig
from equipot.training.config.optimizer import SCHEDULE_FREE, OptimizerConfig
from equipot.training.config.trainer import VALID_LOSS, TrainerConfig

_LONGEST_NAME = 200  # bytes; file systems take 255, and endings are added


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoggerConfig:
    """Where the metrics go besides metrics.jsonl and metrics.csv, which are always written.

    Attributes:
      name: none, wandb or tensorboard, default none.
      project: Project at Weights & Biases, default equipot.
      mode: online, offline or disabled (Weights & Biases), default offline.
    """

    name: Literal["none", "wandb", "tensorboard"] = "none"
    project: str = "equipot"
    mode: Literal["online", "offline", "disabled"] = "offline"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run.

    Attributes:
      name: Name of the run and of its potential, ``<name>.equipot``, default run.
      seed: Seed of the initial parameters and of the order of the structures, default 0.
      run_dir: Folder of the run; null for ``runs/<name>``, default null.
      init_from: A potential (``*.equipot``, or the name of one that ``equipot download`` fetched)
        whose model and parameters training starts from; null to draw parameters at random, default
        null.
      init_elements: Which elements the potential knows that training starts from ``init_from``: all
        that it knew and those of the data, or those of the data alone, default all.
      resume: Whether an existing run goes on only with the same settings, or also with changed ones
        that make it longer, shorter or differently fast: same or changed, default same.
      data: Where the structures come from.
      model: Name of the architecture and its own keys.
      potential: What every model shares: precision, reference energies, scale.
      optimizer: How parameters follow the gradient.
      loss: What is made small.
      trainer: How long to train and when to look.
      logger: Where the metrics go.
      stage_two: A second stage of the run.
    """

    name: str = "run"
    seed: int = 0
    run_dir: str | None = None
    init_from: str | None = None
    init_elements: Literal["all", "data"] = "all"
    resume: Literal["same", "changed"] = "same"
    data: data_config.DataConfig
    model: Mapping[str, Any]
    potential: potential_config.PotentialConfig = dataclasses.field(
        default_factory=potential_config.PotentialConfig
    )
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    trainer: TrainerConfig = dataclasses.field(default_factory=TrainerConfig)
    logger: LoggerConfig = dataclasses.field(default_factory=LoggerConfig)
    stage_two: changing.StageTwoConfig = dataclasses.field(default_factory=changing.StageTwoConfig)

    def __post_init__(self) -> None:
        usable = self.name not in ("", ".", "..") and "/" not in self.name
        usable = usable and self.name.isprintable() and len(self.name.encode()) <= _LONGEST_NAME
        expected = f"a name of at most {_LONGEST_NAME} bytes without '/', other than '.' and '..'"
        check(usable, "name", expected, self.name[:_LONGEST_NAME])
        check(self.seed >= 0, "seed", "a number of at least 0", self.seed)
        check("name" in self.model, "model", "the key 'name'", dict(self.model))
        if self.optimizer.freeze and self.init_from is None:
            raise errors.ConfigError(
                f"optimizer.freeze: expected none without init_from, received"
                f" {list(self.optimizer.freeze)}: parameters at random would stay so"
            )
        object.__setattr__(self, "loss", self.loss.completed(self.data.quantities))
        self._check_methods()

    def _check_methods(self) -> None:
        """Refuses what contradicts itself between the groups."""
        self.staged_loss  # refuses unknown terms  # noqa: B018
        if self.stage_two.start is not None and self.optimizer.name == SCHEDULE_FREE:
            raise errors.ConfigError(
                "stage_two: schedule_free averages all parameters from the start and has no second"
                " stage; use another optimizer, or loss.changes for the weights alone"
            )
        names = [*DERIVED, *self.data.quantities]
        known = [f"{name}_{kind}" for name in names for kind in ("mae", "rmse")]
        best = self.trainer.best
        if best != VALID_LOSS and best.removeprefix("valid_") not in known:
            raise errors.ConfigError(
                f"trainer.best: unknown measure '{best}'.{errors.did_you_mean(best, known)}"
                f" Known: {VALID_LOSS}, {', '.join(known)}"
            )
        if self.data.group_key is None:
            asking = {
                "loss.groups": bool(self.loss.groups),
                "trainer.sampling=balanced": self.trainer.sampling == "balanced",
            }
            for setting in (setting for setting, asks in asking.items() if asks):
                raise errors.ConfigError(
                    f"{setting}: expected data.group_key, the key that holds the group of each"
                    " structure, received null; for mace's config types it is config_type"
                )

    @property
    def best_column(self) -> str:
        """The column of the metrics that decides on the best."""
        best = self.trainer.best
        return best if best.startswith("valid_") else f"valid_{best}"

    @property
    def staged_loss(self) -> LossConfig:
        """The loss with the weights of the second stage."""
        return self.loss.in_stage(self.stage_two)

    @property
    def folder(self) -> str:
        """The run folder."""
        return self.run_dir or f"runs/{self.name}"


def train_config(mapping: Mapping[str, Any]) -> TrainConfig:
    """Builds the configuration of a run from a plain mapping, checking every key; reads no data.

    Raises:
      ConfigError: At an unknown key or a wrong value, with the place and the nearest known key.
    """
    return configuration.from_mapping(TrainConfig, mapping)
