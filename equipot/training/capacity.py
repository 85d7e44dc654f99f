"""Whether a step fits into the memory of a device, said before the first one.

The figure is that of the compiled program, which is the one that the steps run.
"""

import dataclasses
import math

from jax.sharding import Mesh

from equipot import errors
from equipot.data.dataset import Dataset
from equipot.training import length as lengths
from equipot.training import memory, preparation
from equipot.training.config import TrainConfig
from equipot.training.preparation import Preparation
from equipot.training.programs import Programs

_FULL = 0.8  # of the memory, where batches are to be as large as possible


def as_many_as_fit(
    config: TrainConfig, dataset: Dataset, parts: Preparation, mesh: Mesh, most: int | None
) -> tuple[Preparation, Programs]:
    """Batches of the largest power of two of structures that leaves a fifth of the memory free.

    More than those of ``parts``, which leave an epoch ten steps, are not tried: larger batches
    make steps longer, not better.

    Args:
      config: The run, before its first step.
      dataset: Its data.
      parts: With batches of the most structures that are wanted, a power of two.
      mesh: The devices.
      most: Bytes of memory of a device; None where nobody knows.

    Returns:
      What the run is made of, and its programs, compiled for these batches.
    """
    found = {-1: (parts, Programs(parts, mesh))}
    if most is None:
        return found[-1]
    exponent = (parts.length.batch_size or 1).bit_length() - 1
    fits, fails = -1, exponent + 1
    while fits < exponent < fails:
        parts = _of(config, dataset, parts, 1 << exponent)
        found[exponent] = parts, Programs(parts, mesh)
        programs = found[exponent][1]
        taken, fixed = programs.bytes_of(*parts.train.budgets), programs.bytes_of_state
        if taken <= _FULL * most:
            fits = exponent
        else:
            fails = exponent
        share = max((_FULL * most - fixed) / max(taken - fixed, 1), 1e-9)
        exponent = min(math.floor(exponent + math.log2(share)), fails - 1)
        exponent = max(exponent, 0) if fits < 0 else exponent
    return found[max(fits, 0)]


def _of(config: TrainConfig, dataset: Dataset, parts: Preparation, size: int) -> Preparation:
    """The same with batches of so many structures."""
    if parts.length.batch_size == size:
        return parts
    trainer = dataclasses.replace(config.trainer, batch_size=size)
    length = lengths.choose(trainer, dataset, parts.train.num_devices)
    return preparation.resized(parts, config, length)


def check(
    config: TrainConfig,
    parts: Preparation,
    programs: Programs,
    most: int | None,
    is_new: bool = True,
) -> str:
    """Compiles the step for all shapes of batches, and says what it takes.

    Args:
      config: The run.
      parts: What is fixed before the first step.
      programs: Of these parts.
      most: Bytes of memory of a device; None where nobody knows.
      is_new: Whether its batches can still be others.

    Raises:
      MemoryLimitError: If that is more than there is, naming the largest batches that fit.
    """
    taken = programs.bytes_of(*parts.train.budgets)
    if most is None:
        return f"A step takes {memory.shown(taken)} of memory"
    if taken <= most:
        return f"A step takes {memory.shown(taken)} of {memory.shown(most)} of memory"
    key, size, least, noun = _size(config, parts)

    def bytes_of(own: int) -> int:
        return programs.bytes_of(*_with(config, parts, key, own).train.budgets)

    too_much = (
        f"trainer.{key}: a step with batches of {size} {noun} takes {memory.shown(taken)} of"
        f" memory, expected at most the {memory.shown(most)} that there are"
    )
    if not is_new:
        raise errors.MemoryLimitError(
            f"{too_much}; a run that has begun keeps its batches: go on with more memory on each of"
            f" {parts.train.num_devices} devices (it began on {parts.facts['num_devices']}), or"
            " begin another under another name"
        )
    found = memory.largest(size, least, bytes_of, programs.bytes_of_state, most)
    if found is None:
        raise errors.MemoryLimitError(
            f"{too_much}; not even {least} fit: use a smaller model, as with model.num_channels, or"
            " a smaller model.cutoff, or leave out the largest structures"
        )
    fitting, needed = found
    more = config.trainer.accumulate * math.ceil(size / fitting)
    raise errors.MemoryLimitError(
        f"{too_much}; {fitting} {noun} fit, with {memory.shown(needed)}: set trainer.{key}="
        f"{fitting}, and trainer.accumulate={more} for steps of about as many {noun} as before"
    )


def _size(config: TrainConfig, parts: Preparation) -> tuple[str, int, int, str]:
    """The key that sets the size of batches, the size, the smallest there is, and of what."""
    own = parts.train
    if parts.length.batch_size is None:
        size = min(config.trainer.batch_edges or 0, 2 * own.budget.edges)
        return "batch_edges", size, 2 * int(own.sizes[:, 1].max()), "edges"
    size = min(parts.length.batch_size, math.ceil(len(own.graphs) / own.num_devices))
    return "batch_size", size, 1, "structures"


def _with(config: TrainConfig, parts: Preparation, key: str, size: int) -> Preparation:
    """The same with other batches."""
    if key == "batch_size":
        length = dataclasses.replace(parts.length, batch_size=size)
        return preparation.resized(parts, config, length)
    trainer = dataclasses.replace(config.trainer, batch_edges=size)
    return preparation.resized(parts, dataclasses.replace(config, trainer=trainer), parts.length)
