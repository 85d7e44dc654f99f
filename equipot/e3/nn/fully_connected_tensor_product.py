"""The product of two features with a weight for every triple of copies."""

from collections.abc import Callable

from flax import linen as nn

from equipot.e3.arrays import operations
from equipot.e3.arrays.irreps import Irreps, IrrepsLike
from equipot.e3.arrays.irreps_array import IrrepsArray
from equipot.e3.products.functional_tensor_product import FunctionalFullyConnectedTensorProduct
from equipot.e3.products.path_weights import Normalization
from equipot.typing import Array


class FullyConnectedTensorProduct(nn.Module):
    """z[k] = Σᵢⱼ (x[i] ⊗ y[j])[k] W[i, j, k], over all entries that the selection rules allow.

    Parameters are named ``w[i,j,k] 2x1o,1x0e,3x1o``, of shape (mul_in1, mul_in2, mul_out): i and j
    count the entries of the factors without the empty and the known zero ones, k those of
    the output. Factors are normalised as in ``FunctionalFullyConnectedTensorProduct``.

    Attributes:
      irreps_out: Irreps of the output; those that no product gives are zero.
      irreps_in1: Irreps that the first factor must have; any by default.
      irreps_in2: Irreps that the second factor must have; any by default.
      irrep_normalization: Factor of each product, see ``tensor_product``.
      path_normalization: How paths share the variance, see ``path_weights``.
      gradient_normalization: Where the factor stands, see ``path_weights``.
    """

    irreps_out: IrrepsLike
    irreps_in1: IrrepsLike | None = None
    irreps_in2: IrrepsLike | None = None
    irrep_normalization: str | None = "component"
    path_normalization: Normalization = "element"
    gradient_normalization: Normalization = "path"

    @nn.compact
    def __call__(self, x: IrrepsArray | Array, y: IrrepsArray | Array) -> IrrepsArray:
        """Multiplies two features; batch axes are broadcast.

        Raises:
          ValueError: The irreps of a factor are not those asked for.
        """
        x = _factor(x, self.irreps_in1, "first")
        y = _factor(y, self.irreps_in2, "second")
        product = FunctionalFullyConnectedTensorProduct(
            x.irreps,
            y.irreps,
            self.irreps_out,
            irrep_normalization=self.irrep_normalization,
            path_normalization=self.path_normalization,
            gradient_normalization=self.gradient_normalization,
        )
        ws = []
        for item in product.instructions:
            i, j, k = item.i_in1, item.i_in2, item.i_out
            name = f"w[{i},{j},{k}] {x.irreps[i]},{y.irreps[j]},{product.irreps_out[k]}"
            initializer: Callable[..., Array] = nn.initializers.normal(item.weight_std)
            ws.append(self.param(name, initializer, item.path_shape, x.dtype))
        return product.left_right(ws, x, y)


def _factor(x: IrrepsArray | Array, irreps: IrrepsLike | None, which: str) -> IrrepsArray:
    x = operations.as_irreps_array(x).floating()
    if irreps is not None and Irreps(irreps).regroup() != x.irreps.regroup():
        raise ValueError(
            f"FullyConnectedTensorProduct: expected irreps {irreps} of the {which} factor, "
            f"received {x.irreps}"
        )
    return x.remove_zero_chunks()
