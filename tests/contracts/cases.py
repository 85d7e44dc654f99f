"""The models under test: every file in models/, and every configs/model/*.yaml, made small."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import yaml

from equipot import testing
from equipot.models import registry
from equipot.store.host_graph import ONE_HEAD
from tests.contracts.variants import VARIANTS

CONFIGS = Path(__file__).parents[2] / "configs" / "model"
_SMALL = {
    "cutoff": 3.0,
    "num_layers": 2,  # a first and a last one
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


@functools.cache
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


@functools.cache
def find_richer_cases() -> dict[str, tuple[str, Any]]:
    """The cases with layers between the first and the last, and irreps of degree two."""
    return {
        f"{case}-rich": (name, _replaced(config, num_layers=3, lmax=2))
        for case, (name, config) in find_cases().items()
    }


@functools.cache
def find_variants() -> dict[str, tuple[str, Any, tuple[str, ...]]]:
    """Name of the model, small settings, and heads, by name of the variant."""
    found = {}
    for name, variants in VARIANTS.items():
        small = shrunk(registry.config_class(name)())
        for variant, change in variants.items():
            own = {key: value for key, value in change.items() if key != "heads"}
            config = dataclasses.replace(small, **own)
            found[f"{name}-{variant}"] = (name, config, change.get("heads", ONE_HEAD))
    return found


@functools.cache
def find_quick_variants() -> dict[str, tuple[str, Any, tuple[str, ...]]]:
    """The first variant of every model, with one layer."""
    quick = {f"{name}-{next(iter(variants))}" for name, variants in VARIANTS.items()}
    return {
        f"{case}-quick": (name, _replaced(config, num_layers=1), heads)
        for case, (name, config, heads) in find_variants().items()
        if case in quick
    }


def _replaced(config: Any, **change: Any) -> Any:
    """The settings with those of the changes that they have."""
    names = {field.name for field in dataclasses.fields(config)}
    return dataclasses.replace(config, **{k: v for k, v in change.items() if k in names})


@functools.cache
def build_subject(case: str) -> testing.Subject:
    """One subject for all contracts, so that its functions compile once."""
    cases = find_cases() | find_richer_cases() | find_variants() | find_quick_variants()
    name, config, *heads = cases[case]
    return testing.subject_of(config, name, heads=heads[0] if heads else ONE_HEAD)
