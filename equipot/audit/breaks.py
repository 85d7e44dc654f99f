"""Finds jumps and kinks of a function of one variable, and tells them from mere curvature.

On a grid alone a kink looks like strong curvature. So the points that stand out from those around
them are approached by ever finer grids, down to a millionth of an Å, and what is reported is how
much the limits from the left and from the right differ there: of the energy, of the force, and of
the slope of the force. For a smooth function they do not, however steep it is.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy import ndimage

CANDIDATES = 2
"""Points that are looked at."""

_FINER = 10  # how much finer each grid is than the one before
_FINEST = 2e-6  # Å
_WIDTH = 17  # points of the finer grid on either side, of which the outer ones are no middle
_AROUND = 15  # points that a point has to stand out from
_APART = 3  # points between two that are looked at
_ROUNDING = 1e-13

Curve = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Energies in eV and forces −dE/dx in eV/Å at some places x in Å."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Break:
    """What differs between left and right of a place.

    Attributes:
      energy: eV; NaN where the function is not finite.
      force: eV/Å.
      slope: eV/Å².
      place: Å.
    """

    energy: float
    force: float
    slope: float
    place: float


def find(curve: Curve, start: float, stop: float, count: int = 41) -> list[Break]:
    """Looks for breaks between two places.

    Args:
      curve: The function.
      start: Å.
      stop: Å.
      count: Points of the first grid.

    Returns:
      What is left at each of the ``CANDIDATES`` places that stand out most.
    """
    places = np.linspace(start, stop, count)
    energies, forces = curve(places)
    if not (np.isfinite(energies).all() and np.isfinite(forces).all()):
        return [Break(energy=np.nan, force=np.nan, slope=np.nan, place=start)]
    size = float(places[1] - places[0])
    scores = _scores(energies, forces, size)
    chosen: list[int] = []
    for i in np.argsort(-scores, kind="stable").tolist():
        if len(chosen) < CANDIDATES and all(abs(i - k) > _APART for k in chosen):
            chosen.append(i)
    return [_approached(curve, float(places[i]), size) for i in chosen]


def _approached(curve: Curve, center: float, size: float) -> Break:
    """The break that is left in the finest grid around a place."""
    steps = np.arange(-_WIDTH, _WIDTH + 1)
    while True:
        size /= _FINER
        places = center + size * steps
        energies, forces = curve(places)
        middle = int(np.argmax(_scores(energies, forces, size)))
        center = float(places[middle])
        if size <= _FINEST:
            return _limits(energies, forces, size, middle, center)


def _limits(
    energies: np.ndarray, forces: np.ndarray, size: float, middle: int, place: float
) -> Break:
    """Parabolas through the points on the left and on the right, compared in the middle."""
    x = np.arange(len(forces)) - middle
    left, right = x <= -2, x >= 2
    jumps = []
    for values in (energies, forces):
        sides = [np.polynomial.polynomial.polyfit(x[own], values[own], 2) for own in (left, right)]
        jumps.append(np.abs(sides[1] - sides[0]))
    return Break(
        energy=float(jumps[0][0]),
        force=float(jumps[1][0]),
        slope=float(jumps[1][1] / size),
        place=place,
    )


def _scores(energies: np.ndarray, forces: np.ndarray, size: float) -> np.ndarray:
    """How much each point stands out from those around it; the two at each end do not.

    Differences of high order vanish where a function is smooth: of the force, and of the energy
    less the work of the force.
    """
    work = np.diff(energies) + 0.5 * size * (forces[1:] + forces[:-1])
    scores = np.zeros(len(forces))
    for differences, scale in (
        (np.abs(np.diff(forces, 4)), np.abs(forces).max()),
        (np.abs(np.diff(work, 3)), np.abs(energies).max()),
    ):
        usual = ndimage.median_filter(differences, _AROUND, mode="nearest")
        own = differences / (usual + _ROUNDING * max(1.0, scale))
        scores[2:-2] = np.maximum(scores[2:-2], own)
    inner = scores.copy()
    inner[: _edge(len(scores))] = inner[-_edge(len(scores)) :] = 0.0
    return inner


def _edge(count: int) -> int:
    """Points at each end that a side of the middle must have."""
    return min(5, count // 4)
