"""The settings of a run that are not the defaults."""

from typing import Any

import yaml

from equipot import config as configuration
from equipot import errors
from equipot.data.config import DataConfig
from equipot.models import registry
from equipot.training.config import TrainConfig

_ALWAYS = ("model.name", "data.train")  # have no default
_ELSEWHERE = ("name", "run_dir")  # stand at the head of the page


def changed(config: TrainConfig) -> list[tuple[str, str, str]]:
    """Key, value and default of each setting that differs, and of those that have no default.

    Args:
      config: The run.
    """
    now, before = configuration.flat(configuration.to_mapping(config)), _defaults(config)
    differing = [key for key in now if key not in before or before[key] != now[key]]
    rows = [(key, _shown(now[key]), "") for key in _ALWAYS if key in now]
    return rows + [
        (key, _shown(now[key]), _shown(before[key]) if key in before else "")
        for key in differing
        if key not in (*_ALWAYS, *_ELSEWHERE)
    ]


def _defaults(config: TrainConfig) -> dict[str, Any]:
    """Every setting as it is without being given, of this architecture."""
    name = config.model["name"]
    try:
        _, own = registry.config_from_mapping({"name": name})
    except errors.ConfigError:  # a model that asks for more than its name
        own = {}
    model = {"name": name, **configuration.to_mapping(own)}
    bare = TrainConfig(data=DataConfig(train=config.data.train), model=model)
    return configuration.flat(configuration.to_mapping(bare))


def _shown(value: Any) -> str:
    """As it stands in YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
    return text.removesuffix("...\n").strip()
