"""Mapping functions of ``IrrepsArray``s over batch axes."""

from collections.abc import Callable, Sequence
from typing import Any

import jax

from equipot.e3.arrays.irreps_array import IrrepsArray
from equipot.e3.keywords import also_named

Flags = list[tuple[bool, ...]]


@also_named(fun="function")
def vmap(
    function: Callable[..., Any], in_axes: int | Sequence[Any] | None = 0, out_axes: Any = 0
) -> Callable[..., Any]:
    """``jax.vmap`` that keeps the note of which entries are known to be zero.

    JAX drops the ``zero_flags`` of arrays where it maps a function over them; here they hold inside
    the function and for its results, so that products with zeros are skipped there too.

    Args:
      function: To map.
      in_axes: As for ``jax.vmap``.
      out_axes: As for ``jax.vmap``.

    Raises:
      ValueError: When called, if a mapped axis would stand behind the irreps of a result.
    """

    def mapped(*args: Any, **kwargs: Any) -> Any:
        given = _flags((args, kwargs))
        found: Flags = []

        def flagged(*args: Any, **kwargs: Any) -> Any:
            args, kwargs = _with_flags((args, kwargs), given)
            result = function(*args, **kwargs)
            found[:] = _flags(result)
            return result

        return _with_flags(jax.vmap(flagged, in_axes, out_axes)(*args, **kwargs), found)

    return mapped


def _is_irreps_array(x: Any) -> bool:
    return isinstance(x, IrrepsArray)


def _flags(tree: Any) -> Flags:
    leaves = jax.tree.leaves(tree, is_leaf=_is_irreps_array)
    return [leaf.zero_flags for leaf in leaves if _is_irreps_array(leaf)]


def _with_flags(tree: Any, flags: Flags) -> Any:
    """The same tree, its IrrepsArrays checked and flagged in their order."""
    rest = iter(flags)

    def restore(leaf: Any) -> Any:
        return IrrepsArray(leaf.irreps, leaf.array, next(rest)) if _is_irreps_array(leaf) else leaf

    return jax.tree.map(restore, tree, is_leaf=_is_irreps_array)
