"""Draws the times and the memory of models over the number of atoms."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from equipot import files
from scripts.benchmark.cases import ENERGY_FORCES, TASKS


def plot_models(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Time and temporary memory, log-log, each with a line of slope one through its first point.

    Args:
      rows: What ``benchmark_models`` found.
      path: Of the picture.
    """
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    models = list(dict.fromkeys(row["model"] for row in rows))
    columns = (("median", 1.0, "time, s"), ("temporary_bytes", 1e-6, "temporary memory, MB"))
    for axis, (key, unit, label) in zip(axes, columns, strict=True):
        for i, model in enumerate(models):
            for task in TASKS:
                chosen = [row for row in rows if (row["model"], row["task"]) == (model, task)]
                atoms = np.array([row["atoms"] for row in chosen])
                values = np.array([row[key] * unit for row in chosen])
                if len(chosen):
                    style = "o-" if task == ENERGY_FORCES else "s--"
                    axis.plot(atoms, values, style, color=f"C{i}", label=f"{model}, {task}")
                    axis.plot(atoms, values[0] * atoms / atoms[0], ":", color="gray", lw=0.8)
        axis.set(xlabel="atoms", ylabel=label, xscale="log", yscale="log")
        sizes = sorted({row["atoms"] for row in rows})
        axis.set_xticks(sizes, [str(size) for size in sizes])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].plot([], [], ":", color="gray", lw=0.8, label="in proportion to atoms")
    axes[0].legend(frameon=False, fontsize="small")
    with files.whole(path) as draft:
        figure.savefig(draft, dpi=150, format=path.suffix[1:] or "png")
    pyplot.close(figure)
