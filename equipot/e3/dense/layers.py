"""Layers that act on channels alone: ``Dense`` mixes them, ``Embed`` makes them of integers."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from equipot.e3.dense import features as dense_features
from equipot.typing import Array, Float

Initializer: TypeAlias = Callable[..., Array]


class Dense(nn.Module):
    """Linear map of the channels, one matrix for each degree and parity: y = x W, plus b on 0+.

    For degree 0 without pseudotensors it equals ``flax.linen.Dense`` bit for bit. Parameters are
    those of one ``flax.linen.Dense`` for each irrep, named ``0+``, ``1-``, ``2+`` … where features
    have no pseudotensors, ``0+``, ``0-``, ``1+``, ``1-`` … where they have; only ``0+`` has a bias.

    Attributes:
      features: Number of output channels.
      use_bias: Whether even scalars get a bias.
      dtype: Of the computation; that of inputs and parameters by default.
      param_dtype: Of the parameters; that of the inputs by default.
      precision: Of the matrix products.
      kernel_init: Initialiser of the matrices.
      bias_init: Initialiser of the bias.
    """

    features: int
    use_bias: bool = True
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike | None = None
    precision: Any = "highest"
    kernel_init: Initializer = nn.initializers.lecun_normal()
    bias_init: Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, inputs: Float[Array, "..."]) -> Float[Array, "..."]:
        """Applies the map to features ``[..., P, (L+1)², F]``.

        Raises:
          ValueError: The inputs are no features.
        """
        num_parity, max_degree, _ = dense_features.layout(inputs)
        rows = []
        for p in range(num_parity):
            blocks = []
            for l in range(max_degree + 1):
                sign = "+-"[p if num_parity == 2 else l % 2]
                layer = nn.Dense(
                    self.features,
                    use_bias=self.use_bias and l == 0 and sign == "+",
                    dtype=self.dtype,
                    param_dtype=self.param_dtype or inputs.dtype,
                    precision=self.precision,
                    kernel_init=self.kernel_init,
                    bias_init=self.bias_init,
                    name=f"{l}{sign}",
                )
                blocks.append(layer(inputs[..., p, dense_features.degree_slice(l), :]))
            rows.append(jnp.concatenate(blocks, axis=-2))
        return jnp.stack(rows, axis=-3)


class Embed(nn.Module):
    """Learned scalar features of integers 0 … n-1: ``[...]`` to ``[..., 1, 1, F]``.

    Attributes:
      num_embeddings: Number n of integers.
      features: Number of channels F.
      dtype: Of the result; that of the parameters by default.
      param_dtype: Of the parameters.
      embedding_init: Initialiser of the table ``embedding`` of shape (n, 1, 1, F).
    """

    num_embeddings: int
    features: int
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    embedding_init: Initializer = nn.initializers.variance_scaling(
        1.0, "fan_in", "normal", out_axis=0
    )

    @nn.compact
    def __call__(self, inputs: Array) -> Float[Array, "..."]:
        """Looks the integers up; NaN for n and beyond, negative ones count from the end.

        Raises:
          ValueError: The inputs are no integers.
        """
        if not jnp.issubdtype(inputs.dtype, jnp.integer):
            raise ValueError(f"Embed: expected integers, received {inputs.dtype}")
        table = self.param(
            "embedding",
            self.embedding_init,
            (self.num_embeddings, 1, 1, self.features),
            self.param_dtype,
        )
        table = table if self.dtype is None else table.astype(self.dtype)
        return jnp.take(table, inputs, axis=0)
