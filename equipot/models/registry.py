"""The models by name: every other file in this folder holds a ``Config`` and a ``Model``."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flax import linen as nn

from equipot import config, errors

_NOT_MODELS = ("registry", "settings")


def available() -> tuple[str, ...]:
    """Names of all models, sorted."""
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    return tuple(sorted(m.name for m in modules if m.name not in _NOT_MODELS))


def config_class(name: str) -> type:
    """The dataclass of a model's settings.

    Raises:
      ConfigError: If there is no such model.
    """
    return _module(name).Config


def config_from_mapping(mapping: Mapping[str, Any], where: str = "model") -> tuple[str, Any]:
    """Splits ``{"name": "nequip", ...}`` into the name and the model's own settings.

    Raises:
      ConfigError: If the name is missing or unknown, or at a wrong key or value.
    """
    if "name" not in mapping:
        raise errors.ConfigError(f"{where}: needs a name, one of {', '.join(available())}")
    rest = {key: value for key, value in mapping.items() if key != "name"}
    name = mapping["name"]
    return name, config.from_mapping(config_class(name), rest, f"{where}.{name}")


def build_model(
    name: str,
    model_config: Any,
    species_table: Sequence[int],
    avg_num_neighbors: float,
    num_heads: int = 1,
    *,
    directed: bool = False,
) -> nn.Module:
    """Makes the flax module of a model for the graphs of this package.

    A model that depends on what its species are has a field ``atomic_numbers`` and receives theirs.
    With several heads, one that has a field ``num_heads`` returns [nodes, heads].

    Args:
      name: Name of the model.
      model_config: Its settings.
      species_table: Atomic number of each species.
      avg_num_neighbors: Mean number of neighbors in the training set.
      num_heads: Number of levels of theory.
      directed: Whether edges are directed; without, each is a pair, see ``equipot.graphs.pairs``.

    Raises:
      ConfigError: If several heads are asked of a model that has one only.
    """
    model = _module(name).Model
    known = {field.name for field in dataclasses.fields(model)}
    if num_heads > 1 and "num_heads" not in known:
        raise errors.ConfigError(
            f"model: {name} has one head, but the data have {num_heads} levels of theory; leave"
            " data.head_key out, or choose a model with several heads, as mace"
        )
    offered = {"atomic_numbers": tuple(species_table), "num_heads": num_heads}
    fields = {key: value for key, value in offered.items() if key in known}
    return model(
        config=model_config,
        num_species=len(species_table),
        avg_num_neighbors=avg_num_neighbors,
        directed=directed,
        **fields,
    )


def _module(name: str) -> Any:
    if name not in available():
        raise errors.ConfigError(
            f"model.name: unknown model '{name}'.{errors.did_you_mean(str(name), available())}"
            f" Known: {', '.join(available())}"
        )
    return importlib.import_module(f"equipot.models.{name}")
