"""What benchmarks of training share: the settings of a command line, and runs side by side."""

import concurrent.futures
import os
import queue
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from equipot.cli import config_files
from equipot.cli import job as job  # registers what configurations refer to
from equipot.training import config as training_config

Item = TypeVar("Item")
Result = TypeVar("Result")


def configured(words: Sequence[str]) -> training_config.TrainConfig:
    """The settings that ``equipot-train`` has with these overrides."""
    folder = str(config_files.shipped_folder().resolve())
    with initialize_config_dir(config_dir=folder, version_base="1.3"):
        mapping: Any = OmegaConf.to_container(compose("train", list(words)), resolve=True)
    return training_config.train_config(mapping)


def spread(
    function: Callable[[Item, int | None], Result], items: Sequence[Item], jobs: int
) -> Iterator[Result]:
    """The results in the order of the items, so many at a time, each on a core of its own if many.

    Args:
      function: Takes an item and the core that it is to keep to; none for all.
      items: What to call it with.
      jobs: Calls at a time.
    """
    cores: queue.Queue[int | None] = queue.Queue()
    available = sorted(os.sched_getaffinity(0))
    for i in range(jobs):
        cores.put(available[i % len(available)] if jobs > 1 else None)

    def one(item: Item) -> Result:
        core = cores.get()
        try:
            return function(item, core)
        finally:
            cores.put(core)

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(one, items)
