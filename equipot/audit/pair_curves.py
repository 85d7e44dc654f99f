"""Pairs of atoms on their own from 0.5 Å to the cutoff: no hole outside the data, and a wall."""

import dataclasses
import itertools

import numpy as np

from equipot import pictures
from equipot.audit.audited import Audited
from equipot.audit.samples import Samples, shortest
from equipot.audit.verdict import Verdict, judged
from equipot.data.structure import symbol
from equipot.testing import structures

FALL = 0.5
"""eV that a pair may lie below its well where training had no such distance."""

WALL = 0.7
"""Of the shortest trained distance: below it the pair must repel."""

_NEAREST = 0.5  # Å
_LEAST = np.finfo(np.float64).tiny  # eV/Å, of a repulsion
_POINTS, _POINTS_OF_MANY = 120, 40
_MANY = 6  # elements beyond which a matrix stands for the curves
_SHOWN = -6.0, 12.0  # eV around the well, in the picture
_MOST_SHOWN = 10.0  # eV, or eV/Å, in the matrix
_RED = pictures.COLORS[4]
_CAPTION = (
    "Energy of two atoms less that of each alone. Shaded: nearer than any such pair of training."
    f" Dashed: {FALL} eV below the well. Dotted: {WALL} of the shortest distance, nearer than which"
    " the pair must repel."
)
_CAPTION_MANY = "By elements, in the order of their atomic numbers; white is right."


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """The energy of two atoms less that of each alone.

    Attributes:
      pair: Atomic numbers.
      distances: Å, ascending.
      energies: eV.
      forces: −dE/dr, eV/Å; positive is repulsive.
      least: Shortest trained distance, Å.
      known: Whether the potential states that distance; without, covalent radii give it.
    """

    pair: tuple[int, int]
    distances: np.ndarray
    energies: np.ndarray
    forces: np.ndarray
    least: float
    known: bool

    @property
    def name(self) -> str:
        """As in H–O."""
        return f"{symbol(self.pair[0])}–{symbol(self.pair[1])}"

    @property
    def well(self) -> float:
        """Lowest energy at trained distances, at most that of separate atoms, eV."""
        inside = self.energies[self.distances >= self.least]
        return min(0.0, float(inside.min(initial=0.0)))

    @property
    def fall(self) -> float:
        """How far the curve lies below the well outside of training, eV; NaN if not finite."""
        outside = self.energies[self.distances < self.least]
        return float(np.max(self.well - outside, initial=0.0))

    @property
    def attraction(self) -> float:
        """Largest attraction below ``WALL`` of the shortest distance, eV/Å; negative if none."""
        inner = self.forces[self.distances < WALL * self.least]
        return float(np.max(-inner, initial=-np.inf))


def check(audited: Audited, samples: Samples) -> list[Verdict]:
    """One line for holes, one for the wall."""
    curves = compute(audited)
    many = len(audited.species_table) > _MANY
    draw = _matrix if many else _curves
    worst = max(curves, key=lambda own: _nan_last(own.fall))
    lure = max(curves, key=lambda own: _nan_last(own.attraction))
    about = f"{len(curves)} pairs of atoms on their own, {_NEAREST} Å to the cutoff"
    estimated = sum(not own.known for own in curves)
    note = (
        f" For {estimated} pair{'s' * (estimated > 1)} that training did not have, 0.9 times the"
        " sum of covalent radii stands for the shortest distance."
        if estimated
        else ""
    )
    return [
        judged(
            "pair curves: holes",
            worst.fall,
            FALL,
            "eV",
            f"{about}: the most that one falls below its well at distances shorter than any of"
            f" training; {_named(curves, 'fall', FALL) or f'the deepest is {worst.name}'}.{note}",
            draw(curves),
            _CAPTION_MANY if many else _CAPTION,
        ),
        Verdict(
            name="pair curves: wall",
            value=lure.attraction,
            limit=0.0,
            relation="<",
            unit="eV/Å",
            passed=lure.attraction < 0.0,
            sentence=f"{about}: the largest attraction below {WALL} of the shortest trained"
            f" distance, negative where they repel;"
            f" {_named(curves, 'attraction', -_LEAST) or 'all pairs repel there'}.{note}",
        ),
    ]


def compute(audited: Audited) -> list[Curve]:
    """The curves of all pairs of elements."""
    table = audited.species_table
    pairs = list(itertools.combinations_with_replacement(table, 2))
    count = _POINTS if len(table) <= _MANY else _POINTS_OF_MANY
    distances = np.geomspace(_NEAREST, 0.999 * audited.cutoff, count)
    alone = dict(zip(table, audited.stated, strict=True))
    evaluate = audited.exact if len(table) <= _MANY else audited.single
    span, curves = audited.distance_range, []
    for pair in pairs:
        least = shortest(span, *pair)
        found = evaluate([structures.pair(float(r), *pair) for r in distances])
        forces = [_repulsion(own.forces) for own in found]
        energies = np.array([own.energy for own in found]) - alone[pair[0]] - alone[pair[1]]
        curves.append(
            Curve(
                pair=pair,
                distances=distances,
                energies=energies,
                forces=np.array(forces),
                least=least,
                known=span is not None and pair in span.shortest,
            )
        )
    return curves


def _repulsion(forces: np.ndarray) -> float:
    """Force on the second atom away from the first, which it lies from in a general direction."""
    return float(forces[1] @ np.array([-0.36, -0.48, 0.80]))


def _named(curves: list[Curve], measure: str, limit: float) -> str:
    """The pairs beyond a limit, the worst first."""
    wrong = [own for own in curves if not getattr(own, measure) <= limit]
    wrong.sort(key=lambda own: -_nan_last(getattr(own, measure)))
    names = ", ".join(own.name for own in wrong[:8])
    more = f" and {len(wrong) - 8} more" if len(wrong) > 8 else ""
    return f"{len(wrong)} beyond the limit: {names}{more}" if wrong else ""


def _curves(curves: list[Curve]) -> str:
    columns = min(3, len(curves))
    with pictures.drawing("pair curves", -(-len(curves) // columns), columns) as picture:
        for axis, own in zip(picture.axes, curves, strict=False):
            axis.axvspan(_NEAREST, own.least, color=_RED, alpha=0.12, linewidth=0)
            axis.axhline(own.well - FALL, color=_RED, linewidth=0.8, linestyle="--")
            axis.plot(own.distances, own.energies, color=pictures.COLORS[0], linewidth=1.5)
            axis.axvline(WALL * own.least, color=_RED, linewidth=0.8, linestyle=":")
            axis.set_ylim(own.well + _SHOWN[0], own.well + _SHOWN[1])
            axis.set_xlim(_NEAREST, own.distances[-1])
            axis.set_title(own.name)
            axis.set_xlabel("distance, Å")
            axis.set_ylabel("energy, eV")
        for axis in picture.axes[len(curves) :]:
            axis.set_visible(False)
    return picture.svg


def _matrix(curves: list[Curve]) -> str:
    """How deep each pair falls, and where it attracts, by elements."""
    table = sorted({z for own in curves for z in own.pair})
    place = {z: i for i, z in enumerate(table)}
    values = np.full((2, len(table), len(table)), np.nan)
    for own in curves:
        i, j = (place[z] for z in own.pair)
        values[0, i, j] = values[0, j, i] = np.minimum(own.fall, _MOST_SHOWN)
        values[1, i, j] = values[1, j, i] = np.clip(own.attraction, 0.0, _MOST_SHOWN)
    titles = "falls below its well, eV", "attracts at short range, eV/Å"
    ticks = list(range(0, len(table), max(1, len(table) // 15)))
    names = [symbol(table[i]) for i in ticks]
    with pictures.drawing("pair curves", 1, 2, width=5.0, height=4.2) as picture:
        for axis, own, title in zip(picture.axes, values, titles, strict=True):
            image = axis.imshow(own, cmap="magma_r", vmin=0.0, vmax=_MOST_SHOWN)
            axis.set_xticks(ticks, names)
            axis.set_yticks(ticks, names)
            axis.set_title(title)
            picture.figure.colorbar(image, ax=axis, shrink=0.7)
    return picture.svg


def _nan_last(value: float) -> float:
    return np.inf if np.isnan(value) else value
