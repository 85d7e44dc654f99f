"""Learning curves: the loss, the errors of all quantities and the learning rate over the steps."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from equipot import pictures
from equipot.quantities import Quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Lines = Sequence[Mapping[str, float | int]]
_DRAWN = 1000  # points of a curve; more cannot be told apart


@dataclasses.dataclass(frozen=True)
class Curve:
    """What a panel shows.

    Attributes:
      key: In the lines of metrics.jsonl; validations have it with ``valid_`` before it.
      title: Name and unit.
      factor: From the unit of the lines to that of the title.
    """

    key: str
    title: str
    factor: float = 1.0


@dataclasses.dataclass(frozen=True)
class Names:
    """What the two kinds of lines are of, for legends.

    Attributes:
      training: The mean over the steps since the line before, each at the parameters of then.
      validation: All of the split at once.
    """

    training: str = "training (raw parameters)"
    validation: str = "validation (averaged parameters)"


def curves(lines: Lines, quantities: Mapping[str, Quantity]) -> list[Curve]:
    """The panels for which there is something to draw: loss, quantities, learning rate.

    Args:
      lines: Of metrics.jsonl.
      quantities: What is trained on, by name.
    """
    own = [
        Curve(f"{name}_rmse", f"RMSE of {name}, {quantity.shown}".rstrip(", "), quantity.factor)
        for name, quantity in quantities.items()
    ]
    every = [Curve("loss", "loss"), *own, Curve("learning_rate", "learning rate")]
    keys = {key for line in lines for key, value in line.items() if value}
    return [one for one in every if one.key in keys or f"valid_{one.key}" in keys]


def draw(
    axis: "Axes", curve: Curve, lines: Lines, names: Names, best_step: int | None = None
) -> None:
    """Draws training and validation, and marks the best step.

    Args:
      axis: To draw on.
      curve: Which panel.
      lines: Of metrics.jsonl.
      names: For the legend.
      best_step: Whose parameters are kept; None if it is not known.
    """
    last = max((line["step"] for line in lines), default=1)
    kinds = ((curve.key, names.training, "-"), (f"valid_{curve.key}", names.validation, "o-"))
    for color, (key, label, style) in zip(pictures.COLORS, kinds, strict=False):
        points = [(line["step"], curve.factor * line[key]) for line in lines if line.get(key)]
        kept = points[:: max(1, -(-len(points) // _DRAWN))]
        kept += points[-1:] if points and kept[-1] != points[-1] else []
        if kept:
            axis.plot(
                *zip(*kept, strict=True), style, markersize=3, linewidth=1, color=color, label=label
            )
    if best_step is not None and best_step > 0:
        axis.axvline(best_step, color="0.5", linewidth=0.8, linestyle=":", label="best step")
    axis.set_xlim(0, 1.02 * last)
    axis.set_xlabel("step")
    axis.set_ylabel(curve.title)
    if curve.key == "learning_rate":
        axis.set_ylim(0, None)
        axis.ticklabel_format(axis="y", style="plain")
        return
    axis.set_yscale("log")
    _label_decades(axis)


def _label_decades(axis: "Axes") -> None:
    """Plain numbers on the axis of logarithms, also where it spans less than a decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_ylim()
    shown = FuncFormatter(lambda value, _: f"{value:g}")
    axis.yaxis.set_major_formatter(shown)
    parts = (1, 2, 5) if high < 50 * low else (1,)
    axis.yaxis.set_major_locator(LogLocator(subs=parts))
    if high < 3 * low:
        axis.yaxis.set_major_locator(LogLocator(subs=tuple(range(1, 10))))
    axis.yaxis.set_minor_formatter(NullFormatter())
