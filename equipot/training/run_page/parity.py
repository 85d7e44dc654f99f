"""Predictions against labels in a square, and their errors in a panel below it."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from equipot import pictures
from equipot.quantities import Quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHTS = (1.0, 0.5)
"""Of the two panels, in units of their width."""

_MANY = 2000  # points that still can be told apart
_CELLS = 90  # of a density along one axis
_OUTLIERS = 300  # drawn for each panel; further ones lie upon these
_RARE = 0.001  # share at either end that does not set the range of the axes by itself
_FAR = 2.0  # in units of the range of all others: what makes outliers of the rare
_MARGIN = 0.04  # of the range
_BEYOND = 0.3  # of the range of labels: how far it is stretched for predictions
_CRISP = 200  # points that are drawn as such; more become pixels, which take less room


@dataclasses.dataclass(frozen=True)
class Range:
    """An axis from ``low`` to ``high``."""

    low: float
    high: float

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Which of the values lie on it."""
        return (values >= self.low) & (values <= self.high)

    def stretched(self, values: np.ndarray) -> "Range":
        """With values that lie not far beyond either end."""
        beyond = _BEYOND * (self.high - self.low)
        near = values[(values >= self.low - beyond) & (values <= self.high + beyond)]
        margin = 0.25 * _MARGIN * (self.high - self.low)
        low, high = near.min(initial=np.inf) - margin, near.max(initial=-np.inf) + margin
        return Range(min(self.low, float(low)), max(self.high, float(high)))


def draw(
    parity: "Axes", below: "Axes", labels: np.ndarray, predicted: np.ndarray, quantity: Quantity
) -> None:
    """Draws both panels; many points as a density, what lies outside as triangles at the rim.

    Args:
      parity: Becomes a square with equal axes.
      below: For the errors, over the same labels.
      labels: Of all components, at least one, energies per atom, in the unit of the quantity.
      predicted: Likewise; some may not be finite.
      quantity: What they are.
    """
    finite = np.isfinite(predicted)
    center = float(labels.mean()) if quantity.is_extensive else 0.0
    errors = quantity.factor * (predicted - labels)[finite]
    x, y = labels[finite] - center, predicted[finite] - center
    across = range_of(labels - center, np.abs(errors).max(initial=0.0) / quantity.factor)
    across = across.stretched(y)
    up = _symmetric(errors)
    parity.plot([across.low, across.high], [across.low, across.high], color="0.5", linewidth=0.8)
    below.axhline(0.0, color="0.5", linewidth=0.8)
    _points(parity, x, y, across, across, HEIGHTS[0])
    _points(below, x, errors, across, up, HEIGHTS[1])
    outside = [~(across.holds(x) & across.holds(y)), ~(across.holds(x) & up.holds(errors))]
    for axis, missed, height in zip((parity, below), outside, HEIGHTS, strict=True):
        _say(axis, int(missed.sum()), int((~finite).sum()), len(labels))
        axis.set_box_aspect(height)
        axis.locator_params(nbins=5)
    unit = f"{quantity.unit}/atom" if quantity.is_extensive else quantity.unit
    name = "label − mean" if quantity.is_extensive else "label"
    predicted_name = "prediction − mean" if quantity.is_extensive else "prediction"
    parity.set_ylabel(with_unit(predicted_name, unit))
    parity.tick_params(labelbottom=False)
    below.set_xlabel(with_unit(name, unit))
    below.set_ylabel(with_unit("error", quantity.shown))


def range_of(values: np.ndarray, at_least: float = 0.0) -> Range:
    """All values, unless a few lie far from the others, which are then left outside.

    Args:
      values: At least one, all finite.
      at_least: Half of the width where all values are the same.
    """
    low, high = float(values.min()), float(values.max())
    inner_low, inner_high = np.quantile(values, [_RARE, 1.0 - _RARE]).tolist()
    inner = inner_high - inner_low
    if high - low > _FAR * inner > 0.0:
        low, high = max(low, inner_low - 0.25 * inner), min(high, inner_high + 0.25 * inner)
    margin = _MARGIN * (high - low) or at_least or 0.1 * abs(low) or 1.0
    return Range(low - margin, high + margin)


def with_unit(words: str, unit: str) -> str:
    """The name of an axis."""
    return f"{words}, {unit}" if unit else words


def _symmetric(errors: np.ndarray) -> Range:
    """Around 0."""
    sizes = np.abs(errors)
    largest = float(sizes.max(initial=0.0))
    inner = float(np.quantile(sizes, 1.0 - 2 * _RARE)) if sizes.size else 0.0
    largest = 1.25 * inner if largest > _FAR * inner > 0.0 else largest
    largest = (1.0 + _MARGIN) * largest or 1.0
    return Range(-largest, largest)


def _points(
    axis: "Axes", x: np.ndarray, y: np.ndarray, across: Range, up: Range, height: float
) -> None:
    """Draws what lies within the ranges, and marks at the rim what does not."""
    inside = across.holds(x) & up.holds(y)
    axis.set_xlim(across.low, across.high)
    axis.set_ylim(up.low, up.high)
    if inside.sum() > _MANY:
        _density(axis, x[inside], y[inside], across, up, height)
    else:
        [points] = axis.plot(x[inside], y[inside], ".", markersize=4, color=pictures.COLORS[0])
        points.set(alpha=0.7, markeredgewidth=0, rasterized=bool(inside.sum() > _CRISP))
    if inside.all():
        return
    rim = np.stack([x.clip(across.low, across.high), y.clip(up.low, up.high)])[:, ~inside]
    size = np.array([[across.high - across.low], [up.high - up.low]]) / (2 * _CELLS)
    _, kept = np.unique(np.round(rim / size), axis=1, return_index=True)
    rim = rim[:, kept[:: max(1, len(kept) // _OUTLIERS)]]
    options: dict[str, Any] = {"markersize": 5, "color": pictures.COLORS[4], "clip_on": False}
    axis.plot(*rim, linestyle="none", marker="^", label="outside", zorder=5, **options)


def _density(
    axis: "Axes", x: np.ndarray, y: np.ndarray, across: Range, up: Range, height: float
) -> None:
    """How many points there are in each cell, on a scale of logarithms."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    limits = [[up.low, up.high], [across.low, across.high]]
    counts = np.histogram2d(y, x, bins=[round(height * _CELLS), _CELLS], range=limits)[0]
    colors = LinearSegmentedColormap.from_list("counts", pictures.DENSITY)
    image = axis.imshow(
        np.where(counts > 0, counts, np.nan),
        extent=(across.low, across.high, up.low, up.high),
        norm=LogNorm(1.0, max(float(counts.max()), 10.0)),
        cmap=colors,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        zorder=2,
        gid=pictures.CELLS,
    )
    if height == HEIGHTS[0]:  # both have about the same numbers in a cell
        bar = axis.inset_axes((0.56, 0.1, 0.38, 0.035))
        axis.figure.colorbar(image, cax=bar, orientation="horizontal")
        bar.set_title("labels in a cell", fontsize="x-small", pad=3)
        bar.tick_params(labelsize="x-small")


def _say(axis: "Axes", outside: int, not_finite: int, count: int) -> None:
    """How many points are not to be seen in their place."""
    words = [f"▲ {outside:,} of {count:,} outside"] if outside else []
    words += [f"{not_finite:,} not finite"] if not_finite else []
    if words:
        axis.set_title(", ".join(words), loc="left", fontsize="small", color=pictures.COLORS[4])
