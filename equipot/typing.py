"""Array annotations used in public signatures; importing this module imports jax."""

from typing import Any, TypeAlias

import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int, Key

AnyArray: TypeAlias = Array | np.ndarray
"""An array on the device or on the host."""

PyTree: TypeAlias = Any

__all__ = ["AnyArray", "Array", "Bool", "Float", "Int", "Key", "PyTree"]
