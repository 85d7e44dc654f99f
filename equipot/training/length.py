"""Chooses the length, batch size and validation interval of a run if the settings leave them open.

The choice is written to the run folder and read from there when the run is resumed: neither a later
version with another rule nor another speed of the machine changes a run that has begun.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from jax.experimental import multihost_utils

from equipot import config as configuration
from equipot import errors
from equipot.data import columns
from equipot.data.dataset import Dataset
from equipot.training import folder
from equipot.training.config import TrainConfig, TrainerConfig

_ATOMS = 64  # of a batch, about
_LARGEST_BATCH = 8  # structures
_BATCHES = 10  # of an epoch at least, however few structures there are
_EPOCHS = 100
_FEWEST, _MOST = 5_000, 100_000  # steps
_VALIDATIONS = 50
_VALIDATING = 4  # steps at least for each batch that a validation measures: a tenth of the time
_VALIDATING_TIMED = 10  # times what a validation takes, between two of them


@dataclasses.dataclass(frozen=True, kw_only=True)
class Length:
    """The values from the settings, or those chosen for them.

    Attributes:
      batch_size: Structures per step and device.
      num_steps: Length of the run; null if epochs are counted, or if it is to be timed.
      valid_every: Steps between validations; null for one each epoch.
    """

    batch_size: int
    num_steps: int | None = None
    valid_every: int | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None and value < 1:
                raise errors.ConfigError(f"{field.name}: expected at least 1, received {value}")


class Pace(NamedTuple):
    """Seconds of a step, and of a validation."""

    step: float
    validation: float


def is_open(trainer: TrainerConfig) -> bool:
    """Whether the settings leave anything to be chosen and remembered."""
    return trainer.batch_size is None or _steps_are_open(trainer)


def _steps_are_open(trainer: TrainerConfig) -> bool:
    return trainer.num_steps is None and trainer.num_epochs is None


def choose(trainer: TrainerConfig, dataset: Dataset, num_devices: int) -> Length:
    """The values from the settings, and the rest chosen for the size of the data.

    A batch has about 64 atoms, in one to eight structures; an epoch has ten batches at least. A run
    has 100 epochs, but 5 000 to 100 000 steps. It validates about fifty times, and takes at least
    four steps for each batch that a validation measures.

    Args:
      trainer: The settings.
      dataset: The data, with a training split.
      num_devices: Devices that each step is spread over.
    """
    count = len(dataset.train)
    atoms = int(columns.num_atoms(dataset.train).sum()) / count
    most = max(1, count // (_BATCHES * num_devices))
    batch_size = trainer.batch_size or min(max(1, round(_ATOMS / atoms)), _LARGEST_BATCH, most)
    num_steps, valid_every = trainer.num_steps, trainer.valid_every
    if _steps_are_open(trainer) and trainer.minutes is None:
        epochs = _EPOCHS * math.ceil(count / (batch_size * num_devices))
        num_steps = min(max(epochs, _FEWEST), _MOST)
        at_once = (trainer.eval_batch_size or batch_size) * num_devices
        batches = math.ceil(len(dataset.valid) / at_once)
        valid_every = valid_every or _interval(num_steps, batches)
    return Length(batch_size=batch_size, num_steps=num_steps, valid_every=valid_every)


def _interval(num_steps: int, batches: int) -> int:
    """Steps between validations of so many batches each."""
    return min(num_steps, max(math.ceil(num_steps / _VALIDATIONS), _VALIDATING * batches))


def fill(length: Length, trainer: TrainerConfig, pace: Pace, left: float) -> Length:
    """The length with as many steps as fit into the remaining time, including validations.

    There are about fifty validations, which take at most a tenth of the time, unless the settings
    give their interval.

    Args:
      length: The values already known.
      trainer: The settings.
      pace: Duration of a step and of a validation.
      left: Seconds.
    """
    seldom = max(left / pace.step / _VALIDATIONS, _VALIDATING_TIMED * pace.validation / pace.step)
    every = trainer.valid_every or max(1, math.ceil(seldom))
    num_steps = max(1, int(left / (pace.step + pace.validation / every)))
    every = trainer.valid_every or min(every, num_steps)
    return dataclasses.replace(length, num_steps=num_steps, valid_every=every)


def agreed(length: Length) -> tuple[int, int]:
    """Number of steps and interval of validations, those of the first process for all of them."""
    own = np.asarray([length.num_steps, length.valid_every], np.int32)
    num_steps, valid_every = multihost_utils.broadcast_one_to_all(own)
    return int(num_steps), int(valid_every)


def sentence(trainer: TrainerConfig, length: Length) -> str:
    """What was chosen, in one line; nothing where nothing was."""
    parts, keys = [], []
    if trainer.batch_size is None:
        noun = "structure" if length.batch_size == 1 else "structures"
        parts.append(f"batches of {length.batch_size} {noun}")
        keys.append("batch_size")
    if _steps_are_open(trainer) and trainer.minutes is None:
        parts.append(f"{length.num_steps} steps")
        keys.append("num_steps")
        if trainer.valid_every is None:
            parts.append(f"a validation every {length.valid_every}")
            keys.append("valid_every")
    if not parts:
        return ""
    named = ", ".join(f"trainer.{key}" for key in keys)
    return f"Chosen for the size of the data: {', '.join(parts)} (set by {named})"


def read(place: folder.RunFolder) -> Length | None:
    """What was chosen when the run began, if anything was.

    Raises:
      CheckpointError: If the file is damaged.
    """
    if not place.length.exists():
        return None
    advice = "restore it, or take another name or run_dir"
    found = folder.read_json(place.length, advice)
    try:
        return configuration.from_mapping(Length, found, place.length.name)
    except errors.ConfigError as failure:
        raise errors.CheckpointError(f"{place.length}: {failure}; {advice}") from failure


def write(place: folder.RunFolder, length: Length) -> None:
    """Keeps what was chosen."""
    folder.write_json(place.length, configuration.to_mapping(length))


def begun(config: TrainConfig, place: folder.RunFolder, dataset: Dataset, devices: int) -> Length:
    """What the run began with, or what it is to begin with.

    Raises:
      CheckpointError: If the file that says so is damaged.
    """
    known = read(place) if is_open(config.trainer) else None
    return known or choose(config.trainer, dataset, devices)
