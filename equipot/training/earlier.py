"""Runs that an earlier version began go on with the defaults of then."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equipot.training import folder, saved_settings
from equipot.training.config import OPEN_STRESS, TrainConfig

_FORMER: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "potential": {
        "shift": ("neighbors",),
        "scale": ("forces_rms",),
        "repulsion": ("none", "fitted"),
    },
    "optimizer": {"warmup_steps": (0,), "ema_shrinks": (False,)},
}
"""Defaults of before that mean something else than those of today, by group."""
_FORMER_STRESS = 10.0  # Å³


def as_begun(config: TrainConfig) -> TrainConfig:
    """The configuration of a run that goes on, where a default has changed since it began.

    A run of an earlier version keeps the former defaults: a shift that is switched by neighbors, a
    scale from squared forces, no repulsion or a wall that reaches into the data, no stress, no
    warm-up, an average that reaches equally far back to the end, matrices of each species, and 100
    epochs in batches of four.

    Raises:
      CheckpointError: If the configuration in the folder cannot be read.
    """
    place = folder.RunFolder(Path(config.folder), config.name)
    if not place.config.exists():
        return config
    before: Mapping[str, Any] = saved_settings.read(place.config)
    changes: dict[str, Any] = {}
    trainer = before.get("trainer")
    for group, former in _FORMER.items():
        now, then = getattr(config, group), before.get(group)
        kept = {
            key: then[key]
            for key, values in former.items()
            if isinstance(then, dict)
            and then.get(key) in values
            and getattr(now, key) == getattr(type(now)(), key)
        }
        if kept:
            changes[group] = dataclasses.replace(now, **kept)
    loss = before.get("loss")
    stress = loss.get("stress") if isinstance(loss, dict) else None
    if config.loss.stress is None and isinstance(stress, float):  # chosen when it began
        now = changes.get("loss", config.loss)
        changes["loss"] = dataclasses.replace(now, stress=stress)
    if isinstance(trainer, dict) and "minutes" not in trainer:  # of an earlier version
        given, kept = config.trainer, {}
        is_open = given.batch_size is None and given.batch_edges is None
        if is_open and trainer.get("batch_size") == 4:
            kept["batch_size"] = 4
        lengths = (given.num_steps, given.num_epochs, given.minutes)
        if not any(lengths) and trainer.get("num_epochs") == 100:
            kept["num_epochs"] = 100
        elif given.num_steps and not given.num_epochs and trainer.get("num_epochs") == 100:
            kept["num_epochs"] = 100  # which counted for nothing
        if kept:
            changes["trainer"] = dataclasses.replace(given, **kept)
    model = before.get("model")
    if isinstance(model, dict) and model.get("shared_matrices") == 0:
        if config.model.get("shared_matrices") is None and config.model["name"] == model["name"]:
            changes["model"] = {**config.model, "shared_matrices": 0}
    return dataclasses.replace(config, **changes) if changes else config


def open_stress(place: folder.RunFolder) -> float:
    """Weight of the stress where it is left open.

    It is written into the folder when a run begins. A folder where it stays open is of an earlier
    version, which had another weight.
    """
    return _FORMER_STRESS if place.config.exists() else OPEN_STRESS
