"""Layers of mace-torch and e3nn as parameters of equipot's layers, in float64.

Every constant of theirs is folded into a weight: normalisations of paths and inputs, those of
activations (which e3nn finds by sampling, so they are read from the module), the number of inputs
that our layers divide by, and signs between both conventions of a coupling.
"""

import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from equipot import errors
from equipot.convert import torch_modules
from equipot.e3.arrays.irreps import Irrep
from equipot.e3.functions import activations
from equipot.e3.kernels import couplings
from equipot.e3.kernels.convolution import Path
from equipot.e3.products.tensor_product import coupling

SCALAR = Irrep("0e")
_EXACT, _ROUNDED = 1e-12, 1e-6
_PROBES = 8


def expect(module: Any, names: str | tuple[str, ...], package: str, place: str) -> None:
    """Refuses a module of another class, or of one that another package calls the same.

    Raises:
      ConversionError: If its class is another one.
    """
    torch_modules.expect_class(module, names, place)
    path = torch_modules.class_path(module)
    if path.partition(".")[0] != package:
        raise errors.ConversionError(
            f"{place}: expected a class of {package}, received {path}, which equipot cannot read; "
            "models with accelerated kernels are turned back by mace-torch's mace_cueq_to_e3nn"
        )


def irreps_of(irreps: Any) -> list[tuple[int, Irrep]]:
    """Entries of e3nn's irreps: multiplicity and irrep."""
    return [(int(mul), Irrep(int(ir.l), int(ir.p))) for mul, ir in irreps]


def read_linear(module: Any, place: str, *, biases: bool = False) -> dict[Irrep, np.ndarray]:
    """Matrices of a ``Linear`` from irreps that stand there once to such irreps, per irrep.

    Args:
      module: An ``e3nn.o3.Linear``.
      place: Where it stands, for messages.
      biases: Whether it may have biases, which ``torch_modules.linear_bias`` reads.

    Raises:
      ConversionError: If it is another module, or an irrep stands there twice.
    """
    expect(module, "Linear", "e3nn", place)
    blocks = list(torch_modules.linear_blocks(module, biases=biases))
    entries = irreps_of(module.irreps_in)
    found = {entries[i][1]: matrix for i, _, matrix in blocks}
    if len(found) < len(blocks):
        raise errors.ConversionError(
            f"{place}: expected every irrep once, received {module.irreps_in} to "
            f"{module.irreps_out}"
        )
    return found


def linear_params(matrices: Mapping[Irrep, np.ndarray]) -> dict[str, np.ndarray]:
    """Parameters of ``channels.Linear``, which divides by the root of its channels."""
    return {str(irrep): m * len(m) ** 0.5 for irrep, m in matrices.items()}


def read_species_linear(module: Any, species: np.ndarray, place: str) -> dict[str, np.ndarray]:
    """Parameters of ``channels.SpeciesLinear`` from a tensor product with one-hot species.

    Args:
      module: An ``e3nn.o3.FullyConnectedTensorProduct``.
      species: For each of our species its index in the file.
      place: Where it stands, for messages.
    """
    expect(module, "FullyConnectedTensorProduct", "e3nn", place)
    weights, start, params = torch_modules.array(module.weight), 0, {}
    for instruction in module.instructions:
        size = int(np.prod(instruction.path_shape))
        block = weights[start : start + size].reshape(instruction.path_shape)
        start += size
        irrep = irreps_of(module.irreps_in1)[instruction.i_in1][1]
        # The product of a feature with a scalar of one, C(l, 0, l) = δ/√(2l + 1).
        factor = instruction.path_weight * irrep.dim**-0.5 * len(block) ** 0.5
        params[str(irrep)] = factor * block.transpose(1, 0, 2)[species]
    return params


def read_network(module: Any, place: str) -> list[np.ndarray]:
    """Matrices of a perceptron, for hidden layers with our activation, all constants in them.

    Args:
      module: An ``e3nn.nn.FullyConnectedNet``.
      place: Where it stands, for messages.

    Raises:
      ConversionError: If it is another module, such as mace-torch's newer radial network with
        biases, or its activation is not silu.
    """
    expect(module, "FullyConnectedNet", "e3nn", place)
    gain, matrices = 1.0, []
    for layer in torch_modules.children(module).values():
        matrix = torch_modules.array(layer.weight) / (layer.h_in * layer.var_in) ** 0.5
        matrices.append(gain * matrix)
        gain = layer.var_out**0.5
        if layer.act is not None:
            gain *= relative_constant(layer.act, "silu", place)
    matrices[-1] = gain * matrices[-1]
    return matrices


def relative_constant(activation: Any, name: str, place: str) -> float:
    """The constant of a normalised activation over the one that we have for the same function.

    Raises:
      ConversionError: If it is another function.
    """
    torch_modules.expect_class(activation, "normalize2mom", place)
    if activation_name(activation) != name:
        raise errors.ConversionError(
            f"{place}: expected the activation {name}, received {activation_name(activation)}, "
            "which equipot's model does not have"
        )
    constant = 1.0 if activation._is_id else float(activation.cst)
    return constant * activations.second_moment(activations.VANISHING_AT_ZERO[name]) ** 0.5


def activation_name(activation: Any) -> str:
    """Name of the function that a ``normalize2mom`` scales."""
    function = activation.f
    return getattr(function, "__name__", torch_modules.class_name(function)).lower()


def read_couplings(module: Any, place: str) -> list[tuple[Path, int, int, float]]:
    """Paths of a convolution's tensor product.

    Returns:
      For each path in the order of its weights: the path, its entry in the product's output, its
      channels, and the coefficient in units of ours.

    Raises:
      ConversionError: If it is another module, or couples otherwise.
    """
    expect(module, "TensorProduct", "e3nn", place)
    first, second, out = map(irreps_of, (module.irreps_in1, module.irreps_in2, module.irreps_out))
    found = []
    for i in module.instructions:
        path = Path(first[i.i_in1][1], second[i.i_in2][1], out[i.i_out][1])
        if i.connection_mode != "uvu" or second[i.i_in2][0] != 1 or not i.has_weight:
            raise errors.ConversionError(
                f"{place}: expected weighted uvu products with single harmonics, received "
                f"{i.connection_mode} with {second[i.i_in2][0]} x {second[i.i_in2][1]}"
            )
        ratio = i.path_weight * _relative_coefficient(path, place)
        found.append((path, int(i.i_out), first[i.i_in1][0], ratio))
    return found


def _relative_coefficient(path: Path, place: str) -> float:
    torch: Any = importlib.import_module("torch")
    o3: Any = importlib.import_module("e3nn.o3")
    theirs = o3.wigner_3j(path.node.l, path.edge.l, path.out.l, dtype=torch.float64).numpy()
    ours = coupling(*path)
    ratio = float(np.sum(theirs * ours) / np.sum(ours**2))
    if np.abs(theirs - ratio * ours).max() > _EXACT:
        raise errors.ConversionError(
            f"{place}: the installed e3nn couples {' '.join(map(str, path))} in another basis"
        )
    return ratio


def read_contraction(
    module: Any, kept: Sequence[Irrep], orders: int, species: np.ndarray, place: str
) -> dict[str, np.ndarray]:
    """Weights of a symmetric contraction, taken over to our couplings.

    Args:
      module: A ``SymmetricContraction``.
      kept: Irreps of its input that are not zero: what couples the others is left out.
      orders: Its correlation.
      species: For each of our species its index in the file.
      place: Where it stands, for messages.

    Raises:
      ConversionError: If its couplings are not spanned by ours.
    """
    expect(module, "SymmetricContraction", "mace", place)
    irreps = [irrep for _, irrep in irreps_of(module.irreps_in)]
    outputs = [irrep for _, irrep in irreps_of(module.irreps_out)]
    ours = couplings.powers(kept, outputs, orders)
    params = {}
    for irrep, contraction in zip(outputs, module.contractions, strict=True):
        for order in range(1, orders + 1):
            power, spot = couplings.Power(order, irrep), f"{place}, order {order} to {irrep}"
            weights = _contraction_weights(contraction, order)
            table = getattr(contraction, f"U_matrix_{order}")
            table = _canonical_table(table, irreps, kept, power)
            if power not in ours:
                _check_difference(table, np.zeros_like(table), spot)
                continue
            matrix = _basis_change(kept, power, table, spot)
            taken = np.einsum("kp,spc->skc", matrix, weights) * ours[power]
            # Without species in the product, all have the same weights.
            params[f"order_{order}_{irrep}"] = taken[species if len(taken) > 1 else species * 0]
    return params


def _contraction_weights(contraction: Any, order: int) -> np.ndarray:
    """Weights of one order, [species, paths, channels]."""
    highest = int(contraction.correlation)
    if order == highest:
        return torch_modules.array(contraction.weights_max)
    return torch_modules.array(contraction.weights[highest - order - 1])


def exact_table(
    buffer: Any, irreps: Sequence[Irrep], power: couplings.Power, place: str
) -> np.ndarray:
    """Their couplings without rounding: symmetric, and made of ours.

    Args:
      buffer: The rounded ones.
      irreps: Irreps of the features in their order.
      power: The power and the irrep that they couple to.
      place: Where they stand, for messages.

    Raises:
      ConversionError: If ours do not span them.
    """
    table = _canonical_table(buffer, irreps, irreps, power)
    if not couplings.symmetric_coupling(couplings.canonical(irreps), power).size:
        return np.zeros(tuple(buffer.shape))
    own = couplings.symmetric_coupling(couplings.canonical(irreps), power)
    exact = np.einsum("...km,kp->m...p", own, _basis_change(irreps, power, table, place))
    rows = np.argsort(_canonical_rows(irreps, irreps))
    for axis in range(1, power.order + 1):
        exact = np.take(exact, rows, axis)
    return exact.reshape(tuple(buffer.shape))


def _canonical_rows(irreps: Sequence[Irrep], kept: Sequence[Irrep]) -> np.ndarray:
    """Where the components of the sorted irreps that are kept stand among all."""
    dims = [irrep.dim for irrep in irreps]
    starts = dict(zip(irreps, np.cumsum([0, *dims[:-1]]), strict=True))
    ordered = couplings.canonical(kept)
    return np.concatenate([starts[irrep] + np.arange(irrep.dim) for irrep in ordered])


def _canonical_table(
    buffer: Any, irreps: Sequence[Irrep], kept: Sequence[Irrep], power: couplings.Power
) -> np.ndarray:
    """Their couplings as ours are: [dim, …, dim, paths, 2l+1], components in our order."""
    values, rows = torch_modules.array(buffer), _canonical_rows(irreps, kept)
    dim = sum(irrep.dim for irrep in irreps)
    table = values.reshape(power.out.dim, *[dim] * power.order, values.shape[-1])
    for axis in range(1, power.order + 1):
        table = np.take(table, rows, axis)
    return np.moveaxis(table, 0, -1)


def _basis_change(
    irreps: Iterable[Irrep], power: couplings.Power, table: np.ndarray, place: str
) -> np.ndarray:
    matrix = couplings.change_of_basis(irreps, power, table)
    own = couplings.symmetric_coupling(couplings.canonical(irreps), power)
    _check_difference(table, np.einsum("...km,kp->...pm", own, matrix), place)
    return matrix


def _check_difference(table: np.ndarray, other: np.ndarray, place: str) -> None:
    """Compares two couplings as polynomials, at random points, relative to the largest element."""
    points = np.random.default_rng(0).standard_normal((_PROBES, len(table)))
    residual = np.abs(_evaluate(table, points) - _evaluate(other, points)).max()
    residual /= max(float(np.abs(table).max()), 1e-300)
    rounded = np.array_equal(table, table.astype(np.float32))
    if residual > (_ROUNDED if rounded else _EXACT):
        raise errors.ConversionError(
            f"{place}: the couplings of the contraction differ from ours by {residual:.1e}"
        )


def _evaluate(table: np.ndarray, points: np.ndarray) -> np.ndarray:
    values = np.tensordot(points, table, 1)
    while values.ndim > 3:
        values = np.einsum("ni,ni...->n...", points, values)
    return values
