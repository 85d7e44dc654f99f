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
from equipot.training import folder, run_files
from equipot.training.config import TrainerConfig

_ATOMS = 64  # of a batch, about
_LARGEST_BATCH = 8  # structures
_BATCHES = 10  # of an epoch at least, however few structures there are
_MOST_THAT_FIT = 1024  # structures of a batch, where as many are asked for as fit
_EPOCHS = 100
_FEWEST, _MOST = 5_000, 100_000  # steps
_VALIDATIONS = 50
_VALIDATING = 4  # steps at least for each batch that a validation measures: a tenth of the time
_MOST_BEFORE = 0.5  # of the time, before the first step
_VALIDATING_TIMED = 10  # times what a validation takes, between two of them


@dataclasses.dataclass(frozen=True, kw_only=True)
class Length:
    """The values from the settings, or those chosen for them.

    Attributes:
      batch_size: Structures per batch and device; null where edges are counted.
      num_steps: Length of the run; null if epochs are counted, or if it is to be timed.
      valid_every: Steps between validations; null for one each epoch.
    """

    batch_size: int | None
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
    return _batches_are_open(trainer) or _steps_are_open(trainer)


def _batches_are_open(trainer: TrainerConfig) -> bool:
    return trainer.batch_edges is None and not isinstance(trainer.batch_size, int)


def _given(trainer: TrainerConfig) -> int | None:
    return trainer.batch_size if isinstance(trainer.batch_size, int) else None


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
    at_once = num_devices * trainer.accumulate
    batch_size = _batch_size(trainer, dataset, max(1, count // (_BATCHES * at_once)))
    length = Length(
        batch_size=batch_size, num_steps=trainer.num_steps, valid_every=trainer.valid_every
    )
    if batch_size is None:
        return length
    evaluated = (trainer.eval_batch_size or batch_size) * num_devices
    steps, batches = count / (batch_size * at_once), len(dataset.valid) / evaluated
    return counted(length, trainer, math.ceil(steps), math.ceil(batches))


def counted(length: Length, trainer: TrainerConfig, steps: int, batches: int) -> Length:
    """With a number of steps and an interval of validations, where these are open.

    Args:
      length: The values already known.
      trainer: The settings.
      steps: Those of an epoch.
      batches: Those that a validation measures.
    """
    if length.num_steps is not None or not _steps_are_open(trainer) or trainer.minutes is not None:
        return length
    num_steps = min(max(_EPOCHS * steps, _FEWEST), _MOST)
    valid_every = length.valid_every or _interval(num_steps, batches)
    return dataclasses.replace(length, num_steps=num_steps, valid_every=valid_every)


def _batch_size(trainer: TrainerConfig, dataset: Dataset, most: int) -> int | None:
    """Structures of a batch, of which ``most`` leave an epoch enough steps; no edges are known."""
    if not _batches_are_open(trainer):
        return _given(trainer)
    if trainer.batch_size == "auto":
        return 1 << (min(most, _MOST_THAT_FIT).bit_length() - 1)
    atoms = int(columns.num_atoms(dataset.train).sum()) / len(dataset.train)
    return min(max(1, round(_ATOMS / atoms)), _LARGEST_BATCH, most)


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


def timed(length: Length, pace: Pace, minutes: float, gone: float) -> str:
    """What the first steps have shown, in a line, and a warning where little time is left for more.

    Args:
      length: What fits into the time.
      pace: Duration of a step and of a validation.
      minutes: The time, as it was asked for.
      gone: Seconds of it before the first step that counts.
    """
    steps = "1 step" if length.num_steps == 1 else f"{length.num_steps} steps"
    said = (
        f"Timed: {1e3 * pace.step:.3g} ms a step, {pace.validation:.2g} s a validation; {steps} in"
        f" all, a validation every {length.valid_every}, in trainer.minutes={minutes:g}. Measuring"
        " all splits at the end comes on top"
    )
    if gone < _MOST_BEFORE * 60 * minutes:
        return said
    return (
        f"{said}\n{gone:.0f} of these {60 * minutes:.0f} s were gone before the first step, most of"
        " them for compiling: give trainer.minutes more, or start again under another name, for"
        " compiled programs are kept"
    )


def agreed(length: Length) -> tuple[int, int]:
    """Number of steps and interval of validations, those of the first process for all of them."""
    return of_first(length.num_steps or 0), of_first(length.valid_every or 0)


def of_first(number: int) -> int:
    """A number, that of the first process for all of them."""
    return int(multihost_utils.broadcast_one_to_all(np.asarray(number, np.int32)))


def sentence(trainer: TrainerConfig, length: Length, steps: int) -> str:
    """What was chosen, in one line; nothing where nothing was.

    Args:
      trainer: The settings.
      length: What was chosen, and what the settings say.
      steps: Those of an epoch.
    """
    parts, keys = [], []
    if _batches_are_open(trainer):
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
    said = f"Chosen for the size of the data: {', '.join(parts)} (set by {named})"
    if "num_steps" in keys and (length.num_steps or steps) < steps:
        said += (
            f"\nThese see {100 * (length.num_steps or 0) / steps:.0f} % of the training structures,"
            f" once: an epoch has {steps} steps; trainer.num_steps or trainer.num_epochs sets more"
        )
    return said


def read(place: folder.RunFolder) -> Length | None:
    """What was chosen when the run began, if anything was.

    Raises:
      CheckpointError: If the file is damaged.
    """
    if not place.length.exists():
        return None
    advice = "restore it, or take another name or run_dir"
    found = run_files.read_json(place.length, advice)
    try:
        return configuration.from_mapping(Length, found, place.length.name)
    except errors.ConfigError as failure:
        raise errors.CheckpointError(f"{place.length}: {failure}; {advice}") from failure


def write(place: folder.RunFolder, trainer: TrainerConfig, length: Length) -> None:
    """Keeps what was chosen, but nothing that the settings say.

    Args:
      place: The run folder.
      trainer: The settings.
      length: What was chosen, and what the settings say.
    """
    num_steps = length.num_steps if _steps_are_open(trainer) else None
    valid_every = length.valid_every if trainer.valid_every is None else None
    chosen = dataclasses.replace(length, num_steps=num_steps, valid_every=valid_every)
    run_files.write_json(place.length, configuration.to_mapping(chosen))


def begun(
    trainer: TrainerConfig,
    known: Length | None,
    dataset: Dataset,
    devices: int,
    is_another: bool = False,
) -> Length:
    """What the run began with, or what it is to begin with; what the settings say comes first.

    Args:
      trainer: The settings.
      known: What was chosen when the run began, if anything was.
      dataset: Its data.
      devices: How many each step was spread over when the run began.
      is_another: Whether another length is asked for than before.
    """
    if known is None or not is_open(trainer):
        return choose(trainer, dataset, devices)
    batch_size = known.batch_size if _batches_are_open(trainer) else _given(trainer)
    if is_another and _steps_are_open(trainer):
        return Length(batch_size=batch_size, valid_every=trainer.valid_every)
    return Length(
        batch_size=batch_size,
        num_steps=known.num_steps if _steps_are_open(trainer) else trainer.num_steps,
        valid_every=trainer.valid_every or known.valid_every,
    )
