"""The equivariant linear map of an ``IrrepsArray``: one matrix for each irrep (Schur's lemma)."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from equipot.e3 import operations
from equipot.e3.irreps import Irreps, IrrepsLike
from equipot.e3.irreps_array import IrrepsArray
from equipot.typing import Array

Initializer = Callable[..., Array]


class Path(NamedTuple):
    """One weight matrix: from entry ``i`` of the input to entry ``j`` of the output."""

    i: int
    j: int
    name: str
    shape: tuple[int, int]
    variance: float


class Linear(nn.Module):
    """Mixes the copies of each irrep: y[j] = Σᵢ x[i] W[i, j] / √(Σᵢ mulᵢ), plus a bias on 0e.

    Called as ``linear(x)``; as ``linear(species, x)`` with ``num_indexed_weights``, where each
    place has the weights that its integer chooses; or as ``linear(w, x)`` with numbers
    ``w[..., d]``, for weights Σ_d w_d W_d / √d. Parameters are named ``w[i,j] 5x0e,1x0e``, of shape
    (mul_in, mul_out), and ``b[j] 4x0e``: i counts entries of the regrouped input, j of the output.

    Attributes:
      irreps_out: Irreps of the output, in the order they are given; those that the input lacks are
        left out, unless ``force_irreps_out`` fills them with zeros.
      irreps_in: Irreps that the input must have; any by default.
      channel_out: Length of the axis before the irreps in the output; that axis of the input is
        mixed as multiplicity. None: there is no such axis.
      biases: Whether 0e entries have a bias, zero at first.
      path_normalization: ``element``: the factor of the sum over copies is as above. ``path``: each
        path into an entry has the same share, whatever its number of copies.
      gradient_normalization: ``path``: that factor stands in the forward pass, weights are N(0, 1).
        ``element``: it stands in the standard deviation of the initial weights.
      parameter_initializer: Makes the initialiser of weights, before any factor; N(0, 1) if None.
      instructions: Pairs (i, j) that have a weight; by default all of equal irreps.
      num_indexed_weights: Number of integers that choose among weights.
      force_irreps_out: Whether the output has every irrep of ``irreps_out``.
      simplify_irreps_internally: Whether equal irreps of input and output share one matrix.
      precision: Precision of the matrix products.
    """

    irreps_out: IrrepsLike
    irreps_in: IrrepsLike | None = None
    channel_out: int | None = None
    biases: bool = False
    path_normalization: Literal["element", "path"] = "element"
    gradient_normalization: Literal["element", "path"] = "path"
    parameter_initializer: Callable[[], Initializer] | None = None
    instructions: Sequence[tuple[int, int]] | None = None
    num_indexed_weights: int | None = None
    force_irreps_out: bool = False
    simplify_irreps_internally: bool = True
    precision: str | None = "highest"

    @nn.compact
    def __call__(self, *inputs: IrrepsArray | Array) -> IrrepsArray:
        """Applies the map to the last of the inputs, with the weights that the first chooses.

        Raises:
          ValueError: The irreps of the input are not ``irreps_in``, or the choice of weights does
            not fit ``num_indexed_weights``.
        """
        *choice, x = inputs
        x = operations.as_irreps_array(x)
        if self.irreps_in is not None and Irreps(self.irreps_in).regroup() != x.irreps.regroup():
            raise ValueError(f"Linear: expected irreps {self.irreps_in}, received {x.irreps}")
        choose = self._chooser(choice)
        if self.channel_out is not None:
            x = x.axis_to_mul()
        irreps_out = Irreps(self.irreps_out) * (self.channel_out or 1)
        y = self._map(x, irreps_out, choose)
        return y if self.channel_out is None else y.mul_to_axis(self.channel_out)

    def _map(self, x: IrrepsArray, irreps_out: Irreps, choose: "_Chooser") -> IrrepsArray:
        x = x.remove_zero_chunks()
        x = x.regroup() if self.simplify_irreps_internally else x
        out = irreps_out.simplify() if self.simplify_irreps_internally else irreps_out
        out = out if self.force_irreps_out else out.filter(keep=x.irreps)
        chunks: list[Array | None] = [None] * len(out)
        for path in self._paths(x.irreps, out):
            chunk, before = x.chunks[path.i], chunks[path.j]
            if chunk is not None:  # zero chunks are gone
                y = self._product(chunk, path, choose)
                chunks[path.j] = y if before is None else before + y
        lead = jnp.broadcast_shapes(x.shape[:-1], choose.lead)
        for j, (mul, ir) in enumerate(out):
            if self.biases and ir.is_scalar():
                b = choose.param(self, f"b[{j}] {mul}x{ir}", nn.initializers.zeros, (mul,), x.dtype)
                b = jnp.broadcast_to(b[..., None], (*lead, mul, 1))
                before = chunks[j]
                chunks[j] = b if before is None else before + b
        return IrrepsArray.from_chunks(out, chunks, lead, x.dtype).rechunk(out)

    def _product(self, chunk: Array, path: Path, choose: "_Chooser") -> Array:
        in_forward = self.gradient_normalization == "path"
        deviation = 1.0 if in_forward else math.sqrt(path.variance)
        initializer = (self.parameter_initializer or _standard_normal)()
        w = choose.param(self, path.name, _scaled(initializer, deviation), path.shape, chunk.dtype)
        w = w * math.sqrt(path.variance) if in_forward else w
        return jnp.einsum("...ui,...uv->...vi", chunk, w, precision=self.precision)

    def _paths(self, irreps_in: Irreps, irreps_out: Irreps) -> list[Path]:
        pairs = [(i, j) for i in range(len(irreps_in)) for j in range(len(irreps_out))]
        pairs = [
            (i, j)
            for i, j in pairs
            if irreps_in[i].ir == irreps_out[j].ir
            and irreps_in[i].dim * irreps_out[j].dim > 0
            and (self.instructions is None or (i, j) in self.instructions)
        ]
        paths = []
        for i, j in pairs:
            sources = [irreps_in[k].mul for k, target in pairs if target == j]
            terms = len(sources) * irreps_in[i].mul
            terms = sum(sources) if self.path_normalization == "element" else terms
            name = f"w[{i},{j}] {irreps_in[i]},{irreps_out[j]}"
            paths.append(Path(i, j, name, (irreps_in[i].mul, irreps_out[j].mul), 1.0 / terms))
        return paths

    def _chooser(self, choice: Sequence[Any]) -> "_Chooser":
        if len(choice) > 1:
            raise ValueError(f"Linear: expected weights and an input, received {len(choice) + 1}")
        weights = jnp.asarray(choice[0]) if choice else None
        indexed = weights is not None and jnp.issubdtype(weights.dtype, jnp.integer)
        if indexed != (self.num_indexed_weights is not None):
            raise ValueError(
                "Linear: expected integers that choose weights if and only if num_indexed_weights "
                f"is set, received {choice} for num_indexed_weights={self.num_indexed_weights}"
            )
        return _Chooser(weights, self.num_indexed_weights)


class _Chooser(NamedTuple):
    """How parameters are made and combined: as they are, by an integer, or as a weighted sum."""

    weights: Array | None
    num_indexed: int | None

    @property
    def lead(self) -> tuple[int, ...]:
        """Batch axes of the weights."""
        if self.weights is None:
            return ()
        return self.weights.shape if self.num_indexed else self.weights.shape[:-1]

    def param(
        self,
        module: nn.Module,
        name: str,
        initializer: Initializer,
        shape: tuple[int, ...],
        dtype: DTypeLike,
    ) -> Array:
        """A parameter for each place: ``[*lead, *shape]``."""
        if self.weights is None:
            return module.param(name, initializer, shape, dtype)
        if self.num_indexed:
            table = module.param(name, initializer, (self.num_indexed, *shape), dtype)
            return table[self.weights]
        number = self.weights.shape[-1]
        table = module.param(name, initializer, (number, *shape), dtype)
        weights = self.weights.astype(table.dtype) * (1.0 / math.sqrt(number))
        return jnp.tensordot(weights, table, axes=1, precision="highest")


def _standard_normal() -> Initializer:
    return jax.nn.initializers.normal(stddev=1.0)


def _scaled(initializer: Initializer, factor: float) -> Initializer:
    if factor == 1.0:
        return initializer

    def scaled(key: Array, shape: Sequence[int], dtype: DTypeLike) -> Array:
        return initializer(key, shape, dtype) * factor

    return scaled
