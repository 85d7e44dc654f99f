"""What the compiler makes of a function, to see what it computes and what it leaves out."""

from collections.abc import Callable
from typing import Any

import jax


def jit_code(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """The optimized program of a function, as text in the compiler's language (HLO).

    Constants are folded, unused values dropped and equal expressions merged: the text shows what
    is really computed. It differs between versions and devices; count operations in it, and do not
    compare it as a whole.

    Args:
      function: Any function that ``jax.jit`` takes.
      args: Arguments that set shapes, data types and irreps.
      kwargs: Keyword arguments, likewise.

    Examples:
      >>> jit_code(lambda x: jax.numpy.exp(x) + jax.numpy.exp(x), 1.0).count(" exponential(")
      1
    """
    return jax.jit(function).lower(*args, **kwargs).compile().as_text() or ""
