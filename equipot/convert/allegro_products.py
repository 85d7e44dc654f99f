"""The tensor products of nequip-allegro: weights of paths as ours, their constants included."""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from equipot import errors
from equipot.convert import nequip_layers as layers
from equipot.convert import torch_modules
from equipot.e3.arrays.irreps import Irrep
from equipot.e3.kernels.convolution import Path
from equipot.e3.kernels.environments import Layer, starts
from equipot.e3.products.tensor_product import coupling

_EXACT = 1e-6  # relative; a model in single precision has its couplings so too


def read_products(contracter: Any, layer: Layer, place: str) -> np.ndarray:
    """The weights of a layer's paths, [paths, channels].

    Theirs couple with √(2l₃+1) times e3nn's Wigner symbol, which is ours or its negative; ours
    divide by the root of the number of paths to a result.

    Args:
      contracter: A ``Contracter``.
      layer: What our layer couples.
      place: Where it stands, for messages.

    Raises:
      ConversionError: If it couples anything else, or differently.
    """
    torch_modules.expect_class(contracter, "Contracter", place)
    irreps = [
        list(layers.read_irreps(getattr(contracter, name), place))
        for name in ("irreps_in1", "irreps_in2", "irreps_out")
    ]
    theirs = _paths(irreps)
    if set(theirs) != set(layer.paths) or len(theirs) != contracter.num_paths:
        raise errors.ConversionError(
            f"{place}: expected the couplings {_names(layer.paths)}, received {_names(theirs)}"
        )
    weights = torch_modules.array(contracter.weights)
    weights = weights.reshape(-1 if contracter.path_channel_coupling else 1, len(theirs))
    symbols = _symbols(contracter, irreps, len(theirs))
    at = [starts(part) for part in irreps]
    rows = []
    for path in layer.paths:
        n = theirs.index(path)
        block = [
            slice(start[irrep], start[irrep] + irrep.dim)
            for start, irrep in zip(at, path, strict=True)
        ]
        fan_in = sum(other.out == path.out for other in layer.paths)
        factor = _ratio(symbols[(n, *block)], path, place) * math.sqrt(fan_in)
        rows.append(np.broadcast_to(weights[:, n] * factor, (contracter.mul,)))
    return np.stack(rows)


def _paths(irreps: Sequence[Sequence[Irrep]]) -> list[Path]:
    """Their paths, by result, then feature, then environment."""
    before, environment, after = irreps
    return [
        Path(node, edge, out)
        for out, node, edge in itertools.product(after, before, environment)
        if out in tuple(node * edge)
    ]


def _symbols(contracter: Any, irreps: Sequence[Sequence[Irrep]], count: int) -> np.ndarray:
    """Their couplings, [paths, feature, environment, result]."""
    sizes = [sum(irrep.dim for irrep in part) for part in irreps]
    found = torch_modules.array(contracter.w3j)
    if not contracter.w3j_is_ij_diagonal:
        return found.reshape(count, *sizes)
    diagonal = found.reshape(count, sizes[0], sizes[2])
    return np.eye(sizes[0])[None, :, :, None] * diagonal[:, :, None, :]


def _ratio(block: np.ndarray, path: Path, place: str) -> float:
    """Their coupling over ours: ±1, as exactly as the file has it."""
    ours = coupling(*path)
    ratio = float(np.sum(block * ours) / np.sum(ours**2))
    if not np.allclose(block, ratio * ours, rtol=0, atol=_EXACT * abs(ratio)):
        raise errors.ConversionError(
            f"{place}: the coupling {_names([path])} is no multiple of the Clebsch-Gordan"
            " coefficients that equipot has"
        )
    return ratio


def _names(paths: Iterable[Path]) -> str:
    return ", ".join(" x ".join(map(str, path[:2])) + f" > {path.out}" for path in paths)
