"""Tensor products with weights, path by path, as functions of the weights."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from equipot.e3.arrays.irreps import Irreps, IrrepsLike
from equipot.e3.arrays.irreps_array import IrrepsArray
from equipot.e3.keywords import also_named
from equipot.e3.products import path_weights
from equipot.e3.products.path_weights import Normalization, Weights
from equipot.e3.products.tensor_product_paths import MODES, Instruction, build_instructions
from equipot.e3.so3.clebsch_gordan import clebsch_gordan
from equipot.typing import Array, Float


class FunctionalTensorProduct:
    """A sum of paths, each a product of two entries coupled by weights, see the paths' module.

    Attributes:
      irreps_in1: Irreps of the first factor.
      irreps_in2: Irreps of the second factor.
      irreps_out: Irreps of the output; entries that no path reaches are zero.
      instructions: The paths.
      output_mask: For each component of the output, whether any path reaches it.
    """

    def __init__(
        self,
        irreps_in1: IrrepsLike,
        irreps_in2: IrrepsLike,
        irreps_out: IrrepsLike,
        instructions: Sequence[Sequence[Any]],
        in1_var: Sequence[float] | None = None,
        in2_var: Sequence[float] | None = None,
        out_var: Sequence[float] | None = None,
        irrep_normalization: str | None = None,
        path_normalization: Normalization = "element",
        gradient_normalization: Normalization = "path",
    ) -> None:
        """Lists the paths and their factors.

        Args:
          irreps_in1: Irreps of the first factor.
          irreps_in2: Irreps of the second factor.
          irreps_out: Irreps of the output.
          instructions: (i_in1, i_in2, i_out, connection_mode, has_weight) for each path, and
            optionally the factor by which its variance exceeds that of the others.
          in1_var: Variance of each entry of the first factor; 1 by default.
          in2_var: Variance of each entry of the second factor; 1 by default.
          out_var: Variance that each entry of the output shall have; 1 by default.
          irrep_normalization: ``component``, ``norm`` or ``none``, see ``tensor_product``.
          path_normalization: How paths share the variance, see ``path_weights``.
          gradient_normalization: Where the factor stands, see ``path_weights``.

        Raises:
          ValueError: A path is impossible: it names no entry, breaks a selection rule or its mode's
            rule of multiplicities; a mode or a normalisation is unknown; the number of
            variances is wrong.
        """
        self.irreps_in1, self.irreps_in2 = Irreps(irreps_in1), Irreps(irreps_in2)
        self.irreps_out = Irreps(irreps_out)
        self.instructions = build_instructions(
            (self.irreps_in1, self.irreps_in2, self.irreps_out),
            instructions,
            (in1_var, in2_var, out_var),
            irrep_normalization,
            path_normalization,
            gradient_normalization,
        )
        reached = {item.i_out for item in self.instructions if item.num_elements}
        self.output_mask = path_weights.output_mask(self.irreps_out, reached)

    @property
    def num_weights(self) -> int:
        """Number of all weights."""
        return path_weights.count(self._shapes)

    def split_weights(self, weights: ArrayLike) -> list[Array]:
        """Cuts all weights, ``[..., num_weights]``, into arrays ``[..., *path_shape]``.

        Raises:
          ValueError: The last axis has not length ``num_weights``.
        """
        return path_weights.split_weights(weights, self._shapes, self)

    @also_named(weights="ws", input1="x", input2="y")
    def left_right(
        self,
        ws: Weights,
        x: IrrepsArray,
        y: IrrepsArray,
        *,
        fused: bool | None = None,
        sparse: bool | None = None,
        custom_einsum_jvp: bool | None = None,
    ) -> IrrepsArray:
        """The product of two factors; batch axes are for ``jax.vmap``, or are broadcast.

        Args:
          ws: One array ``[..., *path_shape]`` per path that has weights, or all in one vector.
          x: First factor.
          y: Second factor.
          fused: Not used: there is one implementation. Programs written for e3nn-jax may give it.
          sparse: Likewise.
          custom_einsum_jvp: Likewise.

        Raises:
          ValueError: The irreps of a factor or the shapes of the weights are others.
        """
        arrays = path_weights.as_arrays(ws, self._shapes, self)
        x, y = self._factor(x, self.irreps_in1), self._factor(y, self.irreps_in2)
        leads = [w.shape[: w.ndim - len(s)] for w, s in zip(arrays, self._shapes, strict=True)]
        lead = jnp.broadcast_shapes(x.shape[:-1], y.shape[:-1], *leads)
        first, second, weights = x.chunks, y.chunks, iter(arrays)
        chunks: list[Array | None] = [None] * len(self.irreps_out)
        for item in self.instructions:
            w = next(weights) if item.has_weight else None
            a, b, before = first[item.i_in1], second[item.i_in2], chunks[item.i_out]
            if a is not None and b is not None:  # zeros, known as such, give zeros
                z = self._path(item, w, a, b, lead)
                chunks[item.i_out] = z if before is None else before + z
        dtype = jnp.promote_types(x.dtype, y.dtype)
        return IrrepsArray.from_chunks(self.irreps_out, chunks, lead, dtype)

    @also_named(weights="ws", input2="y")
    def right(
        self, ws: Weights, y: IrrepsArray, *, custom_einsum_jvp: bool | None = None
    ) -> Float[Array, "dim_in1 dim_out"]:
        """The matrix M(y) of x ↦ x M(y), for weights and a second factor without batch axes.

        ``custom_einsum_jvp`` is not used, as in ``left_right``.
        """
        basis = IrrepsArray(self.irreps_in1, jnp.eye(self.irreps_in1.dim, dtype=y.dtype))
        return self.left_right(ws, basis, y).array

    def __repr__(self) -> str:
        names = (i.simplify() for i in (self.irreps_in1, self.irreps_in2, self.irreps_out))
        paths = path_weights.count([item.path_shape for item in self.instructions])
        return "{}({} x {} -> {} | {} paths | {} weights)".format(
            "FunctionalTensorProduct", *names, paths, self.num_weights
        )

    @property
    def _shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the weights, for the paths that have some."""
        return [item.path_shape for item in self.instructions if item.has_weight]

    def _factor(self, x: IrrepsArray, irreps: Irreps) -> IrrepsArray:
        if x.irreps.simplify() != irreps.simplify():
            raise ValueError(f"{self}: expected irreps {irreps}, received {x.irreps}")
        return x if x.irreps == irreps else x.rechunk(irreps)

    def _path(
        self, item: Instruction, w: Array | None, a: Array, b: Array, lead: tuple[int, ...]
    ) -> Array:
        """One path: ``[*lead, mul, 2l+1]``."""
        mode = MODES[item.connection_mode]
        ir1, ir2 = self.irreps_in1[item.i_in1].ir, self.irreps_in2[item.i_in2].ir
        mul, ir = self.irreps_out[item.i_out]
        if mode.pairs:
            u, v = np.triu_indices(a.shape[-2], 1)
            a, b = a[..., u, :], b[..., v, :]
        table = clebsch_gordan(ir1.l, ir2.l, ir.l) * item.path_weight
        table = jnp.asarray(table, jnp.promote_types(a.dtype, b.dtype))
        letters = [f"...{mode.weights}"] if w is not None else []
        letters += ["...ui", f"...{mode.second}j", "ijk"]
        operands = [a, b, table] if w is None else [w, a, b, table]
        equation = f"{','.join(letters)}->...{mode.out}k"
        z = jnp.einsum(equation, *operands, precision="highest")
        z = z.reshape(*z.shape[: z.ndim - len(mode.out) - 1], mul, ir.dim)
        return jnp.broadcast_to(z, (*lead, mul, ir.dim))


class FunctionalFullyConnectedTensorProduct(FunctionalTensorProduct):
    """Every path that the selection rules allow, all copies with all (mode ``uvw``), with weights.

    The paths come in the order (entry of the first factor, of the second, of the output).
    """

    def __init__(
        self,
        irreps_in1: IrrepsLike,
        irreps_in2: IrrepsLike,
        irreps_out: IrrepsLike,
        in1_var: Sequence[float] | None = None,
        in2_var: Sequence[float] | None = None,
        out_var: Sequence[float] | None = None,
        irrep_normalization: str | None = None,
        path_normalization: Normalization = "element",
        gradient_normalization: Normalization = "path",
    ) -> None:
        """Lists the paths and their factors; for arguments see ``FunctionalTensorProduct``."""
        instructions = [
            (i, j, k, "uvw", True)
            for i, first in enumerate(Irreps(irreps_in1))
            for j, second in enumerate(Irreps(irreps_in2))
            for k, out in enumerate(Irreps(irreps_out))
            if out.ir in list(first.ir * second.ir) and first.mul * second.mul * out.mul
        ]
        super().__init__(
            irreps_in1,
            irreps_in2,
            irreps_out,
            instructions,
            in1_var,
            in2_var,
            out_var,
            irrep_normalization,
            path_normalization,
            gradient_normalization,
        )
