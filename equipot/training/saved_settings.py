"""The settings that a run began with, in its folder, under their names of today."""

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from equipot import config as configuration
from equipot import errors
from equipot.training import run_files
from equipot.training.config import TrainConfig

_OWN_MATRICES = ("mace", "nequip")  # models that had them for each species
_LARGEST = 2**20  # bytes; PyYAML is slow
_DEEPEST = 20  # levels of a configuration
# What PyYAML raises, for syntax and for values that are none of their type.
_YAML_FAILURES = (
    yaml.YAMLError,
    ValueError,
    RecursionError,
    LookupError,
    AttributeError,
    TypeError,
)


def write(path: Path, config: TrainConfig) -> None:
    """Writes the settings of a run.

    Args:
      path: Of the file.
      config: The settings.

    Raises:
      CheckpointError: If the disk refuses.
    """
    mapping = configuration.to_mapping(config)
    run_files.write_text(path, yaml.safe_dump(mapping, sort_keys=False, allow_unicode=True))


def read(path: Path) -> Mapping[str, Any]:
    """The settings that a run began with.

    Raises:
      CheckpointError: If they cannot be read.
    """
    advice = "restore it, or take another name or run_dir"
    text = run_files.read_text(path, advice, _LARGEST)
    try:
        _check_yaml(text)
        before = yaml.safe_load(text)
    except _YAML_FAILURES as failure:
        shown = " ".join(str(failure).split())
        raise errors.CheckpointError(
            f"{path}: expected YAML as equipot writes it ({shown}); {advice}"
        ) from failure
    if not isinstance(before, dict):
        found = "an empty file" if before is None else reprlib.repr(before)
        raise errors.CheckpointError(
            f"{path}: expected the settings of a run, found {found}; {advice}"
        )
    return _renamed(before)


def _renamed(before: dict[str, Any]) -> dict[str, Any]:
    """Settings of earlier versions under their names of today."""
    data, model = before.get("data"), before.get("model")
    if isinstance(data, dict) and "split_file" not in data and isinstance(model, dict):
        if model.get("name") in _OWN_MATRICES:  # those of each species, however many
            before = {**before, "model": {"shared_matrices": 0, **model}}
    optimizer, potential = before.get("optimizer"), before.get("potential")
    if isinstance(optimizer, dict):
        before = {**before, "optimizer": {"ema_shrinks": False, **optimizer}}
    if isinstance(potential, dict) and "repulsion" not in potential:
        potential = {**potential, "repulsion": "none"}
        before = {**before, "potential": potential}
    if not isinstance(potential, dict) or "anchor_isolated" not in potential:
        return before
    rest = {key: value for key, value in potential.items() if key != "anchor_isolated"}
    rest["shift"] = "neighbors" if potential["anchor_isolated"] else "constant"
    return {**before, "potential": rest}


def _check_yaml(text: str) -> None:
    """Refuses what takes PyYAML forever; our own files have no aliases and few levels."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > _DEEPEST:
            raise yaml.YAMLError("an alias, or too many levels")
