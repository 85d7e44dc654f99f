"""The equivariant linear map of an ``IrrepsArray``: one matrix for each irrep (Schur's lemma)."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from equipot.e3.arrays import operations
from equipot.e3.arrays.irreps import Irreps, IrrepsLike
from equipot.e3.arrays.irreps_array import IrrepsArray
from equipot.e3.products.functional_linear import FunctionalLinear, LinearInstruction
from equipot.e3.products.path_weights import Normalization
from equipot.typing import Array

Initializer = Callable[..., Array]


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
      instructions: Pairs (i, j) that have a weight; by default all of equal irreps. They count the
        entries as they come, so they need ``simplify_irreps_internally=False``.
      num_indexed_weights: Number of integers that choose among weights.
      weights_per_channel: Whether each place along the axis before the irreps has weights of its
        own; parameters get that axis first (after those of a choice). Choices lack it.
      force_irreps_out: Whether the output has the irreps ``irreps_out`` to the letter: also those
        that the input lacks, equal neighbors unmerged, empty ones kept.
      simplify_irreps_internally: Whether equal irreps of input and output share one matrix.
      precision: Precision of the matrix products.
    """

    irreps_out: IrrepsLike
    irreps_in: IrrepsLike | None = None
    channel_out: int | None = None
    biases: bool = False
    path_normalization: Normalization = "element"
    gradient_normalization: Normalization = "path"
    parameter_initializer: Callable[[], Initializer] | None = None
    instructions: Sequence[tuple[int, int]] | None = None
    num_indexed_weights: int | None = None
    weights_per_channel: bool = False
    force_irreps_out: bool = False
    simplify_irreps_internally: bool = True
    precision: str | None = "highest"

    @nn.compact
    def __call__(self, *inputs: IrrepsArray | Array) -> IrrepsArray:
        """Applies the map to the last of the inputs, with the weights that the first chooses.

        Raises:
          ValueError: The irreps of the input are not ``irreps_in``, the choice of weights does not
            fit ``num_indexed_weights``, the axis of channels is missing, or options exclude one
            another.
        """
        *choice, x = inputs
        x = operations.as_irreps_array(x).floating()
        if self.irreps_in is not None and Irreps(self.irreps_in).regroup() != x.irreps.regroup():
            raise ValueError(f"Linear: expected irreps {self.irreps_in}, received {x.irreps}")
        choose = self._chooser(choice, self._channels(x))
        if self.channel_out is not None:
            x = x.axis_to_mul()
        y = self._map(x, Irreps(self.irreps_out) * (self.channel_out or 1), choose)
        y = y if self.channel_out is None else y.mul_to_axis(self.channel_out)
        return y.rechunk(self.irreps_out) if self.force_irreps_out else y

    def _map(self, x: IrrepsArray, out: Irreps, choose: "_Chooser") -> IrrepsArray:
        instructions = self._instructions()
        x = x.remove_zero_chunks() if instructions is None else x
        if self.simplify_irreps_internally:
            x, out = x.regroup(), out.simplify()
        if not self.force_irreps_out and instructions is None:
            out = out.filter(keep=x.irreps)
        linear = FunctionalLinear(
            x.irreps,
            out,
            instructions,
            self.biases,
            self.path_normalization,
            self.gradient_normalization,
            self.precision,
        )
        ws = [
            choose.param(self, _name(item, linear), self._initializer(item), item.path_shape, x)
            for item in linear.instructions
        ]
        y = linear(ws, x)
        if not self.force_irreps_out:  # instructions counted the entries before
            y = y.filter(keep=x.irreps)
        lead = jnp.broadcast_shapes(y.shape[:-1], choose.lead)
        return y.broadcast_to((*lead, -1))

    def _instructions(self) -> list[tuple[int, int]] | None:
        if self.instructions is None:
            return None
        if self.simplify_irreps_internally:
            raise ValueError(
                "Linear: expected simplify_irreps_internally=False with instructions, because they "
                f"count entries, and simplifying merges these; received {self.instructions}"
            )
        return sorted(set(self.instructions))

    def _initializer(self, item: LinearInstruction) -> Initializer:
        if item.i_in < 0:
            return nn.initializers.zeros
        make = self.parameter_initializer
        return _scaled(nn.initializers.normal(1.0) if make is None else make(), item.weight_std)

    def _channels(self, x: IrrepsArray) -> tuple[int, ...]:
        """Shape of the axis along which parameters differ: empty if there is none."""
        if not self.weights_per_channel and self.channel_out is None:
            return ()
        if x.ndim < 2:
            raise ValueError(
                "Linear: expected an axis of channels before the irreps, received an array of "
                f"shape {x.shape}"
            )
        if self.weights_per_channel and self.channel_out is not None:
            raise ValueError(
                "Linear: expected weights_per_channel or channel_out, received both: the one keeps "
                "channels apart, the other mixes them"
            )
        return (x.shape[-2],) if self.weights_per_channel else ()

    def _chooser(self, choice: Sequence[Any], channels: tuple[int, ...]) -> "_Chooser":
        if len(choice) > 1:
            raise ValueError(f"Linear: expected weights and an input, received {len(choice) + 1}")
        weights = jnp.asarray(choice[0]) if choice else None
        indexed = weights is not None and jnp.issubdtype(weights.dtype, jnp.integer)
        if indexed != (self.num_indexed_weights is not None):
            raise ValueError(
                "Linear: expected integers that choose weights if and only if num_indexed_weights "
                f"is set, received {choice} for num_indexed_weights={self.num_indexed_weights}"
            )
        return _Chooser(weights, self.num_indexed_weights, channels)


class _Chooser(NamedTuple):
    """How parameters are made and combined: as they are, by an integer, or as a weighted sum."""

    weights: Array | None
    num_indexed: int | None
    channels: tuple[int, ...]

    @property
    def lead(self) -> tuple[int, ...]:
        """Batch axes of the weights."""
        if self.weights is None:
            return ()
        chosen = self.weights.shape if self.num_indexed else self.weights.shape[:-1]
        return (*chosen, *self.channels)

    def param(
        self,
        module: nn.Module,
        name: str,
        initializer: Initializer,
        shape: tuple[int, ...],
        like: IrrepsArray,
    ) -> Array:
        """A parameter for each place: ``[*lead, *shape]``, in the data type of ``like``."""
        shape, dtype = (*self.channels, *shape), like.dtype
        if self.weights is None:
            return module.param(name, initializer, shape, dtype)
        if self.num_indexed:
            table = module.param(name, initializer, (self.num_indexed, *shape), dtype)
            return table[self.weights]
        number = self.weights.shape[-1]
        table = module.param(name, initializer, (number, *shape), dtype)
        weights = self.weights.astype(table.dtype) * (1.0 / math.sqrt(number))
        return jnp.tensordot(weights, table, axes=1, precision="highest")


def _name(item: LinearInstruction, linear: FunctionalLinear) -> str:
    out = linear.irreps_out[item.i_out]
    if item.i_in < 0:
        return f"b[{item.i_out}] {out}"
    return f"w[{item.i_in},{item.i_out}] {linear.irreps_in[item.i_in]},{out}"


def _scaled(initializer: Initializer, factor: float) -> Initializer:
    if factor == 1.0:
        return initializer

    def scaled(key: Array, shape: Sequence[int], dtype: DTypeLike) -> Array:
        return initializer(key, shape, dtype) * factor

    return scaled
