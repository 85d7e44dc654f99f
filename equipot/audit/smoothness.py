"""No jump and no kink where atoms come and go at the cutoff, nor along the bonds of the data."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from equipot.audit import breaks
from equipot.audit.audited import Audited
from equipot.audit.samples import Samples, shortest
from equipot.audit.verdict import Verdict, judged
from equipot.data import elements
from equipot.data.structure import Structure, symbol
from equipot.testing import structures

LIMITS = {"energy": (1e-6, "eV"), "force": (1e-5, "eV/Å"), "slope": (1e-2, "eV/Å²")}
_AROUND = 0.97, 1.015  # of the cutoff
_MOST_PAIRS = 15
_BONDED = 1.25  # of the sum of covalent radii
_MARGIN = 0.02  # Å beyond the bonds of the data, where all have one length
_MOST_FRAMES = 50


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Path:
    """One atom of a structure moves along a line.

    Attributes:
      structure: With the atom anywhere.
      atom: Which.
      origin: Where the line begins, Å.
      direction: Of the line, of length one.
      start: Å along the line.
      stop: Å along the line.
      name: For people.
      count: Points of the first grid.
    """

    structure: Structure
    atom: int
    origin: np.ndarray
    direction: np.ndarray
    start: float
    stop: float
    name: str
    count: int = 25

    def curve(self, audited: Audited) -> breaks.Curve:
        """Energy and force along the line."""

        def along(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            found = audited.exact([self._at(float(place)) for place in places])
            forces = [own.forces[self.atom] @ self.direction for own in found]
            return np.array([own.energy for own in found]), np.array(forces)

        return along

    def _at(self, place: float) -> Structure:
        positions = self.structure.positions.copy()
        positions[self.atom] = self.origin + place * self.direction
        return dataclasses.replace(self.structure, positions=positions)


def check_cutoff(audited: Audited, samples: Samples) -> list[Verdict]:
    """Lines for the energy, the force and its slope where an atom crosses the cutoff."""
    paths = [*_dimers(audited), _approach(audited, samples), *_crossings(audited, samples)]
    what = f"{len(paths)} ways of an atom across the cutoff: pairs, and towards larger structures"
    return _judge("cutoff", audited, paths, what)


def check_bonds(audited: Audited, samples: Samples) -> list[Verdict]:
    """The same along one bond of each kind, within the lengths that the data have."""
    paths = bond_paths(samples)
    if not paths:
        return []
    names = ", ".join(path.name for path in paths)
    what = f"One bond of each kind, {names}, over the lengths that it has in the data"
    return _judge("bonds", audited, paths, what)


def bond_paths(samples: Samples) -> list[Path]:
    """One bond of each pair of elements that the frames have, from its shortest to its longest."""
    ranges: dict[tuple[int, int], list[float]] = {}
    examples: dict[tuple[int, int], tuple[Structure, int, np.ndarray]] = {}
    for structure in (*samples.frames, *samples.data[:_MOST_FRAMES]):
        for pair, atom, vector in _bonds(structure):
            ranges.setdefault(pair, []).append(float(np.linalg.norm(vector)))
            if structure in samples.frames:
                examples.setdefault(pair, (structure, atom, vector))
    paths = []
    for pair, (structure, atom, vector) in examples.items():
        length = float(np.linalg.norm(vector))
        paths.append(
            Path(
                structure=structure,
                atom=atom,
                origin=structure.positions[atom] - vector,
                direction=vector / length,
                start=min(ranges[pair]) - _MARGIN,
                stop=max(ranges[pair]) + _MARGIN,
                name=f"{symbol(pair[0])}–{symbol(pair[1])}",
            )
        )
    return paths


def _judge(name: str, audited: Audited, paths: Sequence[Path], what: str) -> list[Verdict]:
    found = [
        (own, path)
        for path in paths
        for own in breaks.find(path.curve(audited), path.start, path.stop, path.count)
    ]
    lines = []
    for kind, (limit, unit) in LIMITS.items():
        sizes = [_nan_first(getattr(own, kind)) for own, _ in found]
        worst, path = found[int(np.argmax(sizes))]
        value = getattr(worst, kind)
        wrong = "" if value <= limit else f": {path.name} at {worst.place:.4f} Å"
        sentence = f"{what}: how much the {kind} from the left differs from that from the right"
        lines.append(judged(f"{name}: {kind}", value, limit, unit, f"{sentence}{wrong}."))
    return lines


def _dimers(audited: Audited) -> list[Path]:
    """Pairs of atoms on their own around the cutoff, and down to where they were trained."""
    pairs = list(itertools.combinations_with_replacement(audited.species_table, 2))
    chosen = pairs[:: max(1, len(pairs) // _MOST_PAIRS)][:_MOST_PAIRS]
    paths = []
    for first, second in chosen:
        least = 0.8 * shortest(audited.distance_range, first, second)
        whole = least, audited.cutoff * _AROUND[1]
        close = audited.cutoff * _AROUND[0], audited.cutoff * _AROUND[1]
        paths += [_dimer(first, second, *whole, 255), _dimer(first, second, *close, 25)]
    return paths


def _dimer(first: int, second: int, start: float, stop: float, count: int) -> Path:
    return Path(
        structure=structures.pair(1.0, first, second),
        atom=1,
        origin=np.zeros(3),
        direction=np.array([-0.36, -0.48, 0.80]),
        start=start,
        stop=stop,
        name=f"{symbol(first)} and {symbol(second)}",
        count=count,
    )


def _approach(audited: Audited, samples: Samples) -> Path:
    """One more atom comes to the last one of a cluster."""
    cluster = next(s for s in samples.made if not s.pbc.any())
    anchor, more = len(cluster.positions) - 1, audited.species_table[0]
    larger = structures.extended(cluster, more, anchor, audited.cutoff)
    return Path(
        structure=larger,
        atom=anchor + 1,
        origin=cluster.positions[anchor],
        direction=np.array([-0.36, -0.48, 0.80]),
        start=_AROUND[0] * audited.cutoff,
        stop=_AROUND[1] * audited.cutoff,
        name=f"{symbol(more)} and a cluster",
    )


def _crossings(audited: Audited, samples: Samples) -> list[Path]:
    """An atom of the first frame moves so that its distance to another crosses the cutoff."""
    for structure in samples.frames:
        vectors = structure.positions[1:] - structure.positions[0]
        lengths = np.linalg.norm(vectors, axis=1)
        near = int(np.argmin(np.abs(lengths - audited.cutoff)))
        start, stop = (share * audited.cutoff for share in _AROUND)
        if not start - 0.5 <= lengths[near] <= stop + 0.5:
            continue
        return [
            Path(
                structure=structure,
                atom=near + 1,
                origin=structure.positions[0],
                direction=vectors[near] / lengths[near],
                start=start,
                stop=stop,
                name=f"an atom of {structure.source}",
            )
        ]
    return []


def _bonds(structure: Structure) -> list[tuple[tuple[int, int], int, np.ndarray]]:
    """Pairs of elements, the lighter atom of each bond, and the vector to it from the other."""
    positions, numbers = structure.positions, structure.atomic_numbers
    vectors = positions[None] - positions[:, None]
    if structure.pbc.any():
        inverse = np.linalg.pinv(structure.cell)
        shifts = np.where(structure.pbc, np.round(vectors @ inverse), 0.0)
        vectors = vectors - shifts @ structure.cell
    lengths = np.linalg.norm(vectors, axis=-1)
    radii = elements.COVALENT_RADII[numbers]
    bonded = (lengths > 0.1) & (lengths < _BONDED * (radii[:, None] + radii[None]))
    found = []
    for i, j in zip(*np.nonzero(bonded), strict=True):
        if (numbers[i], -i) > (numbers[j], -j):  # once each, with the lighter atom moving
            pair = int(numbers[j]), int(numbers[i])
            found.append((pair, int(j), vectors[i, j]))
    return found


def _nan_first(value: float) -> float:
    return np.inf if np.isnan(value) else value
