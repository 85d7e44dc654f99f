"""Derivatives of equivariant functions, reduced to irreps."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from equipot.e3.arrays.irreps_array import IrrepsArray
from equipot.e3.keywords import also_named
from equipot.e3.products.tensor_product import coupling
from equipot.typing import Array


@also_named(fun="function")
def grad(
    function: Callable[..., Any],
    argnums: int = 0,
    has_aux: bool = False,
    regroup_output: bool = True,
) -> Callable[..., Any]:
    """Returns the function that gives the derivative of ``function`` as irreps.

    ∂zᵢ/∂xⱼ transforms like the product of the irreps of z and x and is reduced like
    ``tensor_product(z, x)``: batch axes of z come first, those of x follow. Within the function x
    has no entries that are known to be zero, because these too may change.

    Args:
      function: Takes IrrepsArrays, returns one (or one and anything else, with ``has_aux``).
      argnums: The argument to differentiate by.
      has_aux: Whether the function returns a second value, to pass through.
      regroup_output: Whether to sort the result and merge equal irreps of it; else they stand in
        the order (entry of z, entry of x).
    """

    def derivative(*args: Any, **kwargs: Any) -> Any:
        if not isinstance(argnums, int) or not -len(args) <= argnums < len(args):
            raise ValueError(f"expected one of {len(args)} arguments, received argnums={argnums}")
        x = args[argnums]
        if not isinstance(x, IrrepsArray):
            raise ValueError(f"expected an IrrepsArray to differentiate by, received {type(x)}")
        x = x.floating()

        def plain(array: Array) -> tuple[Array, Any]:
            replaced = list(args)
            replaced[argnums] = IrrepsArray(x.irreps, array)  # no flags: zeros too may change
            result = function(*replaced, **kwargs)
            z, aux = result if has_aux else (result, None)
            if not isinstance(z, IrrepsArray):
                raise ValueError(f"expected a function that returns an IrrepsArray, not {type(z)}")
            return z.array, (z, aux)

        jacobian, (z, aux) = jax.jacrev(plain, has_aux=True)(x.array)
        reduced = _reduce(jacobian, z, x, regroup_output)
        return (reduced, aux) if has_aux else reduced

    return derivative


def _reduce(jacobian: Array, z: IrrepsArray, x: IrrepsArray, regroup_output: bool) -> IrrepsArray:
    """Contracts [*z, *x] with Clebsch-Gordan coefficients, entry by entry."""
    jacobian = jnp.moveaxis(jacobian, z.ndim - 1, -2)
    lead = jacobian.shape[:-2]
    entries, chunks = [], []
    for (mul1, ir1), rows in zip(z.irreps, z.irreps.slices(), strict=True):
        for (mul2, ir2), columns in zip(x.irreps, x.irreps.slices(), strict=True):
            block = jacobian[..., rows, columns].reshape(*lead, mul1, ir1.dim, mul2, ir2.dim)
            for ir in ir1 * ir2:
                c = coupling(ir1, ir2, ir).astype(jacobian.dtype)
                chunk = jnp.einsum("...uivj,ijk->...uvk", block, c, precision="highest")
                entries.append((mul1 * mul2, ir))
                chunks.append(chunk.reshape(*lead, mul1 * mul2, ir.dim))
    result = IrrepsArray.from_chunks(entries, chunks, lead, jacobian.dtype)
    return result.regroup() if regroup_output else result
