"""The structures that a potential is most wrong about."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from equipot.data.structure import Structure
from equipot.potential.evaluate import HostPrediction
from equipot.quantities import Quantity


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Worst:
    """A structure and its error in one quantity.

    Attributes:
      structure: With the label.
      error: RMSE over the components of the label, of energies per atom, in the unit of the
        quantity; infinity where the prediction is not finite.
      atom: Index of the atom with the largest error; None where the quantity is not of atoms.
      of_atom: Length of the error of that atom.
    """

    structure: Structure
    error: float
    atom: int | None = None
    of_atom: float = 0.0


def worst(
    structures: Sequence[Structure],
    predictions: Sequence[HostPrediction],
    quantity: Quantity,
    count: int = 8,
) -> list[Worst]:
    """The structures with the largest errors, the worst first.

    Args:
      structures: Of a split; those without the label are passed over.
      predictions: In the same order.
      quantity: Whose errors.
      count: At most how many.
    """
    name = quantity.name
    found: list[tuple[float, int]] = []
    for i, (structure, prediction) in enumerate(zip(structures, predictions, strict=True)):
        if structure.label(name) is None or (name == "stress" and not prediction.has_stress):
            continue
        difference = _difference(structure, prediction, quantity)
        if difference.size:
            found.append((_size(difference.ravel()) / difference.size**0.5, i))
    chosen = sorted(found, key=lambda own: (-own[0], own[1]))[:count]
    return [_made(structures[i], predictions[i], quantity, error) for error, i in chosen]


def _made(
    structure: Structure, prediction: HostPrediction, quantity: Quantity, error: float
) -> Worst:
    if quantity.per != "atom":
        return Worst(structure=structure, error=error)
    rows = _difference(structure, prediction, quantity).reshape(len(structure.positions), -1)
    lengths = [_size(row) for row in rows]
    atom = int(np.argmax(lengths))
    return Worst(structure=structure, error=error, atom=atom, of_atom=lengths[atom])


def _difference(structure: Structure, prediction: HostPrediction, quantity: Quantity) -> np.ndarray:
    """Prediction minus label; there is a label."""
    label = structure.label(quantity.name)
    assert label is not None
    size = len(structure.positions) if quantity.is_extensive else 1
    predicted = np.asarray(prediction.value(quantity.name), np.float64)
    return np.asarray((predicted - label.value) / size)


def _size(error: np.ndarray) -> float:
    """Length of a vector; infinity where a number is not finite."""
    return float(np.linalg.norm(error)) if np.isfinite(error).all() else float("inf")
