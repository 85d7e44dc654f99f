"""What the settings of several models have in common."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from equipot import errors

_LONGEST = 100.0  # Å; a cutoff beyond is a mistake of units
_MOST = {"lmax": 10, "message_lmax": 10, "polynomial_cutoff": 100, "num_layers": 100}
"""Coefficients, powers and layers beyond take minutes to compute, and nobody uses them."""


def check_settings(config: Any, most: dict[str, int] | None = None, **least: int) -> None:
    """Refuses numbers that are too small or too large, and a cutoff that is no length.

    Widths of hidden layers, settings named ``…_widths``, are at least 1 each.

    Args:
      config: Settings of a model, with its ``cutoff`` in Å.
      most: The largest value of a setting, by its name, where it is not the usual one.
      **least: The smallest value of a setting, by its name.

    Raises:
      ConfigError: At the first setting outside its range.
    """
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    for name, value in values.items():
        _check(all(map(math.isfinite, _floats(value))), name, "finite numbers", value)
        if name.endswith("_widths"):
            _check(min(value, default=1) >= 1, name, "positive widths", value)
    for name, smallest in least.items():
        _check(values[name] >= smallest, name, f"at least {smallest}", values[name])
    shared = values.get("shared_matrices") or 0
    _check(shared >= 0, "shared_matrices", "at least 0", shared)
    for name, largest in (_MOST | (most or {})).items():
        _check(values.get(name, 0) <= largest, name, f"at most {largest}", values.get(name))
    _check(config.cutoff > 0, "cutoff", "a positive length", config.cutoff)
    _check(config.cutoff <= _LONGEST, "cutoff", f"at most {_LONGEST:g} Å", config.cutoff)


def _floats(value: Any) -> Iterator[float]:
    if isinstance(value, tuple):
        for item in value:
            yield from _floats(item)
    elif isinstance(value, float):
        yield value


def _check(holds: bool, name: str, expected: str, received: Any) -> None:
    if not holds:
        raise errors.ConfigError(f"model.{name}: expected {expected}, received {received}")
