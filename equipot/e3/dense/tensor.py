"""Tensor products of dense features with learned weights."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from jax.typing import DTypeLike

from equipot.e3.dense import coupling, fused, initializers
from equipot.e3.dense.features import Layout, layout
from equipot.e3.dense.layers import Dense
from equipot.typing import Array, Float

Initializer = Callable[..., Array]


class Tensor(nn.Module):
    """Couples two features channel by channel, each path with its own weight.

    z[l3, p3] = Σ w[l1, p1, l2, p2, l3, p3] (x[l1, p1] ⊗ y[l2, p2])[l3] over all pairs that a
    coupling allows: |l1-l2| <= l3 <= l1+l2 and p3 = p1 p2. The parameter ``kernel`` has the shape
    (P1, L1+1, P2, L2+1, P3, L3+1, F); entries of forbidden paths are zero and stay unused.

    The output has two parities, also where both inputs have one (a cross product is a
    pseudovector), unless ``include_pseudotensors`` is false or degrees of 0 leave no pseudotensor.

    Attributes:
      max_degree: L3, at most L1+L2; the larger of L1 and L2 by default.
      include_pseudotensors: Whether the output may have pseudotensors.
      cartesian_order: The order of components.
      dtype: Of the computation; that of inputs and parameters by default.
      param_dtype: Of the parameters; that of the first input by default.
      precision: Of the matrix products.
      kernel_init: Initialiser of the weights.
    """

    max_degree: int | None = None
    include_pseudotensors: bool = True
    cartesian_order: bool = True
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike | None = None
    precision: Any = "highest"
    kernel_init: Initializer = initializers.tensor_lecun_normal()

    @nn.compact
    def __call__(
        self, inputs1: Float[Array, "..."], inputs2: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        """Couples ``[..., P1, (L1+1)², F]`` and ``[..., P2, (L2+1)², F]``.

        Raises:
          ValueError: The inputs are no features, channels differ, or max_degree is out of range.
        """
        one, two, max_degree = _check(self.max_degree, inputs1, inputs2)
        num_parity = _num_parity(one, two, max_degree, self.include_pseudotensors)
        shape = (one.num_parity, one.max_degree + 1, two.num_parity, two.max_degree + 1)
        shape = (*shape, num_parity, max_degree + 1, one.num_features)
        param_dtype = self.param_dtype or inputs1.dtype
        kernel = self.param("kernel", self.kernel_init, shape, param_dtype)
        x, y, kernel = promote_dtype(inputs1, inputs2, kernel, dtype=self.dtype)
        return coupling.couple(x, y, kernel, self.cartesian_order, self.precision)


class FusedTensor(nn.Module):
    """Couples two features as matrices: fewer operations and weights than ``Tensor``, fewer paths.

    With t = ⌈max(L1, L2, L3)/2⌉ the degrees of a parity are mixed to one matrix of side 2t+1,
    X[i, j] = Σ w[l] C[i, j, lm] x[lm], with couplings (t, t, l). Matrices of both inputs are
    multiplied, and products taken apart again with the same couplings and weights of their own:
    O(L⁴) operations instead of O(L⁶). Parameters are ``kernel_e1`` … for the even and odd degrees
    of the inputs, ``kernel_eee``, ``kernel_ooe``, ``kernel_eoo``, ``kernel_oeo`` for the products.

    Attributes:
      max_degree: L3, at most L1+L2; the larger of L1 and L2 by default.
      include_pseudotensors: Whether the output may have pseudotensors.
      cartesian_order: The order of components.
      dtype: Of the computation; that of inputs and parameters by default.
      param_dtype: Of the parameters; that of the first input by default.
      precision: Of the matrix products.
      kernel_init: Makes an initialiser from a scale of the variance and a mask.
    """

    max_degree: int | None = None
    include_pseudotensors: bool = True
    cartesian_order: bool = True
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike | None = None
    precision: Any = "highest"
    kernel_init: Callable[..., Initializer] = initializers.fused_tensor_normal

    @nn.compact
    def __call__(
        self, inputs1: Float[Array, "..."], inputs2: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        """Couples ``[..., P1, (L1+1)², F]`` and ``[..., P2, (L2+1)², F]``.

        Raises:
          ValueError: The inputs are no features, channels differ, or max_degree is out of range.
        """
        one, two, max_degree = _check(self.max_degree, inputs1, inputs2)
        num_parity = _num_parity(one, two, max_degree, self.include_pseudotensors)
        three = Layout(num_parity, max_degree, one.num_features)
        param_dtype = self.param_dtype or inputs1.dtype
        kernels = {}
        for name, (degrees, scale, mask) in fused.kernels(one[:2], two[:2], three[:2]).items():
            init = self.kernel_init(scale=scale, mask=mask)
            shape = (degrees, one.num_features)
            kernels[name] = self.param(f"kernel_{name}", init, shape, param_dtype)
        values = (inputs1, inputs2, *kernels.values())
        x, y, *weights = promote_dtype(*values, dtype=self.dtype)
        weights = dict(zip(kernels, weights, strict=True))
        return fused.couple(x, y, weights, three, self.cartesian_order, self.precision)


class TensorDense(nn.Module):
    """Couples two linear maps of its input: tensor(a, b) with (a, b) = dense(x).

    The halves of the channels of one ``Dense`` layer (``dense``) are coupled by a ``Tensor``
    (``tensor``) or ``FusedTensor`` (``fused_tensor``).

    Attributes:
      features: Number of output channels; that of the input by default.
      max_degree: Maximum degree of the output; that of the input by default.
      use_bias: Whether even scalars get a bias before they are coupled.
      include_pseudotensors: Whether the output may have pseudotensors.
      cartesian_order: The order of components.
      use_fused_tensor: Whether to couple by ``FusedTensor``.
      dtype: Of the computation; that of inputs and parameters by default.
      param_dtype: Of the parameters; that of the input by default.
      precision: Of the matrix products.
      dense_kernel_init: Initialiser of the matrices of the linear map.
      dense_bias_init: Initialiser of its bias.
      tensor_kernel_init: Initialiser of the coupling; that of its layer by default.
    """

    features: int | None = None
    max_degree: int | None = None
    use_bias: bool = True
    include_pseudotensors: bool = True
    cartesian_order: bool = True
    use_fused_tensor: bool = False
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike | None = None
    precision: Any = "highest"
    dense_kernel_init: Initializer = nn.initializers.lecun_normal()
    dense_bias_init: Initializer = nn.initializers.zeros
    tensor_kernel_init: Callable[..., Any] | None = None

    @nn.compact
    def __call__(self, inputs: Float[Array, "..."]) -> Float[Array, "..."]:
        """Maps ``[..., P, (L+1)², F]`` to features of its own.

        Raises:
          ValueError: The inputs are no features, or max_degree is out of range.
        """
        _, max_degree, num_features = layout(inputs)
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype or inputs.dtype}
        dense = Dense(
            2 * (self.features or num_features),
            use_bias=self.use_bias,
            precision=self.precision,
            kernel_init=self.dense_kernel_init,
            bias_init=self.dense_bias_init,
            name="dense",
            **dtypes,
        )
        settings: dict[str, Any] = {
            "max_degree": max_degree if self.max_degree is None else self.max_degree,
            "include_pseudotensors": self.include_pseudotensors,
            "cartesian_order": self.cartesian_order,
            "precision": self.precision,
            **dtypes,
        }
        if self.tensor_kernel_init is not None:
            settings["kernel_init"] = self.tensor_kernel_init
        if self.use_fused_tensor:
            tensor = FusedTensor(name="fused_tensor", **settings)
        else:
            tensor = Tensor(name="tensor", **settings)
        return tensor(*jnp.split(dense(inputs), 2, axis=-1))


def _check(max_degree: int | None, x: Array, y: Array) -> tuple[Layout, Layout, int]:
    """What the shapes of two inputs say, and the maximum degree of their product."""
    one, two = layout(x, "the first input"), layout(y, "the second input")
    if one.num_features != two.num_features:
        raise ValueError(
            f"expected equal numbers of channels to couple, received shapes {x.shape} and {y.shape}"
        )
    if max_degree is None:
        return one, two, max(one.max_degree, two.max_degree)
    most = one.max_degree + two.max_degree
    if not 0 <= max_degree <= most:
        raise ValueError(
            f"expected max_degree from 0 to {most} for inputs of degrees {one.max_degree} and "
            f"{two.max_degree}, received {max_degree}"
        )
    return one, two, max_degree


def _num_parity(one: Layout, two: Layout, max_degree: int, pseudotensors: bool) -> int:
    """Whether the output has pseudotensors: asked for, and possible."""
    if not pseudotensors:
        return 1
    proper = one.num_parity == two.num_parity == 1
    return 1 if proper and 0 in (one.max_degree, two.max_degree, max_degree) else 2
