"""One layer of nequip's GNN, read into an ``Interaction`` of ours.

In common notation they are

    theirs: y = L₂ Σ_j R(r) (n L₁x_j ⊗ Y(r_j − r_i)) + Σ_v e[s]_v S_v x,   x' = gate(y)
    ours:   y = L₂ Σ_j R(r) (L₁x_j ⊗ Y(r_i − r_j)) / √N + S[s] x,          x' = gate(y)

Their edges point from the receiver to the sender, so paths of odd harmonics change sign. The
embedding e of the species is contracted into a matrix per species. Normalisations of linear maps
and of paths are part of the matrices after them. Their gate multiplies its output by constants
other than ours, which leaves features of another scale: the next layer's matrices take it up.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from equipot import errors
from equipot.convert import nequip_layers as layers
from equipot.convert import parameters, torch_modules
from equipot.e3.arrays.irreps import Irrep
from equipot.e3.functions import activations
from equipot.typing import PyTree

SCALAR, PSEUDOSCALAR = Irrep("0e"), Irrep("0o")
_CONVOLUTIONS = (
    "TensorProductScatter",
    "OpenEquivarianceTensorProductScatter",
    "CuEquivarianceTensorProductScatter",
)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """A layer of theirs, checked.

    Attributes:
      place: Its name, for messages.
      conv: Its interaction block.
      norm: The module that knows the number of neighbors.
      radial: Its radial network.
      irreps_out: Irreps after the gate.
      gates: Irreps in the order of their gates.
      scale_out: For each irrep, what our features must be multiplied with to be theirs.
    """

    place: str
    conv: Any
    norm: Any
    radial: layers.Perceptron
    irreps_out: Mapping[Irrep, int]
    gates: Sequence[Irrep]
    scale_out: Mapping[Irrep, float]


def read_layer(module: Any, place: str) -> Layer:
    """Checks a layer and reads its gate and its radial network.

    Raises:
      ConversionError: If it holds anything that our layer does not have.
    """
    torch_modules.expect_class(module, "ConvNetLayer", place)
    gate, conv = module.equivariant_nonlin, module.conv
    torch_modules.expect_class(gate, "Gate", f"{place}.equivariant_nonlin")
    torch_modules.expect_class(conv, "InteractionBlock", f"{place}.conv")
    torch_modules.expect_class(conv.tp_scatter, _CONVOLUTIONS, f"{place}.conv.tp_scatter")
    exchange = f"{place}.conv.ghost_exchange"
    torch_modules.expect_class(conv.ghost_exchange, "NoOpGhostExchangeModule", exchange)
    if module.resnet:
        raise errors.ConversionError(
            f"{place}: adds its input to its output (convnet_resnet), which equipot's NequIP does"
            " not"
        )
    radial = layers.read_perceptron(conv.edge_mlp, f"{place}.conv.edge_mlp")
    layers.expect_silu(radial, f"{place}.conv.edge_mlp")
    irreps_out = layers.read_irreps(gate.irreps_out, place)
    return Layer(
        place=place,
        conv=conv,
        norm=conv.avg_num_neighbors_norm,
        radial=radial,
        irreps_out=irreps_out,
        gates=tuple(irrep for irrep in irreps_out if irrep.l > 0),
        scale_out=_gate_scale(gate, irreps_out, place),
    )


def fill(
    target: PyTree,
    layer: Layer,
    embedding: np.ndarray,
    scale: Mapping[Irrep, float],
    basis_ratio: float,
    order: Sequence[Irrep],
) -> None:
    """Writes a layer over the zeros of our parameters.

    Args:
      target: Parameters of our ``Interaction``.
      layer: Theirs.
      embedding: Their numbers for each of our species.
      scale: Theirs over ours, for the features that enter.
      basis_ratio: Theirs over ours, for the radial basis.
      order: The order of irreps in our configuration.
    """
    columns = _columns(target, layer, order)
    _fill_linear_up(target["linear_up"], layer.conv.linear_1, scale)
    _fill_convolution(target, layer, basis_ratio, columns)
    if layer.conv.sc is not None:
        for irrep, matrices in _self_connections(layer, embedding):
            ours = target["self_connection"][str(irrep)]
            rows = np.arange(matrices.shape[1])
            width = scale[irrep] * math.sqrt(ours.shape[1])
            ours[np.ix_(np.arange(len(ours)), rows, columns[irrep])] += matrices * width


def _gate_scale(gate: Any, irreps: Mapping[Irrep, int], place: str) -> dict[Irrep, float]:
    """Constants of their activations over those of ours."""
    own = {
        "silu": parameters.silu_constant(),
        "tanh": activations.second_moment(jnp.tanh) ** -0.5,
    }
    scale = {}
    scalars = layers.read_irreps(gate.irreps_scalars, place)
    for irrep, activation in zip(scalars, gate.act_scalars.acts, strict=True):
        name = "silu" if irrep == SCALAR else "tanh"
        scale[irrep] = layers.activation_constant(activation, name, place) / own[name]
    gates = layers.read_irreps(gate.irreps_gates, place)
    if set(gates) - {SCALAR}:
        raise errors.ConversionError(f"{place}: expected gates of 0e, received {gate.irreps_gates}")
    for irrep in irreps:
        if irrep.l > 0:
            activation = gate.act_gates.acts[0]
            scale[irrep] = layers.activation_constant(activation, "silu", place) / own["silu"]
    return scale


def _columns(target: PyTree, layer: Layer, order: Sequence[Irrep]) -> dict[Irrep, np.ndarray]:
    """For each irrep before the gate, where their channels stand among ours.

    Channels of 0e are the scalars that stay, then the gates, in an order of irreps that differs.
    """
    ends = {name.rpartition("_")[2]: w.shape[-1] for name, w in target["linear_down"].items()}
    columns = {irrep: np.arange(width) for irrep, width in layer.irreps_out.items()}
    ours = {irrep: ends[str(irrep)] for irrep in order if str(irrep) in ends and irrep.l > 0}
    start = dict(zip(ours, np.cumsum([0, *ours.values()]), strict=False))
    first = ends[str(SCALAR)] - sum(ours.values())
    gates = [first + start[irrep] + columns[irrep] for irrep in layer.gates]
    columns[SCALAR] = np.concatenate([columns.get(SCALAR, np.arange(0)), *gates])
    return columns


def _fill_linear_up(target: PyTree, linear: Any, scale: Mapping[Irrep, float]) -> None:
    irreps = list(layers.read_irreps(linear.irreps_in, "linear_1"))
    for entry, _, matrix in torch_modules.linear_blocks(linear):
        ours = target[str(irreps[entry])]
        rows, width = matrix.shape
        ours[:rows, :width] = matrix * scale[irreps[entry]] * math.sqrt(len(ours))


def _fill_convolution(
    target: PyTree, layer: Layer, basis_ratio: float, columns: Mapping[Irrep, np.ndarray]
) -> None:
    """The radial network and the linear map after the sum, path by path."""
    place = f"{layer.place}.conv.edge_mlp"
    last = parameters.fill_hidden(target["radial"], layer.radial.matrices, basis_ratio, place)
    fan_in: dict[str, int] = {}
    for name, weight in target["linear_down"].items():
        end = name.rpartition("_")[2]
        fan_in[end] = fan_in.get(end, 0) + len(weight)
    for name, out, weights, matrix in _paths(layer):
        rows = np.arange(len(matrix))
        target["radial"][name][:, rows] = last[:, weights]
        block = np.ix_(rows, columns[out])
        target["linear_down"][name][block] = matrix * math.sqrt(fan_in[str(out)])


def _paths(layer: Layer) -> Iterator[tuple[str, Irrep, slice, np.ndarray]]:
    """Name and irrep of each path, the columns of its radial weights, its part of L₂."""
    product, place = layer.conv.tp_scatter.tp, f"{layer.place}.conv.tp_scatter"
    nodes, edges = (
        list(layers.read_irreps(irreps, place))
        for irreps in (product.irreps_in1, product.irreps_in2)
    )
    entries = [(Irrep(int(ir.l), int(ir.p)), int(mul)) for mul, ir in product.irreps_out]
    blocks = _blocks_by_irrep(layer.conv.linear_2, place)
    start = 0
    for path in product.instructions:
        out, mul = entries[path.i_out]
        if path.connection_mode != "uvu" or not path.has_weight or path.path_shape != (mul, 1):
            raise errors.ConversionError(f"{place}: expected paths uvu with weights, got {path}")
        node, edge = nodes[path.i_in1], edges[path.i_in2]
        offset = sum(width for irrep, width in entries[: path.i_out] if irrep == out)
        factor = path.path_weight / math.sqrt(out.dim) * (-1) ** edge.l
        matrix = blocks[out][offset : offset + mul] * factor
        yield f"{node}_{edge}_{out}", out, slice(start, start + mul), matrix
        start += mul


def _blocks_by_irrep(linear: Any, place: str) -> dict[Irrep, np.ndarray]:
    irreps = list(layers.read_irreps(linear.irreps_in, place))
    return {irreps[i]: matrix for i, _, matrix in torch_modules.linear_blocks(linear)}


def _self_connections(layer: Layer, embedding: np.ndarray) -> Iterator[tuple[Irrep, np.ndarray]]:
    """For each irrep, the matrix of every species, [species, in, out]."""
    product, place, start = layer.conv.sc, f"{layer.place}.conv.sc", 0
    torch_modules.expect_class(product, "FullyConnectedTensorProduct", place)
    irreps = list(layers.read_irreps(product.irreps_in1, place))
    weights = torch_modules.array(product.weight)
    for path in product.instructions:
        irrep, size = irreps[path.i_in1], math.prod(path.path_shape)
        cube = weights[start : start + size].reshape(path.path_shape)
        factor = path.path_weight / math.sqrt(irrep.dim)
        yield irrep, np.einsum("uvw,sv->suw", cube, embedding) * factor
        start += size
