"""Learning curves: errors of runs that differ in how many structures they were trained on.

The error falls as a power of their number N, RMSE = a N⁻ᵇ, where nothing else limits it; −b is the
slope of the straight line through the points (log N, log RMSE), by least squares.
"""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from equipot.quantities import Quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from equipot.training.comparison import Run

SIZE = "data.num_train"
_POOLED = ("seed", "data.split_seed")  # what may differ along a curve
_UNNAMED = ("run_dir", "name", "logger")
_FEWEST = 2  # sizes
_PART = re.compile(rf"(^|,)\+?{re.escape(SIZE)}=[^,/]*|(^|,)(data\.split_)?seed=[^,/]*")


class PowerLaw(NamedTuple):
    """RMSE = factor · N^(−exponent).

    Attributes:
      factor: Error at one structure, in the unit of the quantity.
      exponent: How fast it falls.
      deviation: Standard deviation of the exponent; NaN with two points, which have no scatter.
    """

    factor: float
    exponent: float
    deviation: float

    def at(self, sizes: np.ndarray) -> np.ndarray:
        """The error at these numbers of structures."""
        return self.factor * sizes**-self.exponent


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """Runs that differ in the number of training structures and in seeds alone.

    Attributes:
      name: What they are called.
      sizes: Training structures of each run, ascending.
      runs: In the same order.
    """

    name: str
    sizes: tuple[int, ...]
    runs: "tuple[Run, ...]"

    def points(self, split: str, quantity: str) -> tuple[np.ndarray, np.ndarray]:
        """Sizes and errors of the runs that have this error, in the unit of the quantity."""
        pairs = [
            (size, error)
            for size, run in zip(self.sizes, self.runs, strict=True)
            if (error := run.rmse(split, quantity)) is not None and error > 0
        ]
        found = np.asarray(pairs, float).reshape(-1, 2)
        return found[:, 0], found[:, 1]


def find(runs: "Sequence[Run]", names: Mapping[Path, str]) -> list[Curve]:
    """The curves among runs: those with at least two numbers of training structures.

    Args:
      runs: Any.
      names: What a run is called.
    """
    families: dict[str, list[tuple[int, Run]]] = {}
    for run in runs:
        size = run.settings.get(SIZE)
        if isinstance(size, int):
            kept = {
                key: value
                for key, value in run.settings.items()
                if key not in (SIZE, *_POOLED) and key.split(".")[0] not in _UNNAMED
            }
            families.setdefault(json.dumps(kept, sort_keys=True, default=str), []).append(
                (size, run)
            )
    curves = []
    for own in families.values():
        own.sort(key=lambda pair: pair[0])
        if len({size for size, _ in own}) >= _FEWEST:
            name = _PART.sub("", names[own[0][1].path]).strip("+,") or own[0][1].path.parent.name
            sizes, members = zip(*own, strict=True)
            curves.append(Curve(name=name, sizes=sizes, runs=members))
    return sorted(curves, key=lambda curve: curve.name)


def fit(sizes: np.ndarray, errors: np.ndarray) -> PowerLaw | None:
    """The power law through points; None with fewer than two sizes.

    Args:
      sizes: Numbers of structures.
      errors: Positive.
    """
    if len(np.unique(sizes)) < _FEWEST:
        return None
    x, y = np.log(sizes), np.log(errors)
    centered = x - x.mean()
    slope = float(centered @ y / (centered @ centered))
    intercept = float(y.mean() - slope * x.mean())
    free = len(x) - 2
    scatter = y - intercept - slope * x
    variance = float(scatter @ scatter) / free / float(centered @ centered) if free else np.nan
    return PowerLaw(float(np.exp(intercept)), -slope, float(np.sqrt(variance)))


def lines(curves: Sequence[Curve], quantities: Sequence[Quantity]) -> list[str]:
    """The exponents, one line for each curve; nothing without a curve.

    Args:
      curves: From ``find``.
      quantities: Whose errors.
    """
    rows = []
    for curve in curves:
        shown = []
        for quantity in quantities:
            law = fit(*curve.points(split_of(curve, quantity), quantity.name))
            if law is not None:
                spread = f" ± {law.deviation:.2f}" if np.isfinite(law.deviation) else ""
                shown.append(f"{quantity.name} {law.exponent:.2f}{spread}")
        if shown:
            sizes = ", ".join(map(str, sorted(set(curve.sizes))))
            rows.append(f"{curve.name}: {', '.join(shown)}  ({sizes} structures)")
    return ["", "learning curves, exponents b of RMSE = a N^-b:", *rows] if rows else []


def split_of(curve: Curve, quantity: Quantity) -> str:
    """The test split where its runs have one, else validation."""
    sizes, _ = curve.points("test", quantity.name)
    return "test" if len(np.unique(sizes)) >= _FEWEST else "valid"


def draw(axis: "Axes", curves: Sequence[Curve], quantity: Quantity) -> None:
    """Draws the errors of a quantity and their power laws, both axes logarithmic.

    Args:
      axis: Where.
      curves: From ``find``.
      quantity: Whose errors.
    """
    sizes = sorted({size for curve in curves for size in curve.sizes})
    for number, curve in enumerate(curves):
        split, color = split_of(curve, quantity), f"C{number}"
        x, y = curve.points(split, quantity.name)
        law = fit(x, y)
        label = curve.name if law is None else f"{curve.name}: b = {law.exponent:.2f}"
        axis.plot(x, quantity.factor * y, "o", color=color, label=label)
        if law is not None:
            ends = np.asarray([x.min(), x.max()])
            axis.plot(ends, quantity.factor * law.at(ends), "-", linewidth=1, color=color)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.minorticks_off()
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter("{x:g}")
    axis.set_xlabel("training structures")
    axis.set_ylabel(f"RMSE of {quantity.name}, {quantity.shown}")
    axis.legend(fontsize="small", title="RMSE = a N$^{-b}$")
