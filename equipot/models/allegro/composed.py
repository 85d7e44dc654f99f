"""Linear maps in sequence, multiplied with each other before features meet them.

Perceptrons that read each other's outputs are linear between hidden layers. Where features are many
(one for each pair of atoms) and parameters few, it is cheap to multiply matrices first: a hidden
layer then reads earlier hidden layers directly, and nothing linear in them is ever made.

Hidden layers have numbers. A ``Linear`` says what features are in terms of them.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from equipot.typing import Array

Draw: TypeAlias = Callable[[str, tuple[int, ...], int], Array]
"""From name, shape and fan-in to a parameter."""


class Linear(NamedTuple):
    """Features that are linear in hidden layers.

    Attributes:
      matrices: For each hidden layer that is read its matrix; None is the identity.
      width: Number of features.
    """

    matrices: Mapping[int, Any]
    width: int


class Perceptron(NamedTuple):
    """From features to a hidden layer: x = act(Σ_n h_n first[n]), then x = act(x hidden) for each.

    Attributes:
      first: A matrix for each hidden layer that is read; none of them if there is no hidden layer.
      hidden: The matrices that follow.
    """

    first: Mapping[int, Array]
    hidden: Sequence[Array]


def linear(draw: Draw, name: str, inputs: Sequence[Linear], width: int) -> Linear:
    """A linear map of features side by side."""
    rows = count(inputs)
    return compose(inputs, draw(name, (rows, width), rows))


def count(inputs: Sequence[Linear]) -> int:
    """Number of features."""
    return sum(features.width for features in inputs)


def compose(inputs: Sequence[Linear], matrix: Array) -> Linear:
    """Multiplies what makes the features with the matrix that they would meet, side by side."""
    result: dict[int, Array] = {}
    start = 0
    for features in inputs:
        rows = matrix[start : start + features.width]
        for source, before in features.matrices.items():
            term = rows if before is None else before @ rows
            result[source] = result[source] + term if source in result else term
        start += features.width
    return Linear(result, matrix.shape[-1])


def perceptron(
    draw: Draw, name: str, inputs: Sequence[Linear], widths: Sequence[int], number: int
) -> tuple[Perceptron, list[Linear]]:
    """The matrices to hidden layer ``number``, and the features before the last linear map.

    Without widths there is no hidden layer: the features are the inputs.
    """
    if not widths:
        return Perceptron({}, []), list(inputs)
    first = linear(draw, f"{name}_0", inputs, widths[0])
    hidden = [
        draw(f"{name}_{n}", shape, shape[0])
        for n, shape in enumerate(itertools.pairwise(widths), start=1)
    ]
    return Perceptron(first.matrices, hidden), [Linear({number: None}, widths[-1])]


def evaluate(
    activation: Callable[[Array], Array], layer: Perceptron, hidden: Mapping[int, Array]
) -> Array:
    """The hidden layer that a perceptron ends with."""
    x = activation(mix(layer.first, hidden))
    for matrix in layer.hidden:
        x = activation(x @ matrix)
    return x


def mix(matrices: Mapping[int, Array], hidden: Mapping[int, Array]) -> Array:
    """Features from hidden layers: one matrix product for each."""
    terms = [hidden[source] @ matrix for source, matrix in matrices.items()]
    return sum(terms[1:], terms[0])
