"""Checks for tests: that functions of irreps commute with rotations and inversion, and the like.

Arguments may be ``IrrepsArray``s, trees of them, irreps such as ``"0e + 1o"`` (random numbers take
their place) and anything else, which is passed on as invariant. Each check raises AssertionError.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from equipot.e3.arrays import mapping, operations
from equipot.e3.arrays.irreps import Irrep, Irreps, MulIrrep
from equipot.e3.arrays.irreps_array import IrrepsArray
from equipot.e3.so3 import rotations
from equipot.typing import Array, Float, Key

_TOLERANCE = {"float64": 1e-10, "float32": 1e-5}


def equivariance_test(
    function: Callable[..., Any], key: Key[Array, ""] | Array, *args: Any
) -> tuple[Any, Any]:
    """f(g x) and g f(x) for a random rotation with inversion g, to be compared.

    Args:
      function: From irreps to irreps.
      key: Of the random rotation, and of the arguments given by their irreps.
      args: Arguments of the function, see the module.
    """
    key, key_rotation = jax.random.split(key)
    args = _arguments(args, key)
    element = -rotations.rand_matrix(key_rotation)
    return function(*_transform(args, element)), _transform(function(*args), element)


def assert_equivariant(
    function: Callable[..., Any],
    key: Key[Array, ""] | Array,
    *args: Any,
    atol: float | None = None,
    rtol: float | None = None,
) -> None:
    """Checks f(g x) = g f(x) for a random rotation, for the inversion, and for both.

    Args:
      function: From irreps to irreps.
      key: Of the random rotation, and of the arguments given by their irreps.
      args: Arguments of the function, see the module.
      atol: Error allowed; 1e-10 by default in float64, 1e-5 in float32, 0.05 below.
      rtol: Error allowed relative to the largest component of each output; by default like atol.

    Raises:
      AssertionError: The irreps of an output change, or an error is larger than allowed; the
        message has the largest error.
    """
    key, key_rotation = jax.random.split(key)
    args = _arguments(args, key)
    rotation = rotations.rand_matrix(key_rotation)
    inversion = -jnp.eye(3, dtype=rotation.dtype)
    elements = {"a rotation": rotation, "inversion": inversion, "a reflection": -rotation}
    output = function(*args)
    for name, element in elements.items():
        expected = _leaves(_transform(output, element))
        actual = _leaves(function(*_transform(args, element)))
        if len(actual) != len(expected):
            raise AssertionError(
                f"expected {len(expected)} outputs after {name}, received {len(actual)}"
            )
        for i, (a, b) in enumerate(zip(actual, expected, strict=True)):
            _compare(a, b, f"output {i} of the function does not commute with {name}", atol, rtol)


def assert_normalized(
    function: Callable[..., Any],
    key: Key[Array, ""] | Array,
    *args: Any,
    number: int = 4096,
    tolerance: float = 0.2,
) -> None:
    """Checks that standard normal inputs give outputs of mean square 1 in every entry.

    Args:
      function: From irreps to irreps, for one sample: it is mapped over the samples.
      key: Of the samples.
      args: Irreps, for which samples are drawn; anything else is the same for every sample.
      number: Of samples. A mean square is known to about √(2/number).
      tolerance: Deviation from 1 allowed to the mean square of an entry.

    Raises:
      AssertionError: A mean square deviates by more; the message has the largest deviation.
    """
    axes = tuple(0 if _is_irreps(arg) else None for arg in args)
    args = _arguments(args, key, (number,))
    worst, where = 0.0, ""
    for i, output in enumerate(_leaves(mapping.vmap(function, axes)(*args))):
        output = operations.as_irreps_array(output)
        for item, chunk in zip(output.irreps, output.chunks, strict=True):
            if item.mul:
                mean = 0.0 if chunk is None else float(np.mean(np.square(chunk, dtype=np.float64)))
                if not abs(mean - 1.0) <= worst:
                    worst, where = abs(mean - 1.0), f"{item} of output {i} has {mean:.3g}"
    if not worst <= tolerance:
        raise AssertionError(f"expected a mean square of 1 to within {tolerance}: {where}")


def assert_output_dtype_matches_input_dtype(
    function: Callable[..., Any], *args: Any, **kwargs: Any
) -> None:
    """Checks that outputs have the precision of the inputs, from 16 to 64 bits, by tracing alone.

    Args:
      function: To check.
      args: Arguments; their floating point numbers are given each precision in turn.
      kwargs: Keyword arguments, likewise.

    Raises:
      AssertionError: A floating point output has another precision.
    """
    with jax.enable_x64(True):
        args = _arguments(args, jax.random.key(0))
        leaves, structure = jax.tree.flatten((args, kwargs))
        floats = [i for i, leaf in enumerate(leaves) if _is_floating(leaf)]
        for dtype in (jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64):

            def call(values: list[Array]) -> Any:
                args, kwargs = jax.tree.unflatten(structure, _replaced(leaves, floats, values))
                return function(*args, **kwargs)

            values = [jax.ShapeDtypeStruct(np.shape(leaves[i]), dtype) for i in floats]
            for i, output in enumerate(jax.tree.leaves(jax.eval_shape(call, values))):
                if jnp.issubdtype(output.dtype, jnp.floating) and output.dtype != dtype:
                    raise AssertionError(
                        f"expected {jnp.dtype(dtype)} as in the input, received {output.dtype} in "
                        f"output {i}"
                    )


def _is_irreps(x: Any) -> bool:
    return isinstance(x, str | Irrep | MulIrrep | Irreps)


def _is_irreps_array(x: Any) -> bool:
    return isinstance(x, IrrepsArray)


def _is_floating(x: Any) -> bool:
    return hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)


def _leaves(tree: Any) -> list[Any]:
    return jax.tree.leaves(tree, is_leaf=_is_irreps_array)


def _arguments(args: tuple[Any, ...], key: Any, lead: tuple[int, ...] = ()) -> tuple[Any, ...]:
    """Random numbers for the arguments that are irreps."""
    keys = jax.random.split(key, max(len(args), 1))
    return tuple(
        operations.normal(Irreps(arg), key, lead) if _is_irreps(arg) else arg
        for arg, key in zip(args, keys, strict=False)
    )


def _transform(tree: Any, element: Float[Array, "3 3"]) -> Any:
    return jax.tree.map(
        lambda leaf: leaf.transform_by_matrix(element) if _is_irreps_array(leaf) else leaf,
        tree,
        is_leaf=_is_irreps_array,
    )


def _compare(
    actual: Any, expected: Any, claim: str, atol: float | None, rtol: float | None
) -> None:
    mine, other = (getattr(x, "irreps", None) for x in (actual, expected))
    if mine != other:
        raise AssertionError(f"{claim}: its irreps change from {other} to {mine}")
    a, b = (np.asarray(getattr(x, "array", x)) for x in (actual, expected))
    if a.shape != b.shape:
        raise AssertionError(f"{claim}: its shape changes from {b.shape} to {a.shape}")
    default = _TOLERANCE.get(str(b.dtype), 0.05)
    atol, rtol = (default if x is None else x for x in (atol, rtol))
    a, b = a.astype(np.float64), b.astype(np.float64)
    error = np.max(np.abs(a - b), initial=0.0)
    allowed = atol + rtol * np.max(np.abs(b), initial=0.0)
    if not error <= allowed:
        raise AssertionError(
            f"{claim}: the largest error is {error:.3g}, {allowed:.3g} would be allowed"
        )


def _replaced(leaves: list[Any], positions: list[int], values: list[Any]) -> list[Any]:
    result = list(leaves)
    for i, value in zip(positions, values, strict=True):
        result[i] = value
    return result
