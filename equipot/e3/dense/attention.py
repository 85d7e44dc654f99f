"""Attention: messages weighted by how well queries and keys agree.

aᵢⱼ = softmaxⱼ(Σ e[ij] q[i] k[j] / √(P (L+1)² F/H)) over the neighbors j of i, for each of H heads;
the sum runs over parities, components and the channels of the head. It is a scalar, because e, the
relative positional encoding, is one number for each parity, degree and channel: a linear function
of the scalar basis functions.
"""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from equipot.e3.dense import features, indexed, indices
from equipot.e3.dense.layers import Dense, Initializer
from equipot.e3.dense.message_pass import Convolution, check_entries
from equipot.typing import Array, Float


class Attention(Convolution):
    """What both kinds of attention share: their options, and what is computed.

    The output is permuted with its inputs, turns with them, and is smooth where a neighbor
    leaves through a smooth cutoff, unless it is the last one (see ``indexed_softmax``).

    Attributes:
      num_heads: Number of heads H, which divides the channels of queries.
      qkv_features: Channels of queries, keys and values; those of the queries' input by default.
      out_features: Channels of the output; those of the queries' input by default.
      use_relative_positional_encoding_qk: Whether queries and keys are compared with weights that
        depend on the basis.
      use_relative_positional_encoding_v: Whether values are multiplied by filters made of the
        basis, as in ``MessagePass``. If not, the options of messages have no effect.
      query_kernel_init: Initialiser of the matrices of queries.
      query_bias_init: Initialiser of the bias of queries.
      query_use_bias: Whether queries have a bias.
      key_kernel_init: Initialiser of the matrices of keys.
      key_bias_init: Initialiser of the bias of keys.
      key_use_bias: Whether keys have a bias.
      value_kernel_init: Initialiser of the matrices of values.
      value_bias_init: Initialiser of the bias of values.
      value_use_bias: Whether values have a bias.
      output_kernel_init: Initialiser of the matrices of the output.
      output_bias_init: Initialiser of the bias of the output.
      output_use_bias: Whether the output has a bias.
    """

    num_heads: int = 1
    qkv_features: int | None = None
    out_features: int | None = None
    use_relative_positional_encoding_qk: bool = True
    use_relative_positional_encoding_v: bool = True
    query_kernel_init: Initializer = nn.initializers.lecun_normal()
    query_bias_init: Initializer = nn.initializers.zeros
    query_use_bias: bool = False
    key_kernel_init: Initializer = nn.initializers.lecun_normal()
    key_bias_init: Initializer = nn.initializers.zeros
    key_use_bias: bool = False
    value_kernel_init: Initializer = nn.initializers.lecun_normal()
    value_bias_init: Initializer = nn.initializers.zeros
    value_use_bias: bool = False
    output_kernel_init: Initializer = nn.initializers.lecun_normal()
    output_bias_init: Initializer = nn.initializers.zeros
    output_use_bias: bool = True

    def _attend(
        self,
        inputs_q: Array,
        inputs_kv: Array,
        basis: Array | None,
        cutoff_value: Array | None,
        index: dict[str, Any],
    ) -> Float[Array, "..."]:
        num_features = self._check(inputs_q, inputs_kv, basis)
        neighbors = indices.Neighbors(**index)
        neighbors = neighbors.completed(inputs_q.shape[-4], inputs_kv.shape[-4])
        values = self._dense("value", num_features)(inputs_kv)
        values = indices.gather_src(values, **neighbors._asdict())
        if basis is not None:
            check_entries(basis, values)
        logits = self._logits(inputs_q, inputs_kv, basis, num_features, neighbors)
        mask = _mask(cutoff_value, logits, inputs_kv.shape[-4], neighbors)
        weights = indexed.indexed_softmax(logits, mask, **neighbors._asdict())
        weights = jnp.repeat(weights, num_features // self.num_heads, axis=-1)
        values = values * weights[..., None, None, :]
        if basis is not None and self.use_relative_positional_encoding_v:
            result = self._convolve(values, basis, neighbors)
        else:
            result = indexed.indexed_sum(values, **neighbors._asdict())
        out_features = self.out_features or inputs_q.shape[-1]
        return self._dense("output", out_features, name="out")(result)

    def _logits(
        self,
        inputs_q: Array,
        inputs_kv: Array,
        basis: Array | None,
        num_features: int,
        neighbors: indices.Neighbors,
    ) -> Float[Array, "... heads"]:
        """How well queries and keys agree, for each entry of the list and each head."""
        layouts = [features.layout(x) for x in (inputs_q, inputs_kv)]
        parities = min(item.num_parity for item in layouts)
        degree = min(item.max_degree for item in layouts)
        query, key = (
            self._dense(name, num_features)(
                features.change_max_degree_or_type(x, degree, parities == 2)
            )
            for name, x in (("query", inputs_q), ("key", inputs_kv))
        )
        query = indices.gather_dst(query, **neighbors._asdict())
        product = query * indices.gather_src(key, **neighbors._asdict())
        if basis is not None and self.use_relative_positional_encoding_qk:
            encoding = nn.Dense(
                parities * (degree + 1) * num_features,
                use_bias=self.use_basis_bias,
                kernel_init=self.dense_kernel_init,
                bias_init=self.dense_bias_init,
                name="relative_positional_encoding",
                dtype=self.dtype,
                param_dtype=self.param_dtype or basis.dtype,
                precision=self.precision,
            )(basis[..., 0, 0, :])
            encoding = encoding.reshape(*basis.shape[:-3], parities, degree + 1, num_features)
            degrees = np.repeat(np.arange(degree + 1), 2 * np.arange(degree + 1) + 1)
            product = product * encoding[..., degrees, :]
        # Channel c belongs to head c mod H.
        product = product.reshape(*product.shape[:-1], -1, self.num_heads)
        scale = 1.0 / math.sqrt(math.prod(product.shape[-4:-1]))
        return scale * jnp.sum(product, axis=(-4, -3, -2))

    def _dense(self, role: str, num_features: int, name: str | None = None) -> Dense:
        """The linear map to queries, keys, values or the output, with the options of that."""
        return Dense(
            num_features,
            use_bias=getattr(self, f"{role}_use_bias"),
            kernel_init=getattr(self, f"{role}_kernel_init"),
            bias_init=getattr(self, f"{role}_bias_init"),
            name=name or role,
            **self._numerics(),
        )

    def _check(self, inputs_q: Array, inputs_kv: Array, basis: Array | None) -> int:
        """The number of channels of queries, keys and values."""
        for name, x in (("inputs_q", inputs_q), ("inputs_kv", inputs_kv)):
            features.layout(x, name)
            if x.ndim < 4 or x.shape[:-4] != inputs_q.shape[:-4]:
                raise ValueError(
                    f"expected {name} of shape (..., n, P, (L+1)**2, F) with the leading axes of "
                    f"inputs_q, received {x.shape} and {inputs_q.shape}"
                )
        if basis is None and (
            self.use_relative_positional_encoding_qk or self.use_relative_positional_encoding_v
        ):
            raise ValueError("expected a basis for relative positional encodings, received None")
        num_features = self.qkv_features or inputs_q.shape[-1]
        if self.num_heads < 1 or num_features % self.num_heads:
            raise ValueError(
                f"expected a number of heads that divides the {num_features} channels of queries, "
                f"received {self.num_heads}"
            )
        return num_features


class MultiHeadAttention(Attention):
    """Attention of one set of features to another, with ``num_heads`` heads.

    Parameters: ``query``, ``key``, ``value`` and ``out`` are each a ``Dense``;
    ``relative_positional_encoding``, ``filter`` and ``tensor`` belong to the encodings.
    """

    @nn.compact
    def __call__(
        self,
        inputs_q: Float[Array, "..."],
        inputs_kv: Float[Array, "..."],
        basis: Float[Array, "..."] | None = None,
        cutoff_value: Float[Array, "..."] | None = None,
        **index: Any,
    ) -> Float[Array, "..."]:
        """Attends from ``inputs_q`` to ``inputs_kv``.

        Args:
          inputs_q: Features of the destinations, ``[..., n, P, (L+1)², F]``. Queries and keys are
            compared in the degrees and parities that both inputs have.
          inputs_kv: Features of the sources, of any degree, type and number of channels.
          basis: Basis functions for each entry of the list, for relative positional encodings.
          cutoff_value: Multiplies the exponentials of the softmax before they are normalised; one
            number for each entry of the list.
          **index: The list, as for ``indexed_sum``; ``where`` and ``num_segments`` are found from
            the inputs if they are missing.

        Raises:
          ValueError: Inputs, basis, cutoff and list do not fit one another, there is no basis but
            an encoding that needs one, or the heads do not divide the channels.
        """
        return self._attend(inputs_q, inputs_kv, basis, cutoff_value, index)


class SelfAttention(Attention):
    """Attention of features to themselves, with ``num_heads`` heads.

    Parameters are those of ``MultiHeadAttention``.
    """

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, "..."],
        basis: Float[Array, "..."] | None = None,
        cutoff_value: Float[Array, "..."] | None = None,
        **index: Any,
    ) -> Float[Array, "..."]:
        """Attends to the neighbors; arguments as ``MultiHeadAttention``.

        Raises:
          ValueError: See there.
        """
        return self._attend(inputs, inputs, basis, cutoff_value, index)


def _mask(
    cutoff_value: Array | None, logits: Array, num_src: int, neighbors: indices.Neighbors
) -> Array | None:
    """The cutoff, and zero where the source of a sparse list is padding."""
    if cutoff_value is not None and cutoff_value.shape != logits.shape[:-1]:
        raise ValueError(
            f"expected a cutoff_value for each entry of the list, {logits.shape[:-1]}, received "
            f"{cutoff_value.shape}"
        )
    if neighbors.src_idx is None:
        return cutoff_value
    real = (neighbors.src_idx >= 0) & (neighbors.src_idx < num_src)
    if cutoff_value is None:
        return real.astype(logits.dtype)
    return jnp.where(real, cutoff_value, 0.0)
