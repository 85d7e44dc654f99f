"""Pictures of a run: parity, learning curve, distribution of errors; drawn without a display."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from equipot import errors, files
from equipot.data.structure import Structure
from equipot.potential.evaluate import HostPrediction
from equipot.quantities import DERIVED, Quantity
from equipot.training import reports, run_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Evaluated = Mapping[str, tuple[Sequence[Structure], Sequence[HostPrediction]]]

_DRAWN = 20_000  # points per split and panel; more cannot be told apart
_BINS = 101


def save_plots(
    folder: Path,
    evaluated: Evaluated,
    metrics: Path,
    quantities: Mapping[str, Quantity] = DERIVED,
) -> list[Path]:
    """Writes parity.png, errors.png and learning_curve.png.

    Args:
      folder: Where to; made if needed.
      evaluated: Structures and predictions of each split.
      metrics: The run's metrics.jsonl.
      quantities: What is drawn where there are labels, by name.

    Returns:
      The files.

    Raises:
      CheckpointError: If the disk does not take one.
    """
    pairs = {
        name: {
            split: reports.labels_and_predictions(*content, quantity)
            for split, content in evaluated.items()
        }
        for name, quantity in quantities.items()
    }
    labelled = {q: own for q, own in pairs.items() if any(len(x) for x, _ in own.values())}
    figures = {
        "parity": _parity(labelled, quantities),
        "errors": _distribution(labelled, quantities),
        "learning_curve": _learning_curve(metrics, quantities),
    }
    for name, figure in figures.items():
        with files.whole(folder / f"{name}.png", errors.CheckpointError) as draft:
            figure.savefig(draft, dpi=150)
    return [folder / f"{name}.png" for name in figures]


Pairs = Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]]


def panels(count: int) -> tuple["Figure", Sequence["Axes"]]:
    """A figure of so many panels side by side."""
    # Figure without pyplot: no display is looked for and no global state is left behind.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * max(count, 1), 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, max(count, 1), squeeze=False)[0]


def _parity(pairs: Pairs, quantities: Mapping[str, Quantity]) -> "Figure":
    figure, axes = panels(len(pairs))
    for axis, (name, splits) in zip(axes, pairs.items(), strict=False):
        everything = np.concatenate([np.concatenate(pair) for pair in splits.values()])
        ends = [everything.min(), everything.max()]
        axis.plot(ends, ends, color="0.6", linewidth=1, zorder=0)
        for split, (labels, predicted) in splits.items():
            chosen = slice(None, None, max(1, len(labels) // _DRAWN))
            axis.plot(labels[chosen], predicted[chosen], ".", markersize=2, label=split, alpha=0.5)
        quantity = quantities[name]
        unit = f"{quantity.unit}/atom" if quantity.is_extensive else quantity.unit
        axis.set_xlabel(_with_unit("label,", unit))
        axis.set_ylabel(_with_unit("prediction,", unit))
        axis.set_title(name)
        axis.legend(markerscale=5)
    return figure


def _distribution(pairs: Pairs, quantities: Mapping[str, Quantity]) -> "Figure":
    figure, axes = panels(len(pairs))
    for axis, (name, splits) in zip(axes, pairs.items(), strict=False):
        quantity = quantities[name]
        differences = {
            split: quantity.factor * (p - l) for split, (l, p) in splits.items() if len(l)
        }
        widest = np.quantile(np.abs(np.concatenate(list(differences.values()))), 0.99)
        edges = np.linspace(-widest, widest, _BINS) if widest > 0 else np.linspace(-1, 1, _BINS)
        for split, difference in differences.items():
            axis.hist(difference, edges.tolist(), histtype="step", density=True, label=split)
        axis.set_xlabel(_with_unit("prediction − label,", quantity.shown))
        axis.set_yscale("log")
        axis.set_title(name)
        axis.legend()
    return figure


def _with_unit(text: str, unit: str) -> str:
    return f"{text} {unit}" if unit else text.rstrip(",")


def _learning_curve(metrics: Path, quantities: Mapping[str, Quantity]) -> "Figure":
    lines, _ = run_log.read_lines(metrics)
    drawn = [q for name, q in quantities.items() if name != "stress"]
    curves = [("loss", 1.0, ""), *((f"{q.name}_rmse", q.factor, q.shown) for q in drawn)]
    figure, axes = panels(len(curves))
    for axis, (name, factor, unit) in zip(axes, curves, strict=True):
        for key, style in ((name, "-"), (f"valid_{name}", "o-")):
            points = [(x["step"], factor * x[key]) for x in lines if x.get(key)]
            if points:
                label = "validation" if key != name else "training"
                axis.plot(*zip(*points, strict=True), style, markersize=3, linewidth=1, label=label)
                axis.legend()
                axis.set_yscale("log")
        axis.set_xlabel("step")
        axis.set_ylabel(f"{name.replace('_', ' ').replace('rmse', 'RMSE')} {unit}".strip())
    return figure
