"""Dense features from and to an ``IrrepsArray``.

Both commute with rotations and inversion. Within a degree the bases differ by the rotation that
carries the polar axis y of an ``IrrepsArray`` to the polar axis z of dense features; the components
of degree 1 are (x, y, z) in both.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from equipot.e3.arrays.irreps import Irrep, Irreps
from equipot.e3.arrays.irreps_array import IrrepsArray
from equipot.e3.dense import so3
from equipot.e3.dense.features import degree_slice, layout, parity_index
from equipot.e3.so3 import wigner
from equipot.typing import Array, Float


def from_irreps_array(
    x: IrrepsArray, include_pseudotensors: bool | None = None, cartesian_order: bool = True
) -> Float[Array, "..."]:
    """Dense features of irreps of equal multiplicity, zero at the irreps that x lacks.

    Args:
      x: Irreps, regrouped; their multiplicity is the number of channels.
      include_pseudotensors: Whether the features have two parities; where needed by default.
      cartesian_order: Whether m runs l, -l, …, 1, -1, 0 instead of -l … l.

    Raises:
      ValueError: There are no irreps, multiplicities differ, or x has pseudotensors that the
        features shall not have.
    """
    x = x.regroup().astype(so3.floats(x.array).dtype)
    multiplicities = {mul for mul, _ in x.irreps}
    if len(multiplicities) != 1:
        raise ValueError(f"expected irreps of one multiplicity, received {x.irreps}")
    pseudotensors = [str(ir) for _, ir in x.irreps if ir.p != (-1) ** ir.l]
    if include_pseudotensors is False and pseudotensors:
        raise ValueError(
            f"expected no pseudotensors, received {', '.join(pseudotensors)} in {x.irreps}"
        )
    num_parity = 2 if include_pseudotensors or pseudotensors else 1
    max_degree = max(ir.l for _, ir in x.irreps)
    shape = (*x.shape[:-1], num_parity, (max_degree + 1) ** 2, multiplicities.pop())
    result = jnp.zeros(shape, x.dtype)
    for (_, ir), chunk in zip(x.irreps, x.chunks, strict=True):
        if chunk is not None:
            turn = _polar_axis(ir.l, cartesian_order).astype(chunk.dtype)
            part = jnp.einsum("mn,...fn->...mf", turn, chunk, precision="highest")
            place = parity_index(ir.l, ir.p, num_parity)
            result = result.at[..., place, degree_slice(ir.l), :].set(part)
    return result


def to_irreps_array(x: Float[Array, "..."], cartesian_order: bool = True) -> IrrepsArray:
    """All irreps of dense features, sorted, with the number of channels as multiplicity.

    Args:
      x: Features ``[..., P, (L+1)², F]``.
      cartesian_order: Whether m runs l, -l, …, 1, -1, 0 instead of -l … l.

    Raises:
      ValueError: x are no features.
    """
    x = so3.floats(x)
    num_parity, max_degree, num_features = layout(x)
    items, chunks = [], []
    for l in range(max_degree + 1):
        natural = (-1) ** l
        for parity in (natural, -natural)[:num_parity]:
            part = x[..., parity_index(l, parity, num_parity), degree_slice(l), :]
            turn = _polar_axis(l, cartesian_order).astype(x.dtype)
            items.append((num_features, Irrep(l, parity)))
            chunks.append(jnp.einsum("mn,...mf->...fn", turn, part, precision="highest"))
    return IrrepsArray.from_chunks(Irreps(items), chunks, x.shape[:-3], x.dtype)


@functools.cache
def _polar_axis(degree: int, cartesian_order: bool) -> np.ndarray:
    """Orthogonal matrix from components about y to components about z, float64."""
    cyclic = np.roll(np.eye(3), -1, axis=0)
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        turn = np.asarray(wigner.wigner_D(degree, jnp.asarray(cyclic, jnp.float64)))
    order = so3.component_order(degree, cartesian_order)
    return np.where(np.abs(turn) < 1e-14, 0.0, turn)[list(order)]
