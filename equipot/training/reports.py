"""Tables of errors: predictions against labels, over all, per element and per group."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from equipot.data import structure as structures_
from equipot.data.structure import Structure
from equipot.potential.evaluate import HostPrediction
from equipot.quantities import DERIVED, Quantity
from equipot.training import metrics


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

    def to_json(self) -> dict[str, float | None]:
        """Plain numbers; a relative error that means nothing is null."""
        relative = self.relative if np.isfinite(self.relative) else None
        return {"rmse": self.rmse, "mae": self.mae, "relative": relative}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitErrors:
    """Errors on one split.

    Attributes:
      quantities: Per component, of energies per atom, in the unit of the quantity; None for one
        without labels.
      elements: Errors of the quantities of atoms, by name and chemical symbol.
      groups: Errors by ``Structure.group``, where structures have one, else by level of theory,
        where there are several.
      by_head: Whether the groups are levels of theory.
    """

    quantities: Mapping[str, Errors | None]
    elements: Mapping[str, Mapping[str, Errors]] = dataclasses.field(default_factory=dict)
    groups: Mapping[str, "SplitErrors"] = dataclasses.field(default_factory=dict)
    by_head: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain numbers in the units of the quantities, nested as in metrics.json.

        Errors of the forces by element stand under ``elements``, those of others under their name.
        """
        result: dict[str, Any] = {}
        for name, errors in self.quantities.items():
            result[name] = None if errors is None else errors.to_json()
        for name, of_elements in self.elements.items():
            own = {k: errors.to_json() for k, errors in of_elements.items()}
            (result if name == "forces" else result[name])["elements"] = own
        if self.groups:
            result["groups"] = {k: group.to_json() for k, group in self.groups.items()}
        return result

    def summary(self, quantities: Mapping[str, Quantity]) -> dict[str, Any]:
        """RMSE and MAE of each quantity with labels, in the unit of tables, which stands beside.

        Null where a prediction was not finite.

        Args:
          quantities: What was compared, by name.
        """
        return {
            name: {
                "rmse": quantities[name].factor * own.rmse if np.isfinite(own.rmse) else None,
                "mae": quantities[name].factor * own.mae if np.isfinite(own.mae) else None,
                "unit": quantities[name].shown,
            }
            for name, own in self.quantities.items()
            if own is not None
        }


def split_errors(
    structures: Sequence[Structure],
    predictions: Sequence[HostPrediction],
    quantities: Mapping[str, Quantity] = DERIVED,
) -> SplitErrors:
    """Compares predictions with whatever labels there are.

    Args:
      structures: With labels; weights matter only in being zero or not.
      predictions: Of these structures, in the same order.
      quantities: What is compared, by name.
    """
    by_head = _are_levels(structures)
    groups = [s.head if by_head else s.group for s in structures]
    names = sorted(set(groups) - {""}, key=_natural)
    members: dict[str, list[int]] = {name: [] for name in names}
    for i, name in enumerate(groups):
        if name:
            members[name].append(i)
    return dataclasses.replace(
        _overall(structures, predictions, quantities),
        elements=_by_element(structures, predictions, quantities),
        groups={
            name: _overall([structures[i] for i in own], [predictions[i] for i in own], quantities)
            for name, own in members.items()
        },
        by_head=by_head,
    )


def _are_levels(structures: Sequence[Structure]) -> bool:
    """Whether levels of theory distinguish the structures, because no groups do."""
    return not any(s.group for s in structures) and len({s.head for s in structures}) > 1


def units(quantities: Mapping[str, Quantity]) -> dict[str, str]:
    """Units of RMSE and MAE in JSON, by the name of the quantity."""
    return {name: f"{q.unit}/atom" if q.is_extensive else q.unit for name, q in quantities.items()}


def error_table(
    splits: Mapping[str, SplitErrors],
    quantities: Mapping[str, Quantity] = DERIVED,
    group_key: str | None = None,
    head_key: str | None = None,
) -> str:
    """A table for people: MAE, RMSE and relative error, then elements and groups.

    Groups are listed for the last split alone; ``SplitErrors.to_json`` has those of all.

    Args:
      splits: By name, ``{"train": …, "test": …}``.
      quantities: What was compared, by name.
      group_key: Name of what groups differ in, which then stands before each.
      head_key: The same of levels of theory.
    """
    last = [*splits][-1:]
    rows = [("", "", "MAE", "RMSE", "", "relative")]
    for split, errors in splits.items():
        rows += _rows(split, errors, quantities)
        rows += [
            _row(split, f"{name} on {k}", own, quantities[name])
            for name, of_elements in errors.elements.items()
            for k, own in of_elements.items()
        ]
        for group, own in errors.groups.items() if [split] == last else ():
            key = head_key if errors.by_head else group_key
            named = f"{key}={group}" if key else group
            rows += _rows(f"{split}, {named}", own, quantities)
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    aligned = [
        f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}} "
        f"{e:<{widths[4]}}  {f:>{widths[5]}}".rstrip()
        for a, b, c, d, e, f in rows
    ]
    return "\n".join(aligned)


def no_better_than_zeros(
    splits: Mapping[str, SplitErrors], quantities: Mapping[str, Quantity] = DERIVED
) -> list[str]:
    """A sentence for each quantity of a split, but the energy, that zeros predict as well.

    Args:
      splits: By name, as in ``error_table``.
      quantities: What was compared, by name.
    """
    return [
        f"{split}: zeros would be at least as good for {name} (RMSE {100 * own.relative:.0f} %"
        " of the size of the labels): nothing was learnt of them that holds for these structures"
        for split, found in splits.items()
        for name, own in found.quantities.items()
        if own is not None and not quantities[name].is_extensive and own.relative >= 1
    ]


def labels_and_predictions(
    structures: Sequence[Structure], predictions: Sequence[HostPrediction], quantity: Quantity
) -> tuple[np.ndarray, np.ndarray]:
    """Flat arrays of the labels that exist and of the predictions for them.

    Args:
      structures: With labels.
      predictions: In the same order.
      quantity: Which; energies are per atom.
    """
    labels, predicted = [np.zeros(0)], [np.zeros(0)]
    for s, p in zip(structures, predictions, strict=True):
        label = s.label(quantity.name)
        if label is None or (quantity.name == "stress" and not p.has_stress):
            continue
        size = len(s.positions) if quantity.is_extensive else 1
        labels.append(np.asarray(label.value, np.float64).ravel() / size)
        predicted.append(np.asarray(p.value(quantity.name), np.float64).ravel() / size)
    return np.concatenate(labels), np.concatenate(predicted)


def _overall(
    structures: Sequence[Structure],
    predictions: Sequence[HostPrediction],
    quantities: Mapping[str, Quantity],
) -> SplitErrors:
    return SplitErrors(
        quantities={
            name: _errors(
                *labels_and_predictions(structures, predictions, quantity), quantity.is_extensive
            )
            for name, quantity in quantities.items()
        }
    )


def _by_element(
    structures: Sequence[Structure],
    predictions: Sequence[HostPrediction],
    quantities: Mapping[str, Quantity],
) -> dict[str, dict[str, Errors]]:
    """Errors of each quantity of atoms that has labels, by name and chemical symbol."""
    result = {}
    for name, quantity in quantities.items():
        if quantity.per != "atom":
            continue
        labelled = [s for s in structures if s.label(name) is not None]
        if labelled:
            numbers = np.concatenate([s.atomic_numbers for s in labelled])
            flat = labels_and_predictions(structures, predictions, quantity)
            labels, predicted = (x.reshape(len(numbers), -1) for x in flat)
            result[name] = _per_element(numbers, labels, predicted)
    return result


def _per_element(
    numbers: np.ndarray, labels: np.ndarray, predicted: np.ndarray
) -> dict[str, Errors]:
    """Errors by chemical symbol, from arrays whose rows are atoms."""
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
    mae, rmse = metrics.mae_and_rmse(predicted - labels)
    _, size = metrics.mae_and_rmse(labels - labels.mean() if centered else labels)
    return Errors(mae=mae, rmse=rmse, relative=rmse / size if size > 0 else float("nan"))


def _rows(
    split: str, errors: SplitErrors, quantities: Mapping[str, Quantity]
) -> list[tuple[str, ...]]:
    present = errors.quantities.items()
    return [_row(split, name, e, quantities[name]) for name, e in present if e is not None]


def _row(split: str, name: str, errors: Errors, quantity: Quantity) -> tuple[str, ...]:
    mae, rmse = quantity.show(errors.mae), quantity.show(errors.rmse)
    relative = f"{100 * errors.relative:.2f} %" if np.isfinite(errors.relative) else ""
    return split, name, mae, rmse, quantity.shown, relative


def _natural(name: str) -> tuple[float, str]:
    """Numbers by value, then words."""
    try:
        return float(name), ""
    except ValueError:
        return float("inf"), name
