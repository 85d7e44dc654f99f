"""Runs that an earlier version began go on with the defaults of then."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equipot.potential.config import PotentialConfig
from equipot.training import folder
from equipot.training.config import TrainConfig


def as_begun(config: TrainConfig) -> TrainConfig:
    """The configuration of a run that goes on, where a default has changed since it began.

    A run of an earlier version whose shift is switched by neighbors keeps that switch, and one of
    100 epochs in batches of four, which were the defaults, keeps these.

    Raises:
      CheckpointError: If the configuration in the folder cannot be read.
    """
    place = folder.RunFolder(Path(config.folder), config.name)
    if not place.config.exists():
        return config
    before: Mapping[str, Any] = folder.read_config(place)
    changes: dict[str, Any] = {}
    potential, trainer = before.get("potential"), before.get("trainer")
    is_default = config.potential.shift == PotentialConfig().shift
    if is_default and isinstance(potential, dict) and potential.get("shift") == "neighbors":
        changes["potential"] = dataclasses.replace(config.potential, shift="neighbors")
    if isinstance(trainer, dict) and "minutes" not in trainer:  # of an earlier version
        given, kept = config.trainer, dict[str, Any]()
        if given.batch_size is None and trainer.get("batch_size") == 4:
            kept["batch_size"] = 4
        lengths = (given.num_steps, given.num_epochs, given.minutes)
        if not any(lengths) and trainer.get("num_epochs") == 100:
            kept["num_epochs"] = 100
        elif given.num_steps and not given.num_epochs and trainer.get("num_epochs") == 100:
            kept["num_epochs"] = 100  # which counted for nothing
        if kept:
            changes["trainer"] = dataclasses.replace(given, **kept)
    return dataclasses.replace(config, **changes) if changes else config
