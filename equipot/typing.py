"""Array annotations used in public signatures; importing this module imports jax."""

from typing import Any, TypeAlias

from jax import Array
from jaxtyping import Bool, Float, Int, Key

PyTree: TypeAlias = Any

__all__ = ["Array", "Bool", "Float", "Int", "Key", "PyTree"]
