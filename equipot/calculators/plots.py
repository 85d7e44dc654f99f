"""A picture of a dynamics run: temperature, total energy and pressure over time."""

import pathlib

import numpy as np

from equipot import errors, files
from equipot.calculators.log import DynamicsReport


def save_dynamics_plot(path: str | pathlib.Path, report: DynamicsReport, num_atoms: int) -> None:
    """Draws a run, without a display.

    Args:
      path: Name of the picture, ending in ``.png``, ``.pdf`` or ``.svg``.
      report: The report of the run.
      num_atoms: Number of atoms.

    Raises:
      ConfigError: If the picture cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    times = np.array([s.time for s in report.samples]) * 1e-3
    energies = np.array([s.total for s in report.samples])
    panels = {
        "temperature, K": np.array([s.temperature for s in report.samples]),
        "total energy − first, meV/atom": (energies - energies[0]) * 1e3 / num_atoms,
        "pressure, GPa": np.array([s.pressure for s in report.samples]),
    }
    panels = {label: values for label, values in panels.items() if np.isfinite(values).all()}
    figure = Figure(figsize=(7.0, 2.2 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (label, values) in zip(axes, panels.items(), strict=True):
        axis.plot(times, values, linewidth=1)
        axis.set_ylabel(label)
    axes[-1].set_xlabel("time, ps")
    try:
        with files.whole(path, errors.ConfigError) as draft:
            figure.savefig(draft, dpi=150)
    except errors.ConfigError:
        raise
    except ValueError as error:  # a format that matplotlib does not write
        raise errors.ConfigError(
            f"{path}: the picture could not be written ({errors.brief(error)})"
        ) from error
