"""Finds jumps and kinks of a function of one variable, and tells them from mere curvature.

On a grid alone a kink looks like strong curvature. So the intervals that stand out are divided
again and again: what is smooth there shrinks with the interval, a break stays as large as it is.
The break is what is left in the limit: of the energy (with the force known, what the force does not
account for), of the force, and of the slope of the force.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

FINER = 10
"""How much finer each grid is than the one before."""

LEVELS = 3
CANDIDATES = 2
"""Places that are looked at, of each kind of break."""

Curve = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Energies in eV and forces −dE/dx in eV/Å at some places x in Å."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Break:
    """The largest breaks on an interval, each where it is.

    Attributes:
      energy: Jump of the energy, eV.
      force: Jump of the force, eV/Å.
      slope: Jump of the slope of the force, eV/Å².
      place: Where the largest was found, Å: that of the energy if there is one, else of the others.
    """

    energy: float
    force: float
    slope: float
    place: float


def find(curve: Curve, start: float, stop: float, count: int = 41) -> Break:
    """Looks for breaks between two places.

    Args:
      curve: The function.
      start: Å.
      stop: Å.
      count: Points of the first grid.
    """
    places = np.linspace(start, stop, count)
    energies, forces = curve(places)
    if not (np.isfinite(energies).all() and np.isfinite(forces).all()):
        return Break(energy=np.nan, force=np.nan, slope=np.nan, place=start)
    found = [_zoomed(curve, places, i, energies, forces) for i in _suspects(energies, forces)]
    size = places[1] - places[0]
    by_size = max(found, key=lambda own: (own.energy / size, own.force, size * own.slope))
    return Break(
        energy=max(own.energy for own in found),
        force=max(own.force for own in found),
        slope=max(own.slope for own in found),
        place=by_size.place,
    )


def _suspects(energies: np.ndarray, forces: np.ndarray) -> list[int]:
    """Points within the grid where differences of high order stand out."""
    count = len(forces)
    rough = np.zeros(count)
    rough[2:-2] = np.abs(np.diff(forces, 4))
    jumps = np.zeros(count)
    residuals = np.diff(energies) + 0.5 * (forces[1:] + forces[:-1])  # any unit of length will do
    jumps[2:-2] = np.abs(np.diff(residuals, 3))
    steep = np.zeros(count)
    steep[1:-1] = np.abs(np.diff(forces, 2))
    chosen: list[int] = []
    for measure in (rough, jumps, steep):
        order = [int(i) for i in np.argsort(-measure, kind="stable")]
        fresh = [i for i in order if 0 < i < count - 1 and all(abs(i - k) > 1 for k in chosen)]
        chosen += fresh[:CANDIDATES] if measure is rough else fresh[:1]
    return chosen


def _zoomed(
    curve: Curve, places: np.ndarray, index: int, energies: np.ndarray, forces: np.ndarray
) -> Break:
    """The break that is left at a point of the grid when the grid is refined around it."""
    center, size = float(places[index]), float(places[1] - places[0])
    around = slice(max(index - 2, 0), index + 3)
    before = _measures(energies[around], forces[around], size)
    now = before
    for _ in range(LEVELS):
        places = np.linspace(center - size, center + size, 2 * FINER + 1)
        size /= FINER
        before, (energies, forces) = now, curve(places)
        now = _measures(energies, forces, size)
        center = float(places[_roughest(energies, forces)])
    left = [
        max(0.0, (FINER * last - previous) / (FINER - 1))
        for last, previous in zip(now, before, strict=True)
    ]
    return Break(energy=left[0], force=left[1], slope=left[2], place=center)


def _measures(energies: np.ndarray, forces: np.ndarray, size: float) -> tuple[float, float, float]:
    """Largest change from one point to the next of the energy, the force and its slope."""
    work = np.diff(energies) + 0.5 * size * (forces[1:] + forces[:-1])
    steps, slopes = np.diff(forces), np.diff(forces, 2) / size
    return float(np.abs(work).max()), float(np.abs(steps).max()), float(np.abs(slopes).max())


def _roughest(energies: np.ndarray, forces: np.ndarray) -> int:
    """Which inner point stands out most, by the energy where that jumps."""
    bends, work = np.abs(np.diff(forces, 2)), np.abs(np.diff(energies, 2))
    if work.max() > 100.0 * np.median(work) and bends.max() <= 100.0 * np.median(bends):
        return 1 + int(np.argmax(work))
    return 1 + int(np.argmax(bends))
