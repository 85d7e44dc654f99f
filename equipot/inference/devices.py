"""Devices by the names that users give them."""

import contextlib
from typing import Any

import jax

from equipot import errors


def find(name: str | None) -> Any:
    """Returns the device with a name.

    Args:
      name: "cpu", "gpu", "cuda", …, the first device of its kind, or "gpu:1" for another one; None
        for jax's default device.

    Returns:
      One of ``jax.devices()``, or None.

    Raises:
      ConfigError: If there is no such device here.
    """
    if name is None:
        return None
    kind, colon, place = str(name).lower().partition(":")
    try:
        found = jax.local_devices(backend=kind) if kind else []
    except RuntimeError:  # no such kind
        found = []
    index = int(place) if place.isascii() and place.isdigit() else -1 if colon else 0
    if not 0 <= index < len(found):
        raise errors.ConfigError(
            f"device: expected one of {', '.join(_names())}, received {str(name)[:40]!r}"
        )
    return found[index]


def _names() -> list[str]:
    """All devices here, each kind's own numbers from 0."""
    names = []
    for kind in dict.fromkeys((jax.default_backend(), "cpu")):
        with contextlib.suppress(RuntimeError):  # JAX_PLATFORMS may leave the CPU out
            names += [f"{kind}:{i}" for i in range(len(jax.local_devices(backend=kind)))]
    return names
