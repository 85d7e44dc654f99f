"""What a run begins with: the first process looks into the run folder, and all go by what it finds.

Nothing is written yet. The other processes need not see the folder, and cannot see it half-made.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equipot import config as configuration
from equipot import errors
from equipot.data.dataset import Dataset
from equipot.process import Process
from equipot.store import large
from equipot.store.graph_store import GraphStore
from equipot.training import changed_settings, earlier, folder, hosts
from equipot.training import config as settings
from equipot.training import length as lengths
from equipot.training.config import TrainConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Beginning:
    """What is known before data are read.

    Attributes:
      config: The configuration, with the defaults of when the run began.
      is_finished: Whether the run has ended.
      open_stress: Weight of the stress where it is left open.
      num_devices: Devices that the run began on; None for a new one.
      length: What was chosen when the run began, if anything was.
      reads_store: Whether the run began with data from a store that was not named; None where
        nothing says so.
      changed: Settings that differ from those the run began with, and are accepted.
    """

    config: TrainConfig
    is_finished: bool
    open_stress: float
    num_devices: int | None
    length: lengths.Length | None
    reads_store: bool | None = None
    changed: tuple[changed_settings.Change, ...] = ()


def look(config: TrainConfig, process: Process) -> Beginning:
    """Looks into the run folder, in the first process, and tells all.

    Args:
      config: As it was given to this process.
      process: Which of the processes of the run.

    Raises:
      CheckpointError: If the folder belongs to another run, or cannot be read.
      ConfigError: If this process was given other settings than the first.
    """
    if process.count == 1:
        return _look(config)
    told = hosts.told(process, lambda: {**_plain(_look(config)), "given": _plain(config)})
    _check_given(config, told.pop("given"), process)
    length, changed = told.pop("length"), told.pop("changed")
    return Beginning(
        config=settings.train_config(told.pop("config")),
        length=None if length is None else configuration.from_mapping(lengths.Length, length),
        changed=tuple(changed_settings.Change(**own) for own in changed),
        **told,
    )


def _look(config: TrainConfig) -> Beginning:
    config = earlier.as_begun(config)
    place = folder.find_folder(config)
    changed = folder.changed(place, config)
    is_finished = place.is_finished and not changed
    needs_no_length = is_finished or not lengths.is_open(config.trainer)
    begun = None if is_finished else folder.begun(place)
    return Beginning(
        config=config,
        is_finished=is_finished,
        open_stress=earlier.open_stress(place),
        num_devices=None if begun is None else begun.num_devices,
        length=None if needs_no_length else lengths.read(place),
        reads_store=None if begun is None else begun.reads_store,
        changed=tuple(changed),
    )


def reads_store(begun: Beginning, process: Process) -> bool:
    """Whether the data come from a store that was not named, as when the run began.

    In a new run the memory of the first process decides, for all.

    Args:
      begun: What is known of the run.
      process: Which of the processes of the run.

    Raises:
      DataError: If a file is not there.
    """
    if begun.reads_store is not None:
        return begun.reads_store
    data = begun.config.data
    if process.count == 1:
        return large.is_needed(data)
    return hosts.told(process, lambda: {"needed": large.is_needed(data)})["needed"]


def _plain(config: Any) -> dict[str, Any]:
    return json.loads(json.dumps(configuration.to_mapping(config)))


def _check_given(config: TrainConfig, first: dict[str, Any], process: Process) -> None:
    own, first = configuration.flat(_plain(config)), configuration.flat(first)
    for key in sorted(own.keys() | first.keys()):
        if own.get(key) != first.get(key) and (
            not changed_settings.is_free(key) or key == "run_dir"
        ):
            raise errors.ConfigError(
                f"{key}: host {process.index} was given {own.get(key)}, the first host"
                f" {first.get(key)}; give all hosts the same command, but for trainer.host"
            )


def check_data(dataset: Dataset, graphs: Mapping[str, GraphStore], process: Process) -> None:
    """Compares what this process has read with what the first has.

    Args:
      dataset: The data.
      graphs: Their graphs, by the name of the split.
      process: Which of the processes of the run.

    Raises:
      DataError: If they differ.
    """
    if process.count == 1:
        return
    pairs = {name: own.sizes.sum(axis=0).tolist() for name, own in graphs.items()}
    own = {"fingerprint": dataset.fingerprint, "numbers of atoms and pairs": pairs}
    for name, value in hosts.told(process, lambda: own).items():
        if own[name] != value:
            raise errors.DataError(
                f"data: the {name} of host {process.index} is {own[name]}, that of the first host"
                f" {value}; all hosts have to read the same files, with the same versions of"
                " packages"
            )


def path_of(config: TrainConfig) -> folder.RunFolder:
    """The run folder."""
    return folder.RunFolder(Path(config.folder), config.name)
