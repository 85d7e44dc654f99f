"""What the machine can do at most, measured: a matrix product and a copy.

A program that computes F operations and moves B bytes to and from memory takes at least

    max(F / rate of a matrix product, B / bandwidth of a copy).
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from equipot.typing import Array

PRODUCT, COPY = "matrix product", "copy"
LIMITS = (PRODUCT, COPY)
_SIDE, _LARGE_SIDE = 2048, 8192  # of the matrices on CPUs, on accelerators
_COPIED = 2**25  # numbers: more than a cache holds


def build(limit: str, dtype: str) -> tuple[Callable[[], Array], dict[str, Any]]:
    """A program that does nothing but one of the two, with its size.

    In float64 this must be called inside ``potential.precision.of``.

    Args:
      limit: One of ``LIMITS``.
      dtype: Precision of the product.

    Returns:
      The program, and its operations and bytes read and written.
    """
    return _product(dtype) if limit == PRODUCT else _copy()


def _product(dtype: str) -> tuple[Callable[[], Array], dict[str, Any]]:
    side = _SIDE if jax.default_backend() == "cpu" else _LARGE_SIDE
    x = jnp.ones((side, side), dtype)
    product = functools.partial(jnp.matmul, precision="highest")
    program = jax.jit(product).lower(x, x).compile()
    return functools.partial(program, x, x), {"flops": 2 * side**3, "memory_bytes": 3 * x.nbytes}


def _copy() -> tuple[Callable[[], Array], dict[str, Any]]:
    """Copies into memory that is there, since new pages would take longer than the copy."""
    source, target = jnp.ones(_COPIED, jnp.float32), jnp.zeros(_COPIED, jnp.float32)
    copy = jax.jit(lambda x, into: into.at[:].set(-x), donate_argnums=1)
    program = copy.lower(source, target).compile()

    def run() -> Array:
        nonlocal target
        target = program(source, target)
        return target

    return run, {"flops": 0, "memory_bytes": 2 * source.nbytes}
