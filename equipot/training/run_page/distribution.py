"""How errors are distributed: the share of labels in bins of round width, of all splits."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from equipot.quantities import Quantity
from equipot.training.run_page.parity import with_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FEWEST, _MOST = 8, 40  # bins on either side
_RARE = 0.002  # share of errors that may lie outside
_FAR = 10.0  # in units of the size that a quarter of all errors exceeds: what lies outside


def draw(axis: "Axes", errors: Mapping[str, np.ndarray], quantity: Quantity) -> None:
    """Draws one line of steps for each split.

    Args:
      axis: To draw on.
      errors: Prediction minus label by split, in the unit of tables; some may not be finite.
      quantity: What they are of.
    """
    finite = {split: own[np.isfinite(own)] for split, own in errors.items()}
    finite = {split: own for split, own in finite.items() if own.size}
    if not finite:
        axis.text(0.5, 0.5, "no error is finite", transform=axis.transAxes, ha="center")
        return
    edges = edges_of(finite)
    smallest, outside = 1.0, {}
    for split, own in finite.items():
        share = 100.0 / errors[split].size
        heights = share * np.histogram(own, edges)[0]
        axis.stairs(heights, edges.tolist(), label=split, linewidth=1.2)
        smallest = min(smallest, share)
        missed = errors[split].size - int(np.sum((own >= edges[0]) & (own <= edges[-1])))
        outside |= {split: missed} if missed else {}
    axis.axvline(0.0, color="0.5", linewidth=0.8, zorder=0)
    axis.set_yscale("log")
    axis.set_ylim(0.7 * smallest, 150.0)
    axis.set_xlim(edges[0], edges[-1])
    axis.yaxis.set_major_formatter("{x:g}")
    axis.set_xlabel(with_unit("prediction − label", quantity.shown))
    axis.set_ylabel(f"labels in a bin of {edges[1] - edges[0]:g}, %")
    axis.legend(loc="upper left", fontsize="small")
    if outside:
        words = "\n".join(f"{split}: {count:,}" for split, count in outside.items())
        axis.text(
            0.98, 0.97, f"outside\n{words}", transform=axis.transAxes, ha="right", va="top",
            fontsize="small",
        )  # fmt: skip


def edges_of(errors: Mapping[str, np.ndarray]) -> np.ndarray:
    """Edges of the bins, symmetric around 0, their width 1, 2 or 5 times a power of 10.

    As wide as the rule of Freedman and Diaconis makes them for the split with the most labels, or
    so that there are neither too many nor too few to read.

    Args:
      errors: Finite, at least one of each split.
    """
    sizes = np.abs(np.concatenate(list(errors.values())))
    typical, most_of = np.quantile(sizes, [0.75, 1.0 - _RARE]).tolist()
    largest = min(most_of, _FAR * typical or most_of) or float(sizes.max()) or 1.0
    most = max(errors.values(), key=len)
    quarter, three = np.quantile(most, [0.25, 0.75])
    width = 2.0 * float(three - quarter) / len(most) ** (1 / 3)
    width = round_number(min(max(width, largest / _MOST), largest / _FEWEST))
    count = math.ceil(largest / width)
    return width * np.arange(-count, count + 1)


def round_number(value: float) -> float:
    """The next larger of 1, 2 and 5 times a power of 10.

    Args:
      value: Positive.
    """
    power = 10.0 ** math.floor(math.log10(value))
    return next((m * power for m in (1, 2, 5) if m * power >= value * (1 - 1e-9)), 10 * power)
