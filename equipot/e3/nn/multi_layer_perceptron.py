"""An ordinary perceptron on scalars, normalised so that every layer keeps the variance."""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import jax.numpy as jnp
from flax import linen as nn

from equipot.e3.arrays import operations
from equipot.e3.arrays.irreps_array import IrrepsArray
from equipot.e3.functions import activations
from equipot.e3.products import path_weights
from equipot.typing import Array, Float

T = TypeVar("T", IrrepsArray, Array)
Activation = Callable[[Array], Array]


class MultiLayerPerceptron(nn.Module):
    """Layers y = φ((x W + b)/√n), n inputs each, with φ scaled to unit second moment.

    Parameters are named ``Dense_i``, each with ``kernel`` and perhaps ``bias``. Without biases and
    with activations that vanish at zero, zero stays zero.

    Attributes:
      list_neurons: Number of outputs of each layer.
      act: Activation after every layer but the last; None for none.
      gradient_normalization: ``path``: 1/√n stands in the forward pass and weights are N(0, 1), so
        layers learn alike whatever their width. ``element``: it stands in the standard deviation of
        the initial weights.
      output_activation: Activation after the last layer; True: that of the others, False: none.
      with_bias: Whether there are biases b, zero at first.
    """

    list_neurons: Sequence[int]
    act: Activation | None = None
    gradient_normalization: path_weights.Normalization = "path"
    output_activation: Activation | bool = True
    with_bias: bool = False

    @nn.compact
    def __call__(self, x: T) -> T:
        """Applies the layers along the last axis; even scalars of an ``IrrepsArray`` give such.

        Raises:
          ValueError: The input has irreps other than 0e.
        """
        scalars = operations.as_irreps_array(x).floating()
        if not scalars.irreps.is_scalar():
            raise ValueError(
                f"MultiLayerPerceptron: expected even scalars (0e), received {scalars.irreps}: "
                "mix other irreps by Linear, activate them by gate"
            )
        y = self._layers(scalars.array)
        if isinstance(x, IrrepsArray):
            return operations.as_irreps_array(y)
        return y

    def _layers(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        for i, width in enumerate(self.list_neurons):
            act = self.act
            if i + 1 == len(self.list_neurons) and self.output_activation is not True:
                act = self.output_activation or None
            layer = _Dense(width, self.gradient_normalization, self.with_bias, name=f"Dense_{i}")
            x = layer(x)
            x = x if act is None else activations.normalize_function(act)(x)
        return x


class _Dense(nn.Module):
    """One layer (x W + b)/√n."""

    features: int
    gradient_normalization: path_weights.Normalization
    use_bias: bool

    @nn.compact
    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        factor = 1.0 / math.sqrt(max(x.shape[-1], 1))
        factor, deviation = path_weights.split_factor(factor, self.gradient_normalization)
        initializer = nn.initializers.normal(deviation)
        w = self.param("kernel", initializer, (x.shape[-1], self.features), x.dtype)
        y = jnp.matmul(x, w, precision="highest")
        if self.use_bias:
            b = self.param("bias", nn.initializers.zeros, (self.features,), x.dtype)
            y = y + b.reshape((1,) * (y.ndim - 1) + (-1,))
        return y * factor
