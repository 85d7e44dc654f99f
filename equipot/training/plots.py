"""Pictures of a run: parity, learning curve, distribution of errors; drawn without a display."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from equipot import errors, files
from equipot.quantities import DERIVED, Quantity
from equipot.training import reports, run_log
from equipot.training.run_page import curves, distribution, parity
from equipot.training.run_page.contents import Evaluated

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Pairs = Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]]

_BESIDE = 4  # learning curves in one row; more take two


def save_plots(
    folder: Path,
    evaluated: Evaluated,
    metrics: Path,
    quantities: Mapping[str, Quantity] = DERIVED,
    best_step: int | None = None,
    names: curves.Names | None = None,
) -> list[Path]:
    """Writes parity.png, errors.png and learning_curve.png.

    Args:
      folder: Where to; made if needed.
      evaluated: Structures and predictions of each split.
      metrics: The run's metrics.jsonl.
      quantities: What is drawn where there are labels, by name.
      best_step: Whose parameters are evaluated, if that is known.
      names: What training and validation are of in the learning curve.

    Returns:
      The files.

    Raises:
      CheckpointError: If the disk does not take one.
    """
    pairs = {
        name: {
            split: pair
            for split, content in evaluated.items()
            if len((pair := reports.labels_and_predictions(*content, quantity))[0])
        }
        for name, quantity in quantities.items()
    }
    labelled = {name: own for name, own in pairs.items() if own}
    lines, _ = run_log.read_lines(metrics)
    figures = {
        "parity": _parity(labelled, quantities),
        "errors": _distribution(labelled, quantities),
        "learning_curve": _learning_curve(lines, quantities, names or curves.Names(), best_step),
    }
    for name, figure in figures.items():
        with files.whole(folder / f"{name}.png", errors.CheckpointError) as draft:
            figure.savefig(draft, dpi=150)
    return [folder / f"{name}.png" for name in figures]


def panels(count: int) -> tuple["Figure", Sequence["Axes"]]:
    """A figure of so many panels side by side."""
    figure = _figure(4.2 * max(count, 1), 4.0)
    return figure, figure.subplots(1, max(count, 1), squeeze=False)[0]


def _figure(width: float, height: float) -> "Figure":
    """An empty figure, in inches."""
    # Figure without pyplot: no display is looked for and no global state is left behind.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _parity(pairs: Pairs, quantities: Mapping[str, Quantity]) -> "Figure":
    """For each quantity the last split that has labels: test, or else validation."""
    figure = _figure(3.9 * max(len(pairs), 1), 5.9)
    axes = figure.subplots(2, max(len(pairs), 1), squeeze=False, height_ratios=parity.HEIGHTS)
    for (above, below), (name, splits) in zip(axes.T, pairs.items(), strict=False):
        split, pair = list(splits.items())[-1]
        parity.draw(above, below, *pair, quantities[name])
        above.set_title(f"{name}, {split}", loc="right")
    return figure


def _distribution(pairs: Pairs, quantities: Mapping[str, Quantity]) -> "Figure":
    figure, axes = panels(len(pairs))
    for axis, (name, splits) in zip(axes, pairs.items(), strict=False):
        factor = quantities[name].factor
        differences = {split: factor * (p - l) for split, (l, p) in splits.items()}
        distribution.draw(axis, differences, quantities[name])
        axis.set_title(name)
    return figure


def _learning_curve(
    lines: curves.Lines,
    quantities: Mapping[str, Quantity],
    names: curves.Names,
    best_step: int | None,
) -> "Figure":
    shown = curves.curves(lines, quantities)
    columns = len(shown) if len(shown) <= _BESIDE else -(-len(shown) // 2)
    columns = columns or 1
    rows = -(-len(shown) // columns) or 1
    figure = _figure(3.6 * columns, 2.9 * rows + 0.3)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, curve in zip(axes, shown, strict=False):
        curves.draw(axis, curve, lines, names, best_step)
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    handles = dict(_handles(axes.tolist()))
    if handles:
        figure.legend(
            handles.values(), handles.keys(), loc="outside lower center", ncols=3, fontsize="small"
        )
    return figure


def _handles(axes: Sequence["Axes"]) -> Iterator[tuple[str, "Artist"]]:
    """What legends of all panels would show."""
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            yield label, handle
