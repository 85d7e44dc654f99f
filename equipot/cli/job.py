"""One run of ``equipot-train``: from a composed configuration to a run folder.

Hydra's launchers also start it in other processes, which import this module before anything else.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from equipot import errors
from equipot.cli import console, cores, inputs, names, sweeps, yaml_errors
from equipot.training import config as training_config
from equipot.training import stopping


def run(composed: Any) -> float:
    """Trains from one composed configuration; Hydra calls it for every run of a sweep.

    Args:
      composed: A ``DictConfig``.

    Returns:
      The objective that a search sweeper minimizes: the validation RMSE of the forces in eV/Å, of
      the energy in eV/atom if there are no forces, or of whatever else has labels.
    """
    job = HydraConfig.get()
    if job.mode != RunMode.MULTIRUN:
        with console.clean_errors(console.TRAIN):
            return _trained(composed, None)
    folder = os.path.relpath(job.runtime.output_dir)
    chosen = OmegaConf.select(composed, "run_dir", throw_on_resolution_failure=False)
    launcher: Any = OmegaConf.to_container(job.launcher, resolve=True)
    with sweeps.member(str(chosen or folder), list(job.overrides.task)):
        cores.share(launcher, job.job.num, sweeps.places())
        return _trained(composed, folder)


def _trained(composed: Any, folder: str | None) -> float:
    """Trains, and reads the objective that a sweeper minimizes.

    Args:
      composed: A ``DictConfig``.
      folder: Folder of the run, if the configuration names none.
    """
    own = _own_files()
    with yaml_errors.explained(own):
        mapping: Any = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    if folder is not None and mapping.get("run_dir") is None:
        mapping["run_dir"] = folder
    try:
        inputs.of_training(checked(mapping))
    except errors.ConfigError as error:
        raise yaml_errors.located(error, own) from None
    path, is_first = _train(mapping, folder is not None)
    if not is_first:
        return float("nan")
    from equipot.training import folder as folders  # imports jax

    valid = folders.read_metrics(folders.RunFolder(path, path.name))["valid"] or {}
    others = [own for name, own in valid.items() if name not in ("elements", "groups")]
    found = next(filter(None, [valid.get("forces"), valid.get("energy"), *others]), {})
    return float(found.get("rmse", "nan"))


def train(mapping: Mapping[str, Any]) -> Path:
    """Checks a composed configuration and trains from it.

    Args:
      mapping: The keys of ``TrainConfig``, nested.

    Returns:
      The run folder.

    Raises:
      ConfigError: If a key or value is wrong, before any data is read.
    """
    return _train(mapping, False)[0]


def _train(mapping: Mapping[str, Any], is_member: bool) -> tuple[Path, bool]:
    """As ``train``; also whether this is the first process of the run, which has the folder."""
    config = checked(mapping)
    if is_member:
        sweeps.check_hosts(config.trainer.num_hosts)
    console.prepare_process()
    with stopping.Stop(watch=True) as stop:
        from equipot.training import fitting, hosts  # imports jax

        with hosts.joined(config.trainer) as process:
            return fitting.fit(config, stop, process), process.is_first


def checked(mapping: Mapping[str, Any]) -> training_config.TrainConfig:
    """The configuration, with its keys and values checked as far as possible without data.

    Args:
      mapping: The keys of ``TrainConfig``, nested.

    Raises:
      ConfigError: If a key or value is wrong.
    """
    _check_composed(mapping)
    return training_config.train_config(mapping)


def _own_files() -> list[Path]:
    """The user's own files from which this configuration was composed."""
    runtime = HydraConfig.get().runtime
    folders = [Path(s.path) for s in runtime.config_sources if s.provider == "command-line"]
    chosen = [f"{group}/{option}.yaml" for group, option in runtime.choices.items()]
    paths = [folder / name for folder in folders for name in chosen]
    return [path for path in paths if path.is_file()]


def _check_composed(mapping: Mapping[str, Any]) -> None:
    """Explains the two mistakes that cannot be recognized from a single key."""
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


OmegaConf.register_new_resolver("name_from", names.name_from, replace=True)
OmegaConf.register_new_resolver("folder_name", names.folder_name, replace=True)
