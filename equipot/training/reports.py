"""Tables of errors: predictions against labels, over all, per element and per group."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from equipot.data import structure as structures_
from equipot.data.structure import Structure
from equipot.potential.evaluate import HostPrediction

_UNITS = {"energy": "meV/atom", "forces": "meV/Å", "stress": "meV/Å³"}


@dataclasses.dataclass(frozen=True)
class Errors:
    """Errors of one quantity over its labels.

    Attributes:
      mae: Mean absolute error, in the unit of the quantity.
      rmse: Root mean square error.
      relative: RMSE as a share of the root mean square of the labels; of the labels' deviation from
        their mean for energies, whose zero means nothing; NaN where that is 0.
    """

    mae: float
    rmse: float
    relative: float

    def to_json(self, with_relative: bool = True) -> dict[str, float | None]:
        """Plain numbers; a relative error that means nothing is null."""
        numbers: dict[str, float | None] = {"rmse": self.rmse, "mae": self.mae}
        if with_relative:
            numbers["relative"] = self.relative if np.isfinite(self.relative) else None
        return numbers


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitErrors:
    """Errors on one split; a quantity without labels is None.

    Attributes:
      energy: Per atom, eV/atom.
      forces: Per component, eV/Å.
      stress: Per component, eV/Å³.
      elements: Errors of the forces by chemical symbol.
      groups: Energy, forces and stress by ``Structure.group``, where structures have one, else by
        level of theory, where there are several.
    """

    energy: Errors | None
    forces: Errors | None
    stress: Errors | None
    elements: Mapping[str, Errors] = dataclasses.field(default_factory=dict)
    groups: Mapping[str, "SplitErrors"] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers in eV and Å, nested as in metrics.json."""
        result: dict[str, Any] = {}
        for name in _UNITS:
            errors = getattr(self, name)
            result[name] = None if errors is None else errors.to_json(name != "energy")
        if self.elements:
            result["elements"] = {k: errors.to_json() for k, errors in self.elements.items()}
        if self.groups:
            result["groups"] = {k: group.to_json() for k, group in self.groups.items()}
        return result


def split_errors(
    structures: Sequence[Structure], predictions: Sequence[HostPrediction]
) -> SplitErrors:
    """Compares predictions with whatever labels there are.

    Args:
      structures: With labels; weights matter only in being zero or not.
      predictions: Of these structures, in the same order.
    """
    groups = _groups(structures)
    names = sorted(set(groups) - {""}, key=_natural)
    members = {name: [i for i, own in enumerate(groups) if own == name] for name in names}
    return dataclasses.replace(
        _quantities(structures, predictions),
        elements=_per_element(structures, predictions),
        groups={
            name: _quantities([structures[i] for i in own], [predictions[i] for i in own])
            for name, own in members.items()
        },
    )


def _groups(structures: Sequence[Structure]) -> list[str]:
    """What each structure is told apart by: its group, or its level of theory."""
    groups, heads = [s.group for s in structures], [s.head for s in structures]
    return heads if not any(groups) and len(set(heads)) > 1 else groups


def error_table(splits: Mapping[str, SplitErrors]) -> str:
    """A table for people, in meV: MAE, RMSE and relative error, then elements and groups.

    Groups are listed for the last split alone; ``SplitErrors.to_json`` has those of all.

    Args:
      splits: By name, ``{"train": …, "test": …}``.
    """
    last = [*splits][-1:]
    rows = [("", "", "MAE", "RMSE", "", "relative")]
    for split, errors in splits.items():
        rows += _rows(split, errors)
        rows += [_row(split, f"forces on {k}", e, "forces") for k, e in errors.elements.items()]
        for group, own in errors.groups.items() if [split] == last else ():
            rows += _rows(f"{split}, {group}", own)
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    aligned = [
        f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}} "
        f"{e:<{widths[4]}}  {f:>{widths[5]}}".rstrip()
        for a, b, c, d, e, f in rows
    ]
    return "\n".join(aligned)


def labels_and_predictions(
    structures: Sequence[Structure], predictions: Sequence[HostPrediction], quantity: str
) -> tuple[np.ndarray, np.ndarray]:
    """Flat arrays of the labels that exist and of the predictions for them.

    Args:
      structures: With labels.
      predictions: In the same order.
      quantity: ``energy`` (per atom), ``forces`` or ``stress``.
    """
    pairs = [
        (_label(s, quantity), _label(p, quantity, len(s.positions)))
        for s, p in zip(structures, predictions, strict=True)
        if getattr(s, f"{quantity}_weight") > 0 and (quantity != "stress" or p.has_stress)
    ]
    labels = [label.ravel() for label, _ in pairs]
    predicted = [prediction.ravel() for _, prediction in pairs]
    return np.concatenate([np.zeros(0), *labels]), np.concatenate([np.zeros(0), *predicted])


def _label(
    source: Structure | HostPrediction, quantity: str, num_atoms: int | None = None
) -> np.ndarray:
    value = np.asarray(getattr(source, quantity), np.float64)
    count = num_atoms or len(source.forces)
    return np.reshape(value / count, 1) if quantity == "energy" else value


def _quantities(
    structures: Sequence[Structure], predictions: Sequence[HostPrediction]
) -> SplitErrors:
    found = {
        quantity: _errors(
            *labels_and_predictions(structures, predictions, quantity), quantity == "energy"
        )
        for quantity in _UNITS
    }
    return SplitErrors(energy=found["energy"], forces=found["forces"], stress=found["stress"])


def _per_element(
    structures: Sequence[Structure], predictions: Sequence[HostPrediction]
) -> dict[str, Errors]:
    pairs = [(s, p) for s, p in zip(structures, predictions, strict=True) if s.forces_weight > 0]
    if not pairs:
        return {}
    numbers = np.concatenate([s.atomic_numbers for s, _ in pairs])
    labels = np.concatenate([s.forces for s, _ in pairs])
    predicted = np.concatenate([p.forces for _, p in pairs])
    result = {}
    for number in np.unique(numbers):
        own = numbers == number
        errors = _errors(labels[own].ravel(), predicted[own].ravel())
        if errors is not None:
            result[structures_.symbol(int(number))] = errors
    return result


def _errors(labels: np.ndarray, predicted: np.ndarray, centered: bool = False) -> Errors | None:
    if not labels.size:
        return None
    difference = predicted - labels
    size = np.sqrt(np.mean((labels - labels.mean() if centered else labels) ** 2))
    rmse = float(np.sqrt(np.mean(difference**2)))
    return Errors(
        mae=float(np.mean(np.abs(difference))),
        rmse=rmse,
        relative=float(rmse / size) if size > 0 else float("nan"),
    )


def _rows(split: str, errors: SplitErrors) -> list[tuple[str, ...]]:
    present = {name: getattr(errors, name) for name in _UNITS}
    return [_row(split, name, e, name) for name, e in present.items() if e is not None]


def _row(split: str, name: str, errors: Errors, quantity: str) -> tuple[str, ...]:
    mae, rmse = f"{1e3 * errors.mae:.2f}", f"{1e3 * errors.rmse:.2f}"
    relative = f"{100 * errors.relative:.2f} %" if np.isfinite(errors.relative) else ""
    return split, name, mae, rmse, _UNITS[quantity], relative


def _natural(name: str) -> tuple[float, str]:
    """Numbers by value, then words."""
    try:
        return float(name), ""
    except ValueError:
        return float("inf"), name
