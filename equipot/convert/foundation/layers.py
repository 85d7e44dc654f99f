"""Layers of published potentials in plain matrices, written into an ``Interaction`` of ours.

In common notation a layer of theirs is

    y = Σ_p [Σ_j R_p(r) (x_j U) ⊗_p Y] D_p + x S,   then n(y) where there is a norm, then the gate

with a matrix D_p for every path p and radial weights R_p that a perceptron without biases makes,
whose activation is a plain silu. All that a program multiplies besides – normalisations, signs,
numbers of neighbors – is part of these matrices.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from equipot import errors
from equipot.convert.parameters import fill_hidden, put
from equipot.e3.arrays.irreps import Irrep
from equipot.e3.kernels.convolution import Path
from equipot.typing import PyTree

SCALAR = Irrep("0e")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """A layer of theirs.

    Attributes:
      place: Its name, for messages.
      linear_up: The matrix U of every irrep, [in, in].
      radial: Matrices of the perceptron; columns of the last are those of all paths, one path after
        another.
      paths: Every path with its matrix D, [in, before the gate], in the order of these columns.
      self_connection: The matrix S of every irrep, [in, before the gate].
      norm: Factors on the channels of every irrep after the norm; empty for no norm.
    """

    place: str
    linear_up: Mapping[Irrep, np.ndarray]
    radial: Sequence[np.ndarray]
    paths: Sequence[tuple[Path, np.ndarray]]
    self_connection: Mapping[Irrep, np.ndarray]
    norm: Mapping[Irrep, np.ndarray] = dataclasses.field(default_factory=dict)


def fill(
    target: PyTree,
    layer: Layer,
    *,
    scale: float,
    basis_ratio: float,
    avg_num_neighbors: float,
) -> None:
    """Writes a layer over the parameters of our ``Interaction``.

    Args:
      target: Its parameters, with a self-connection common to all species.
      layer: Theirs.
      scale: Theirs over ours, for the features that enter.
      basis_ratio: Theirs over ours, for the radial basis.
      avg_num_neighbors: By whose root our sums are divided.

    Raises:
      ConversionError: If a matrix has another shape than ours.
    """
    place = layer.place
    for irrep, matrix in layer.linear_up.items():
        found = matrix * scale * math.sqrt(len(matrix))
        put(target["linear_up"], str(irrep), found, f"{place}, linear map before the sum")
    for irrep, matrix in layer.self_connection.items():
        found = matrix * scale * math.sqrt(len(matrix))
        put(target["common_self_connection"], str(irrep), found, f"{place}, self-connection")
    for irrep, factors in layer.norm.items():
        put(target["norm"], str(irrep), factors, f"{place}, norm")
    last = fill_hidden(target["radial"], layer.radial, basis_ratio, place)
    fan_in: dict[Irrep, int] = {}
    for path, matrix in layer.paths:
        fan_in[path.out] = fan_in.get(path.out, 0) + len(matrix)
    start = 0
    for path, matrix in layer.paths:
        name, where = "_".join(map(str, path)), f"{place}, path {'_'.join(map(str, path))}"
        put(target["radial"], name, last[:, start : start + len(matrix)], where)
        factor = math.sqrt(fan_in[path.out] * avg_num_neighbors)
        put(target["linear_down"], name, matrix * factor, where)
        start += len(matrix)
    if start != last.shape[1]:
        raise errors.ConversionError(
            f"{place}: expected radial weights for {start} channels of the paths, received"
            f" {last.shape[1]}"
        )
