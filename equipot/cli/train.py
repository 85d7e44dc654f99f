"""``equipot-train``: composes a configuration from YAML and ``key=value``, and trains with it."""

import itertools
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equipot import errors
from equipot.cli import config_files, console, help_page

PROGRAM = "equipot-train"


def main() -> None:
    """Runs the command; needs jax only once a configuration is found right."""
    arguments = sys.argv[1:]
    if "--help" in arguments or "-h" in arguments:
        print(help_page.help_page(_folders(arguments)))
        return
    with console.clean_errors(PROGRAM):
        _compose_and_train(arguments)


def _folders(arguments: list[str]) -> list[Path]:
    """Folders of configurations, for the page of help, which shall not wait for Hydra."""
    own = [Path(b) for a, b in itertools.pairwise(arguments) if a in ("--config-dir", "-cd")]
    return [config_files.shipped_folder(), *own]


def _compose_and_train(arguments: list[str]) -> None:
    import hydra
    from omegaconf import OmegaConf

    from equipot.cli import overrides

    command_line = overrides.parse(arguments)
    overrides.check(command_line)
    if not OmegaConf.has_resolver("name_from"):
        OmegaConf.register_new_resolver("name_from", name_from)
    sys.argv = [sys.argv[0], *command_line.for_hydra()]
    folder = str(config_files.shipped_folder().resolve())
    hydra.main(config_path=folder, config_name="train", version_base="1.3")(_train)()


def _train(composed: Any) -> None:
    """Trains from one composed configuration; Hydra calls it for every run of a sweep."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    with console.clean_errors(PROGRAM):
        mapping: Any = OmegaConf.to_container(composed, resolve=True)
        job = HydraConfig.get()
        if job.mode == RunMode.MULTIRUN and mapping.get("run_dir") is None:
            mapping["run_dir"] = os.path.relpath(job.runtime.output_dir)
        train(mapping)


def train(mapping: Mapping[str, Any]) -> Path:
    """Checks a composed configuration and trains from it.

    Args:
      mapping: The keys of ``TrainConfig``, nested.

    Returns:
      The run folder.

    Raises:
      ConfigError: At a wrong key or value, before any data is read.
    """
    from equipot.training import config as training_config

    _check_composed(mapping)
    config = training_config.train_config(mapping)
    console.keep_compiled_programs()
    from equipot.models import registry
    from equipot.training import loop

    registry.config_from_mapping(config.model)
    return loop.fit(config)


def name_from(train: Any) -> str:
    """Names a run after its training file: ``data/my.extxyz.xz`` gives ``my``.

    Args:
      train: A path, a list of paths, or None.
    """
    first = train[0] if train and not isinstance(train, str) else train
    return Path(first).name.split(".")[0] if first else "run"


def _check_composed(mapping: Mapping[str, Any]) -> None:
    """Explains the two mistakes that a look at one key cannot explain."""
    if "experiment" in mapping:
        raise errors.ConfigError(
            "experiment: the settings of your file arrived below the key 'experiment'; its first"
            " line must be '# @package _global_'"
        )
    if not mapping.get("data", {}).get("train"):
        raise errors.ConfigError(
            "data.train: needs a file of structures, as in data.train=my.extxyz; or name an"
            " experiment, as in +experiment=water. More: equipot-train --help"
        )
