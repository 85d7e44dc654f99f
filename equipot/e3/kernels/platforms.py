"""Which platform's form of an algorithm is traced: said by who compiles, not asked of the machine.

On a CPU sums over edges go block by block and long polynomials are functions of their own; on other
devices neither helps. ``traced_for`` says what a program is meant for, so that a test on a CPU can
run the form of a GPU. It is part of the key of every compiled function.
"""

import contextlib
from typing import Any

import jax

_context: Any = jax.make_user_context(default_value=None)


def traced_for(platform: str | None) -> contextlib.AbstractContextManager[None]:
    """A context in which functions are traced in the form of a platform.

    Args:
      platform: "cpu", "gpu", …; None for that of the context outside.
    """
    return contextlib.nullcontext() if platform is None else _context(platform)


def current() -> str:
    """The platform that is traced for: by default that of the default device."""
    return _context.value or default()


def default() -> str:
    """The platform of jax's default device."""
    config: Any = jax.config
    chosen = config.jax_default_device
    if chosen is None:
        return jax.default_backend()
    return chosen if isinstance(chosen, str) else chosen.platform
