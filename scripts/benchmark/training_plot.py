"""Draws errors of validation against minutes, one panel for each set of data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

from equipot import files


def plot(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Force MAE over time, both on logarithmic axes, a line for each run.

    Args:
      results: What ``scripts.benchmark.training`` found.
      path: Of the picture.
    """
    matplotlib.use("Agg")
    from matplotlib import pyplot

    sets = list(dict.fromkeys(result["set"] for result in results))
    names = list(dict.fromkeys(result["recipe"] for result in results))
    figure, axes = pyplot.subplots(
        1, len(sets), figsize=(4.2 * len(sets), 3.6), layout="constrained", squeeze=False
    )
    for axis, name in zip(axes[0], sets, strict=True):
        for result in results:
            points = [p for p in result.get("curve", ()) if "valid_forces_mae" in p]
            if result["set"] == name and points:
                minutes = [p["seconds"] / 60 for p in points]
                errors = [1e3 * p["valid_forces_mae"] for p in points]
                color = f"C{names.index(result['recipe']) % 10}"
                axis.plot(minutes, errors, ".-", color=color, label=result["recipe"])
        axis.set(title=name, xlabel="minutes", xscale="log", yscale="log")
        axis.grid(alpha=0.3)
        handles, labels = axis.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        if unique:
            axis.legend(unique.values(), unique.keys(), frameon=False, fontsize="small")
    axes[0][0].set_ylabel("force MAE, validation, meV/Å")
    with files.whole(path) as draft:
        figure.savefig(draft, dpi=150, format=path.suffix[1:] or "png")
    pyplot.close(figure)
