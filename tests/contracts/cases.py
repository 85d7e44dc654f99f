"""The models under test: every file in models/, and every configs/model/*.yaml, made small."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import yaml

from equipot import testing
from equipot.models import registry

CONFIGS = Path(__file__).parents[2] / "configs" / "model"
_SMALL = {
    "cutoff": 3.0,
    "num_layers": 3,
    "lmax": 1,
    "num_channels": 4,
    "num_radial_basis": 4,
    "correlation": 2,
    "radial_widths": (8,),
}


def full_config(path: Path) -> tuple[str, Any]:
    return registry.config_from_mapping(yaml.safe_load(path.read_text()))


def shrunk(config: Any) -> Any:
    """The settings with the sizes that are known by name made small."""
    names = {field.name for field in dataclasses.fields(config)}
    small = {k: v for k, v in _SMALL.items() if k in names}
    if "num_layers" in names:
        small["num_layers"] = min(config.num_layers, _SMALL["num_layers"])
    return dataclasses.replace(config, **small)


def find_cases() -> dict[str, tuple[str, Any]]:
    """Name of the model and small settings, by name of the case; equal ones once."""
    found: dict[str, tuple[str, Any]] = {}
    for path in sorted(CONFIGS.glob("*.yaml")):
        name, config = full_config(path)
        found[path.stem] = (name, shrunk(config))
    for name in registry.available():
        case = (name, shrunk(registry.config_class(name)()))
        if case not in found.values():
            found[f"{name}-defaults"] = case
    return found


def find_richer_cases() -> dict[str, tuple[str, Any]]:
    """The cases with irreps of degree two, and those of both parities, where a model has them."""
    found = {}
    for case, (name, config) in find_cases().items():
        if hasattr(config, "lmax"):
            found[f"{case}-lmax-2"] = (name, dataclasses.replace(config, lmax=2))
        if getattr(config, "parity", None) is False:
            found[f"{case}-parity"] = (name, dataclasses.replace(config, parity=True))
    return found


@functools.cache
def build_subject(case: str) -> testing.Subject:
    """One subject for all contracts, so that its functions compile once."""
    name, config = (find_cases() | find_richer_cases())[case]
    return testing.subject_of(config, name)
