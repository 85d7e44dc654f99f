"""The equivariant linear map as a function of its weights: a matrix for each pair of equal irreps.

By Schur's lemma nothing else commutes with rotations and inversion. ``equipot.e3.nn.Linear`` is
this map with its weights as parameters.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jax.typing import ArrayLike

from equipot.e3.arrays.irreps import Irreps, IrrepsLike
from equipot.e3.arrays.irreps_array import IrrepsArray
from equipot.e3.products import path_weights
from equipot.e3.products.path_weights import Normalization, Weights
from equipot.typing import Array, Float


class LinearInstruction(NamedTuple):
    """One array of weights: a matrix from entry ``i_in`` to entry ``i_out``, or a bias.

    Attributes:
      i_in: Entry of the input; -1 for a bias.
      i_out: Entry of the output.
      path_shape: Shape of the weights: (mul_in, mul_out), or (mul_out,) for a bias.
      path_weight: Factor of the weights in the forward pass.
      weight_std: Standard deviation that initial weights should have; 0 for a bias.
    """

    i_in: int
    i_out: int
    path_shape: tuple[int, ...]
    path_weight: float
    weight_std: float


class FunctionalLinear:
    """y[j] = Σᵢ path_weight[i, j] x[i] W[i, j] + b[j], with x[i] as [mul, 2l+1].

    Attributes:
      irreps_in: Irreps of the input.
      irreps_out: Irreps of the output; entries that no weights reach are zero.
      instructions: The arrays of weights, in their order; biases come last.
      output_mask: For each component of the output, whether any weights reach it.
    """

    def __init__(
        self,
        irreps_in: IrrepsLike,
        irreps_out: IrrepsLike,
        instructions: Sequence[tuple[int, int]] | None = None,
        biases: Sequence[bool] | bool | None = None,
        path_normalization: Normalization = "element",
        gradient_normalization: Normalization = "path",
        precision: str | None = "highest",
    ) -> None:
        """Lists the paths and their factors.

        Args:
          irreps_in: Irreps of the input.
          irreps_out: Irreps of the output.
          instructions: Pairs (i_in, i_out) of entries; all that have copies of one irrep if None.
          biases: Whether 0e has biases, or one choice for each entry of the output.
          path_normalization: How paths share the variance, see ``path_weights``.
          gradient_normalization: Where the factor stands, see ``path_weights``.
          precision: Precision of the matrix products.

        Raises:
          ValueError: An instruction joins different irreps or names no entry; a bias is asked of
            another irrep than 0e; a normalisation is unknown.
        """
        self.irreps_in, self.irreps_out = Irreps(irreps_in), Irreps(irreps_out)
        self.precision = precision
        pairs = self._all_pairs() if instructions is None else list(instructions)
        self._check(pairs)
        weights = self._weights(pairs, path_normalization, gradient_normalization)
        self.instructions = (*weights, *self._biases(biases))
        reached = {item.i_out for item in self.instructions if math.prod(item.path_shape)}
        self.output_mask = path_weights.output_mask(self.irreps_out, reached)

    @property
    def num_weights(self) -> int:
        """Number of all weights and biases."""
        return path_weights.count(self._shapes)

    def split_weights(self, weights: ArrayLike) -> list[Array]:
        """Cuts all weights, ``[..., num_weights]``, into arrays ``[..., *path_shape]``.

        Raises:
          ValueError: The last axis has not length ``num_weights``.
        """
        return path_weights.split_weights(weights, self._shapes, self)

    def __call__(self, ws: Weights, x: IrrepsArray) -> IrrepsArray:
        """Applies the map; batch axes of the weights and of the input are broadcast.

        Args:
          ws: One array ``[..., *path_shape]`` per instruction, or one vector of all.
          x: The input.

        Raises:
          ValueError: The irreps of the input or the shapes of the weights are others.
        """
        if x.irreps.simplify() != self.irreps_in.simplify():
            raise ValueError(f"{self}: expected irreps {self.irreps_in}, received {x.irreps}")
        x = x if x.irreps == self.irreps_in else x.rechunk(self.irreps_in)
        return self._sum(path_weights.as_arrays(ws, self._shapes, self), x, self.instructions)

    def matrix(self, ws: Weights) -> Float[Array, "dim_in dim_out"]:
        """The matrix M of x ↦ x M, without biases, for weights that have no batch axes."""
        ws = path_weights.as_arrays(ws, self._shapes, self)
        dtype = jnp.result_type(*ws) if ws else jnp.result_type(float)
        basis = IrrepsArray(self.irreps_in, jnp.eye(self.irreps_in.dim, dtype=dtype))
        linear = [item for item in self.instructions if item.i_in >= 0]
        return self._sum(ws[: len(linear)], basis, linear).array

    def __repr__(self) -> str:
        return f"FunctionalLinear({self.irreps_in} -> {self.irreps_out})"

    @property
    def _shapes(self) -> list[tuple[int, ...]]:
        return [item.path_shape for item in self.instructions]

    def _sum(
        self, ws: Sequence[Array], x: IrrepsArray, instructions: Sequence[LinearInstruction]
    ) -> IrrepsArray:
        """Sums the terms of some instructions."""
        terms = list(zip(ws, instructions, strict=True))
        leads = [w.shape[: w.ndim - len(item.path_shape)] for w, item in terms]
        lead = jnp.broadcast_shapes(x.shape[:-1], *leads)
        sources = x.chunks
        chunks: list[Array | None] = [None] * len(self.irreps_out)
        for w, item in terms:
            if item.i_in < 0:
                y = w[..., None]
            elif (source := sources[item.i_in]) is None:
                continue  # zeros, known as such
            else:
                w = w * item.path_weight
                y = jnp.einsum("...ui,...uv->...vi", source, w, precision=self.precision)
            out, before = self.irreps_out[item.i_out], chunks[item.i_out]
            y = jnp.broadcast_to(y, (*lead, out.mul, out.ir.dim))
            chunks[item.i_out] = y if before is None else before + y
        return IrrepsArray.from_chunks(self.irreps_out, chunks, lead, x.dtype)

    def _all_pairs(self) -> list[tuple[int, int]]:
        return [
            (i, j)
            for i, source in enumerate(self.irreps_in)
            for j, target in enumerate(self.irreps_out)
            if source.ir == target.ir and source.mul and target.mul
        ]

    def _check(self, pairs: Sequence[tuple[int, int]]) -> None:
        for i, j in pairs:
            if not (0 <= i < len(self.irreps_in) and 0 <= j < len(self.irreps_out)):
                raise ValueError(f"{self}: expected a pair of entries, received {(i, j)}")
            if self.irreps_in[i].ir != self.irreps_out[j].ir:
                raise ValueError(
                    f"{self}: expected instructions between equal irreps, received {(i, j)} from "
                    f"{self.irreps_in[i]} to {self.irreps_out[j]}, which is not equivariant"
                )

    def _weights(
        self,
        pairs: Sequence[tuple[int, int]],
        path_normalization: Normalization,
        gradient_normalization: Normalization,
    ) -> list[LinearInstruction]:
        sizes = [self.irreps_in[i].mul for i, _ in pairs]
        shares = path_weights.variances(sizes, [j for _, j in pairs], path_normalization)
        return [
            LinearInstruction(
                i,
                j,
                (self.irreps_in[i].mul, self.irreps_out[j].mul),
                *path_weights.split_factor(math.sqrt(share), gradient_normalization),
            )
            for (i, j), share in zip(pairs, shares, strict=True)
        ]

    def _biases(self, biases: Sequence[bool] | bool | None) -> list[LinearInstruction]:
        if biases is None or isinstance(biases, bool):
            biases = [bool(biases) and item.ir.is_scalar() for item in self.irreps_out]
        if len(biases) != len(self.irreps_out):
            raise ValueError(
                f"{self}: expected {len(self.irreps_out)} biases, one choice for each entry of "
                f"the output, received {len(biases)}"
            )
        result = []
        for j, (wanted, (mul, ir)) in enumerate(zip(biases, self.irreps_out, strict=True)):
            if wanted and not ir.is_scalar():
                raise ValueError(
                    f"{self}: expected biases for 0e alone, received one for {mul}x{ir}, which is "
                    "not equivariant"
                )
            if wanted and mul:
                result.append(LinearInstruction(-1, j, (mul,), 1.0, 0.0))
        return result
