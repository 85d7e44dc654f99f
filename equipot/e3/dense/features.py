"""Dense features: one array ``[..., parity, (L+1)², channels]`` for all irreps to degree L.

With two parities, index 0 holds the even ones and index 1 the odd ones. With one, only proper
tensors are stored, of parity (-1)ˡ: no pseudotensors. Degree l is ``x[..., p, l**2:(l+1)**2, :]``.
Whatever combines features checks them here, because axes of length one broadcast wrongly.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from equipot.e3.dense import so3
from equipot.typing import Array, Bool, Float


class Layout(NamedTuple):
    """What the shape of features says: parities (1 or 2), maximum degree and channels."""

    num_parity: int
    max_degree: int
    num_features: int


def layout(x: Array | np.ndarray, name: str = "features") -> Layout:
    """Reads and checks the last three axes of features.

    Raises:
      ValueError: They are not (1 or 2, (L+1)², channels).
    """
    shape = jnp.shape(x)
    if len(shape) < 3:
        raise ValueError(f"expected {name} of shape (..., 1 or 2, (L+1)**2, F), received {shape}")
    num_parity, components, num_features = shape[-3:]
    if num_parity not in (1, 2):
        raise ValueError(
            f"expected {name} with 1 or 2 parities on axis -3, received {num_parity}: shape {shape}"
        )
    max_degree = math.isqrt(components) - 1
    if components < 1 or (max_degree + 1) ** 2 != components:
        raise ValueError(
            f"expected {name} with (L+1)**2 components on axis -2, received {components}: "
            f"shape {shape}"
        )
    return Layout(num_parity, max_degree, num_features)


def degree_slice(degree: int) -> slice:
    """Where the components of a degree stand on axis -2."""
    return slice(degree**2, (degree + 1) ** 2)


def parity_index(degree: int, parity: int, num_parity: int) -> int | None:
    """Where a degree of a parity (1 or -1) stands on axis -3; None if features have no place."""
    if num_parity == 2:
        return (1 - parity) // 2
    return 0 if parity == (-1) ** degree else None


def add(*inputs: Float[Array, "..."]) -> Float[Array, "..."]:
    """Sum of features of any degrees and types: what one of them lacks counts as zero there.

    Raises:
      ValueError: There are no inputs, they are no features, or channels, batch axes or data types
        differ.
    """
    if not inputs:
        raise ValueError("expected at least one input to add, received none")
    layouts = [layout(x) for x in inputs]
    if len({item.num_features for item in layouts}) > 1:
        shapes = [x.shape for x in inputs]
        raise ValueError(f"expected equal numbers of channels to add, received shapes {shapes}")
    if len({x.shape[:-3] for x in inputs}) > 1:
        shapes = [x.shape for x in inputs]
        raise ValueError(
            f"expected equal batch axes to add, received shapes {shapes}: use jnp.broadcast_to"
        )
    if len({x.dtype for x in inputs}) > 1:
        raise ValueError(
            f"expected equal data types to add, received {[str(x.dtype) for x in inputs]}: use "
            "astype"
        )
    max_degree = max(item.max_degree for item in layouts)
    pseudotensors = max(item.num_parity for item in layouts) == 2
    first, *rest = [change_max_degree_or_type(x, max_degree, pseudotensors) for x in inputs]
    for x in rest:
        first = first + x
    return first


def change_max_degree_or_type(
    x: Float[Array, "..."],
    max_degree: int | None = None,
    include_pseudotensors: bool | None = None,
) -> Float[Array, "..."]:
    """Pads with zeros, or drops, degrees and pseudotensors.

    Args:
      x: Features.
      max_degree: New maximum degree; as it is by default.
      include_pseudotensors: Whether the result has two parities; as it is by default.

    Raises:
      ValueError: x are no features, or max_degree is negative.
    """
    num_parity, old_degree, _ = layout(x)
    if max_degree is not None and max_degree != old_degree:
        so3.check_degree(max_degree)
        keep = min(max_degree, old_degree)
        padding = (max_degree + 1) ** 2 - (keep + 1) ** 2
        widths = [(0, 0)] * (x.ndim - 2) + [(0, padding), (0, 0)]
        x = jnp.pad(x[..., : (keep + 1) ** 2, :], widths)
    if include_pseudotensors is None or include_pseudotensors == (num_parity == 2):
        return x
    even = _even(x)
    if include_pseudotensors:
        return jnp.concatenate([jnp.where(even, x, 0.0), jnp.where(even, 0.0, x)], axis=-3)
    return jnp.where(even, x[..., :1, :, :], x[..., 1:, :, :])


def rotate(
    x: Float[Array, "..."], wigner_d_matrix: Float[Array, "*batch n n"]
) -> Float[Array, "..."]:
    """Turns features by the matrix of ``so3.wigner_d``, one for all or one for each place.

    Raises:
      ValueError: x are no features, or the matrix is of another degree.
    """
    _, max_degree, _ = layout(x)
    n = (max_degree + 1) ** 2
    if wigner_d_matrix.shape[-2:] != (n, n):
        raise ValueError(
            f"expected a Wigner matrix of shape (..., {n}, {n}) for features of degree "
            f"{max_degree}, received {wigner_d_matrix.shape}"
        )
    return jnp.einsum("...pmf,...mn->...pnf", x, wigner_d_matrix, precision="highest")


def reflect(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Inverts space: what is of odd parity changes its sign.

    Raises:
      ValueError: x are no features.
    """
    if layout(x).num_parity == 2:
        return jnp.concatenate([x[..., :1, :, :], -x[..., 1:, :, :]], axis=-3)
    return jnp.where(_even(x), x, -x)


def even_degree_mask(max_degree: int) -> Bool[np.ndarray, "components 1"]:
    """True at the components of even degrees.

    Raises:
      ValueError: max_degree is negative.
    """
    so3.check_degree(max_degree)
    degrees = np.repeat(np.arange(max_degree + 1), 2 * np.arange(max_degree + 1) + 1)
    return (degrees % 2 == 0)[:, None]


def odd_degree_mask(max_degree: int) -> Bool[np.ndarray, "components 1"]:
    """True at the components of odd degrees.

    Raises:
      ValueError: max_degree is negative.
    """
    return ~even_degree_mask(max_degree)


def _even(x: Array) -> np.ndarray:
    """``even_degree_mask`` of features, with as many axes as they have."""
    mask = even_degree_mask(layout(x).max_degree)
    return mask.reshape((1,) * (x.ndim - 2) + mask.shape)
