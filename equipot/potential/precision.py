"""The one place where the precision of jax is chosen: for a block of code, never for the process.

Arrays of float64 are made, traced, run and fetched inside of ``of("float64")``; outside of it jax
would make them float32 without a word.
"""

import contextlib

import jax


def of(dtype: str) -> contextlib.AbstractContextManager[None]:
    """A context in which arrays of a potential in this precision stay what they are.

    Args:
      dtype: "float32" or "float64".
    """
    return jax.enable_x64(dtype == "float64")
