"""The models by name: every other module here, file or folder, has a ``Config`` and a ``Model``.

So does a module that another package offers as an entry point of the group ``equipot.models``.
"""

import dataclasses
import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from flax import linen as nn

from equipot import config, errors
from equipot.models.context import ModelContext

ENTRY_POINTS = "equipot.models"
_SHARED = "shared_matrices"
FEW_SPECIES = 8
"""With more, species share what is learnt."""

_NOT_MODELS = ("context", "edges", "output", "registry", "settings")


def available() -> tuple[str, ...]:
    """Names of all models, sorted; those that other packages offer are among them."""
    return tuple(sorted({*_own(), *_outside()}))


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


def for_species(model_config: Any, num_species: int) -> Any:
    """The settings with what depends on the number of species, where that is left open.

    With more than eight, those of a model that can share matrices among species say that they do.
    """
    mixed = getattr(model_config, "self_connection", "by_species") == "by_species"
    is_open = getattr(model_config, _SHARED, 0) is None and mixed
    if not is_open or num_species <= FEW_SPECIES:
        return model_config
    return dataclasses.replace(model_config, **{_SHARED: FEW_SPECIES})


def build_model(name: str, model_config: Any, context: ModelContext) -> nn.Module:
    """Makes the flax module of a model for the graphs of this package.

    Args:
      name: Name of the model.
      model_config: Its settings.
      context: Facts about the data and the graphs.

    Raises:
      ConfigError: If several heads are requested from a model that has only one.
    """
    model = _module(name).Model
    if context.num_heads > 1 and not getattr(model, "has_heads", False):
        raise errors.ConfigError(
            f"model: {name} has one head, but the data have {context.num_heads} levels of theory;"
            " leave data.head_key out, or choose a model with several heads, as mace or nequip"
        )
    return model(config=model_config, context=context)


def model_class(name: str) -> type[nn.Module]:
    """The class of a model's modules.

    Raises:
      ConfigError: If there is no such model.
    """
    model: type[nn.Module] = _module(name).Model
    return model


def is_species_table(model: nn.Module | type[nn.Module], path: Sequence[str]) -> bool:
    """Whether a parameter has a row for each species, along its first axis.

    Args:
      model: The module or its class, which names such tables in ``species_tables``.
      path: Names that lead to the parameter; after "_" one may say which of several it is.
    """
    return _is_among(path, getattr(model, "species_tables", ()))


def is_species_pair_table(model: nn.Module | type[nn.Module], path: Sequence[str]) -> bool:
    """Whether a parameter has a row for each pair of species, along its first two axes.

    Args:
      model: The module or its class, which names such tables in ``species_pair_tables``.
      path: Names that lead to the parameter; after "_" one may say which of several it is.
    """
    return _is_among(path, getattr(model, "species_pair_tables", ()))


def _is_among(path: Sequence[str], tables: Sequence[str]) -> bool:
    return any(f"{name}_".startswith(f"{table}_") for name in path for table in tables)


def _own() -> tuple[str, ...]:
    """Names of the models of this package."""
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    return tuple(m.name for m in modules if m.name not in _NOT_MODELS)


def _outside() -> dict[str, metadata.EntryPoint]:
    """Models that other packages offer, by name; those of this package keep their names."""
    own = _own()
    found = metadata.entry_points(group=ENTRY_POINTS)
    return {entry.name: entry for entry in found if entry.name not in own}


def _module(name: str) -> Any:
    """The module of a model.

    Raises:
      ConfigError: If there is no such model, or what another package offers is none.
    """
    if name in _own():
        return importlib.import_module(f"equipot.models.{name}")
    entry = _outside().get(name)
    if entry is None:
        raise errors.ConfigError(
            f"model.name: unknown model '{name}'.{errors.did_you_mean(str(name), available())}"
            f" Known: {', '.join(available())}"
        )
    module = entry.load()
    missing = [part for part in ("Config", "Model") if not hasattr(module, part)]
    if missing:
        raise errors.ConfigError(
            f"model.name: expected {entry.value}, which a package offers as '{name}', to hold a"
            f" Config and a Model; it lacks {' and '.join(missing)}"
        )
    return module
