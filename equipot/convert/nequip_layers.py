"""Parts that the GNN and Allegro of nequip share: perceptrons, activations, irreps.

Constants of normalisation are read from the modules, not computed anew: e3nn finds those of its
activations by sampling, and nequip's perceptrons have a plain silu with a gain of √2.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from equipot import errors
from equipot.convert import torch_modules
from equipot.e3.arrays.irreps import Irrep


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Perceptron:
    """A perceptron without biases: x ↦ a(… a(x M₀) M₁ …) M_n, constants in the matrices.

    Attributes:
      matrices: M₀ … M_n, float64.
      activation: Name of a, plain and not normalised: ``silu``, ``mish``, ``gelu`` …
    """

    matrices: Sequence[np.ndarray]
    activation: str = "silu"

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths of the hidden layers."""
        return tuple(matrix.shape[1] for matrix in self.matrices[:-1])


def read_perceptron(module: Any, place: str) -> Perceptron:
    """Reads a ``ScalarMLPFunction``; one without activations becomes a single matrix.

    Args:
      module: The perceptron.
      place: Where it stands, for messages.

    Raises:
      ConversionError: If it has biases, or holds anything unknown.
    """
    torch_modules.expect_class(module, "ScalarMLPFunction", place)
    inner = module.mlp
    if torch_modules.class_name(inner) == "DeepLinearMLP":
        matrices = [torch_modules.array(weight) for weight in inner.weights]
        product = matrices[0] if len(matrices) == 1 else np.linalg.multi_dot(matrices)
        return Perceptron(matrices=(product * float(inner.alpha),))
    torch_modules.expect_class(inner, "Sequential", f"{place}.mlp")
    layers = list(inner)
    matrices = [_read_linear(layer, f"{place}.mlp.{2 * i}") for i, layer in enumerate(layers[::2])]
    names = {torch_modules.class_name(layer) for layer in layers[1::2]}
    if len(names) > 1:
        raise errors.ConversionError(
            f"{place}: expected one activation, received {', '.join(sorted(names))}"
        )
    return Perceptron(matrices=matrices, activation=names.pop().lower() if names else "silu")


def expect_silu(perceptron: Perceptron, place: str) -> None:
    """Refuses another activation.

    Raises:
      ConversionError: If the activation is not silu.
    """
    if perceptron.activation != "silu":
        raise errors.ConversionError(
            f"{place}: expected the activation silu, received {perceptron.activation}, which"
            " equipot's model does not have"
        )


def activation_constant(activation: Any, name: str, place: str) -> float:
    """The factor c of e3nn's normalised activation c f(x).

    Args:
      activation: A ``normalize2mom``.
      name: What f must be.
      place: Where it stands, for messages.

    Raises:
      ConversionError: If f is another function.
    """
    torch_modules.expect_class(activation, "normalize2mom", place)
    found = getattr(activation.f, "__name__", torch_modules.class_name(activation.f)).lower()
    if found != name:
        raise errors.ConversionError(f"{place}: expected the activation {name}, received {found}")
    return 1.0 if activation._is_id else float(activation.cst)


def read_irreps(irreps: Any, place: str) -> dict[Irrep, int]:
    """Irreps with their multiplicities, in the order of the file.

    Raises:
      ConversionError: If an irrep stands there twice.
    """
    found: dict[Irrep, int] = {}
    for mul, ir in irreps:
        irrep = Irrep(int(ir.l), int(ir.p))
        if irrep in found:
            raise errors.ConversionError(f"{place}: expected every irrep once, received {irreps}")
        found[irrep] = int(mul)
    return found


def read_norm(module: Any, types: np.ndarray, place: str) -> np.ndarray:
    """What sums over neighbors are multiplied with: one number, or one for each of our species.

    Args:
      module: An ``AvgNumNeighborsNorm``.
      types: For each of our species its index in the file.
      place: Where it stands, for messages.
    """
    torch_modules.expect_class(module, "AvgNumNeighborsNorm", place)
    norm = torch_modules.array(module.norm_const).reshape(-1)
    return norm if len(norm) == 1 else norm[types]


def _read_linear(layer: Any, place: str) -> np.ndarray:
    torch_modules.expect_class(layer, ("ScalarLinearLayer", "ParametrizedScalarLinearLayer"), place)
    if layer.bias is not None:
        raise errors.ConversionError(
            f"{place}: expected no bias, which equipot's model has none of"
        )
    return torch_modules.array(layer.weight) * float(layer.alpha)
