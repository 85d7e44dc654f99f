"""Messages along index lists: features of the sources times filters made of basis functions."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from equipot.e3.dense import features, indexed, indices
from equipot.e3.dense.layers import Dense, Initializer
from equipot.e3.dense.tensor import FusedTensor, Tensor
from equipot.typing import Array, Float


class Convolution(nn.Module):
    """What layers with messages share: their options, and how a message is made.

    Attributes:
      max_degree: Maximum degree of messages; the larger of inputs and basis by default.
      use_basis_bias: Whether filters have a bias, on even scalars.
      include_pseudotensors: Whether messages have them, where inputs or couplings give any.
      cartesian_order: Whether m runs l, -l, …, 1, -1, 0 instead of -l … l.
      use_fused_tensor: Whether ``FusedTensor`` couples filters and features, not ``Tensor``.
      dtype: Of the computation; that of inputs and parameters by default.
      param_dtype: Of the parameters; that of the inputs by default.
      precision: Of the matrix products.
      dense_kernel_init: Initialiser of the matrices of filters.
      dense_bias_init: Initialiser of the bias of filters.
      tensor_kernel_init: Initialiser of the weights of the tensor product; its own if None.
    """

    max_degree: int | None = None
    use_basis_bias: bool = False
    include_pseudotensors: bool = True
    cartesian_order: bool = True
    use_fused_tensor: bool = False
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike | None = None
    precision: Any = "highest"
    dense_kernel_init: Initializer = nn.initializers.lecun_normal()
    dense_bias_init: Initializer = nn.initializers.zeros
    tensor_kernel_init: Callable[..., Any] | None = None

    def _convolve(
        self, gathered: Array, basis: Array, neighbors: indices.Neighbors
    ) -> Float[Array, "..."]:
        """Sums tensor(dense(basis), gathered) over the neighbors of each destination."""
        _, basis_degree, _ = features.layout(basis, "basis")
        _, degree, num_features = features.layout(gathered)
        filters = Dense(
            num_features,
            use_bias=self.use_basis_bias,
            kernel_init=self.dense_kernel_init,
            bias_init=self.dense_bias_init,
            name="filter",
            **self._numerics(),
        )(basis)
        layer = FusedTensor if self.use_fused_tensor else Tensor
        options = self._numerics()
        if self.tensor_kernel_init is not None:
            options["kernel_init"] = self.tensor_kernel_init
        messages = layer(
            max_degree=max(degree, basis_degree) if self.max_degree is None else self.max_degree,
            include_pseudotensors=self.include_pseudotensors,
            cartesian_order=self.cartesian_order,
            name="fused_tensor" if self.use_fused_tensor else "tensor",
            **options,
        )(filters, gathered)
        return indexed.indexed_sum(messages, **neighbors._asdict())

    def _numerics(self) -> dict[str, Any]:
        return {
            "dtype": self.dtype,
            "param_dtype": self.param_dtype,
            "precision": self.precision,
        }


class MessagePass(Convolution):
    """One step of messages: m[i] = Σⱼ w[ij] tensor(dense(b[ij]), x[j]) over the neighbors j of i.

    Parameters: ``filter`` is a ``Dense`` from basis functions to the channels of x, ``tensor`` a
    ``Tensor``.
    """

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, "..."],
        basis: Float[Array, "..."],
        weights: Float[Array, "..."] | None = None,
        **index: Any,
    ) -> Float[Array, "..."]:
        """Sums the messages of the neighbors.

        Args:
          inputs: Features x of the sources, ``[..., n, P, (L+1)², F]``.
          basis: Basis functions b for each entry of the list, ``[..., n, k, 1, (L+1)², num]`` for
            a dense one, ``[..., p, 1, (L+1)², num]`` for a sparse one.
          weights: w, broadcast against the gathered features: numbers of each entry, each parity
            or each channel, but not each component.
          **index: The list, as for ``indexed_sum``; ``where`` and ``num_segments`` are found from
            the inputs if they are missing.

        Raises:
          ValueError: Inputs, basis, weights and list do not fit one another.
        """
        features.layout(inputs)
        num = inputs.shape[-4] if inputs.ndim > 3 else 0
        neighbors = indices.Neighbors(**index).completed(num, num)
        gathered = indices.gather_src(inputs, **neighbors._asdict())
        check_entries(basis, gathered)
        if weights is not None:
            gathered = gathered * _broadcast(weights, gathered.shape)
        return self._convolve(gathered, basis, neighbors)


def check_entries(basis: Array, gathered: Array) -> None:
    """Raises a ValueError if there is not one basis for each gathered feature."""
    if basis.shape[:-3] != gathered.shape[:-3]:
        raise ValueError(
            f"expected a basis of shape {(*gathered.shape[:-3], 1, '(L+1)**2', 'num')} for this "
            f"index list, received {basis.shape}"
        )


def _broadcast(weights: Array, shape: tuple[int, ...]) -> Array:
    """Weights with as many axes as features of a shape have, invariant ones."""
    try:
        fits = jnp.broadcast_shapes(weights.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits or (weights.ndim > 1 and weights.shape[-2] != 1 and shape[-2] != 1):
        invariant = (*shape[:-2], 1, shape[-1])
        raise ValueError(
            f"expected weights that broadcast to {invariant}, received {weights.shape}"
        )
    return weights.reshape(*(1,) * (len(shape) - weights.ndim), *weights.shape)
