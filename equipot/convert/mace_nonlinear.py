"""mace-torch's non-linear interaction as parameters of equipot's, in float64."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from equipot import errors
from equipot.convert import mace_layers as layers
from equipot.convert import torch_modules
from equipot.convert.mace_layers import SCALAR
from equipot.e3.functions import activations
from equipot.models.mace.nonlinear import DENSITY_WIDTH, NORM_EPSILON


def read_interaction(block: Any, species: np.ndarray, place: str) -> dict[str, Any]:
    """Parameters of ``NonLinearInteraction``.

    Args:
      block: A ``RealAgnosticResidualNonLinearInteractionBlock``.
      species: For each of our species its index in the file.
      place: Where it stands, for messages.

    Raises:
      ConversionError: If it holds anything that ours does not have.
    """
    found: dict[str, Any] = {}
    for ours, theirs in (
        ("linear_up", "linear_up"),
        ("linear_own", "linear_res"),
        ("linear_after", "linear_2"),
        ("common_skip", "skip_tp"),
    ):
        matrices = layers.read_linear(getattr(block, theirs), f"{place}.{theirs}")
        found[ours] = layers.linear_params(matrices)
    for end in ("source", "target"):
        name = f"{end}_embedding"
        found[end] = layers.read_linear(getattr(block, name), f"{place}.{name}")[SCALAR][species]
    gains = _gate_constants(block.equivariant_nonlin, f"{place}.equivariant_nonlin")
    for irrep, matrix in found["linear_after"].items():
        found["linear_after"][irrep] = matrix * gains[irrep == str(SCALAR)]
    width = found["source"].shape[-1]
    found["radial"], found["linear"] = _read_messages(block, width, place)
    hidden, last, bias = _read_network(block.density_fn, width, f"{place}.density_fn")
    if last.shape != (DENSITY_WIDTH, 1):
        raise errors.ConversionError(
            f"{place}.density_fn: expected {DENSITY_WIDTH} hidden numbers and one at the end, "
            f"received {last.shape[0]} and {last.shape[1]}"
        )
    found["density"] = hidden
    found["density_last"] = last[:, 0] * DENSITY_WIDTH**0.5
    found["density_last_bias"] = bias[0]
    return found | {name: torch_modules.array(getattr(block, name)) for name in ("alpha", "beta")}


def _gate_constants(gate: Any, place: str) -> dict[bool, float]:
    """What a gate multiplies by, over what ours does: scalars (True) and other irreps (False)."""
    layers.expect(gate, "GatedEquivariantBlock", "mace", place)
    gains = {}
    for is_scalar, name, ours in (
        (True, "scalar", jax.nn.silu),
        (False, "gate", jax.nn.sigmoid),
    ):
        theirs = getattr(gate, f"_act_{name}")
        if theirs is None or theirs.__name__ != ours.__name__:
            raise errors.ConversionError(
                f"{place}: expected the activation {ours.__name__}, received {theirs}"
            )
        gains[is_scalar] = getattr(gate, f"_{name}_cst") * activations.second_moment(ours) ** 0.5
    return gains


def _read_messages(
    block: Any, width: int, place: str
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The radial network, and the linear map after the convolution."""
    hidden, last, bias = _read_network(block.conv_tp_weights, width, f"{place}.conv_tp_weights")
    radial: dict[str, Any] = {"hidden": hidden}
    entries, start = {}, 0
    for path, entry, channels, ratio in layers.read_couplings(block.conv_tp, f"{place}.conv_tp"):
        name = entries[entry] = "_".join(map(str, path))
        columns = slice(start, start + channels)
        radial[name] = ratio * last[:, columns] * len(last) ** 0.5
        radial[f"{name}_bias"] = ratio * bias[None, columns]
        start += channels
    layers.expect(block.linear_1, "Linear", "e3nn", f"{place}.linear_1")
    blocks = torch_modules.linear_blocks(block.linear_1)
    return radial, {entries[i]: matrix for i, _, matrix in blocks}


def _read_network(
    module: Any, width: int, place: str
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Parameters of ``HiddenLayers``; the last matrix [in, out] and its biases.

    Args:
      module: A ``RadialMLP``, whose last inputs are the numbers of both ends of an edge.
      width: How many numbers an end has.
      place: Where it stands, for messages.
    """
    layers.expect(module, "RadialMLP", "mace", place)
    parts = list(torch_modules.children(module.net).values())
    _check_parts(parts, place)
    hidden: dict[str, Any] = {}
    *linears, last = parts[::3]
    for i, (linear, norm) in enumerate(zip(linears, parts[1::3], strict=True)):
        matrix, bias = _read_linear(linear)
        if i == 0:
            matrix, source, target = np.split(matrix, [-2 * width, -width])
            hidden["of_source"], hidden["of_target"] = source * width**0.5, target * width**0.5
        hidden[f"layer_{i}"], hidden[f"layer_{i}_bias"] = matrix * len(matrix) ** 0.5, bias
        scale, shift = torch_modules.array(norm.weight), torch_modules.array(norm.bias)
        hidden[f"norm_{i}"] = {"scale": scale, "bias": shift}
    return hidden, *_read_linear(last)


def _check_parts(parts: Sequence[Any], place: str) -> None:
    """Refuses another sequence than linear, norm, silu, …, linear."""
    cycle = "Linear", "LayerNorm", "SiLU"
    for i, part in enumerate(parts):
        layers.expect(part, cycle[i % 3], "torch", f"{place}.net.{i}")
        if i % 3 == 1 and part.eps != NORM_EPSILON:
            raise errors.ConversionError(
                f"{place}.net.{i}: expected an epsilon of {NORM_EPSILON:g}, received {part.eps:g}"
            )
    if len(parts) < 4 or len(parts) % 3 != 1:
        raise errors.ConversionError(
            f"{place}: expected a hidden layer at least and a linear one at the end, "
            f"received {len(parts)} parts"
        )


def _read_linear(module: Any) -> tuple[np.ndarray, np.ndarray]:
    return torch_modules.array(module.weight).T, torch_modules.array(module.bias)
