"""Structures with stretched bonds, made of those of a dataset: what dynamics there never showed.

A bond is two atoms nearer than 1.25 times the sum of their covalent radii. It is stretched by
moving all atoms on one side of it along it, as they are; bonds in rings and crystals have no sides
and are left alone. Lengths are spread evenly from the shortest of these elements in the dataset to
a multiple of their mean bond length. No two atoms come nearer than two of their elements did there.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from ase.neighborlist import neighbor_list
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from equipot import errors
from equipot.data import distances, elements, writers
from equipot.data.structure import Structure, symbol

_WHOLE = 1.25  # sums of covalent radii up to which two atoms are bound
_NEIGHBORHOOD = 4.0  # Å within which molecules are neighbors
_TRIALS = 30  # bonds that are tried for one length before it is given up


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be made.

    Attributes:
      whole: How many frames are whole structures of the dataset.
      molecules: How many are molecules that are cut out, with one bond stretched.
      neighbors: Up to how many of the nearest molecules come along with one; how many is drawn.
      share: Of the molecules of a whole structure that get a stretched bond; at least one does.
      longest: Multiple of the mean bond length up to which bonds are stretched.
      seed: Of all choices.
    """

    whole: int = 0
    molecules: int = 96
    neighbors: int = 4
    share: float = 0.1
    longest: float = 2.5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.whole < 0 or self.molecules < 0 or self.whole + self.molecules == 0:
            raise errors.ConfigError(
                "expected a number of whole structures and one of molecules, together at least 1,"
                f" received {self.whole} and {self.molecules}"
            )
        if self.neighbors < 0:
            raise errors.ConfigError(
                f"neighbors: expected a number of molecules, received {self.neighbors}"
            )
        if not 0.0 < self.share <= 1.0:
            raise errors.ConfigError(
                f"share: expected a part of the molecules, up to 1, received {self.share:g}"
            )
        if not 1.0 < self.longest <= 10.0:
            raise errors.ConfigError(
                f"longest: expected a multiple of the bond length, above 1 and at most 10, received"
                f" {self.longest:g}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Stretched:
    """One structure that was made.

    Attributes:
      structure: Without labels.
      source: The structure that it was made of.
      bonds: What was done, as ``"H4-O3 1.53"``, with indices of the structure and Å.
    """

    structure: Structure
    source: str
    bonds: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Bonds:
    """Bonds of one structure: [bonds], vectors from first to second, and the molecule of atoms."""

    first: np.ndarray
    second: np.ndarray
    vectors: np.ndarray
    molecule: np.ndarray


def stretch(structures: Sequence[Structure], plan: Plan) -> list[Stretched]:
    """Makes structures with stretched bonds.

    Args:
      structures: The dataset.
      plan: What is to be made.

    Raises:
      DataError: If no structure has a bond that can be stretched.
    """
    rng = np.random.default_rng(plan.seed)
    usable = [_unlabelled(s) for s in structures if len(s.atomic_numbers) > 1]
    every = [(item, _bonds(item)) for item in usable]
    found = [(item, bonds) for item, bonds in every if _has_sides(bonds)]
    if not found:
        raise errors.DataError(
            f"expected structures with bonds that are in no ring, found none in {len(structures)}"
            " structures: there is nothing to stretch"
        )
    means = _mean_lengths(found)
    longest = {pair: plan.longest * length for pair, length in means.items()}
    limits = _Limits(shortest=_shortest(usable), longest=longest)
    made: list[Stretched] = []
    for count, cut in ((plan.whole, False), (plan.molecules, True)):
        repeats = -(-count // len(found))
        order = np.concatenate([rng.permutation(len(found)) for _ in range(max(repeats, 1))])
        for index in order[:count].tolist():
            item, bonds = found[index]
            chosen = None
            if cut:
                item, bonds, chosen = _cut(item, bonds, int(rng.integers(plan.neighbors + 1)), rng)
            own = _stretched(item, bonds, plan.share, chosen, limits, rng)
            if own is not None:
                made.append(own)
    return made


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Limits:
    """Of each two elements, smaller Z first, the shortest distance and the longest bond, Å."""

    shortest: Mapping[tuple[int, int], float]
    longest: Mapping[tuple[int, int], float]


def _stretched(
    item: Structure,
    bonds: _Bonds,
    share: float,
    chosen: int | None,
    limits: _Limits,
    rng: np.random.Generator,
) -> Stretched | None:
    """One structure with some of its bonds stretched; None where there is no room for any.

    With a chosen molecule only one bond of that.
    """
    owners = bonds.molecule[bonds.first]
    sides = {b: side for b, side in _sides(bonds).items() if chosen in (None, owners[b])}
    count = max(1, round(share * len(np.unique(owners[list(sides)]))))
    done: list[str] = []
    for part in rng.uniform(size=count):
        for bond in rng.permutation(list(sides))[:_TRIALS].tolist():
            moved, words = _moved(item, bonds, bond, sides[bond], part, limits)
            if not _is_crowded(moved, limits.shortest):
                item = moved
                sides = {b: side for b, side in sides.items() if owners[b] != owners[bond]}
                done.append(words)
                break
    if not done:
        return None
    return Stretched(structure=item, source=item.source, bonds=tuple(done))


def _moved(
    item: Structure, bonds: _Bonds, bond: int, side: np.ndarray, part: float, limits: _Limits
) -> tuple[Structure, str]:
    """The structure with a bond at some part of its range, and what was done."""
    i, j = int(bonds.first[bond]), int(bonds.second[bond])
    numbers = [int(z) for z in item.atomic_numbers[[i, j]]]
    pair = min(numbers), max(numbers)
    low, high = limits.shortest[pair], limits.longest[pair]
    length = low + part * (high - low)
    vector = bonds.vectors[bond]
    positions = item.positions.copy()
    positions[side] += vector * (length / np.linalg.norm(vector) - 1.0)
    words = f"{symbol(numbers[0])}{i}-{symbol(numbers[1])}{j} {length:.2f}"
    return dataclasses.replace(item, positions=positions), words


def _bonds(item: Structure) -> _Bonds:
    numbers = item.atomic_numbers
    reach = _WHOLE * np.asarray(elements.COVALENT_RADII)[numbers]
    i, j, vectors = neighbor_list("ijD", writers.to_atoms(item), reach.tolist())
    each = i < j
    first, second = i[each], j[each]
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(len(numbers),) * 2)
    molecule = connected_components(graph, directed=False)[1]
    return _Bonds(first=first, second=second, vectors=vectors[each], molecule=molecule)


def _has_sides(bonds: _Bonds) -> bool:
    """Whether a bond has two sides, as each in a molecule without rings."""
    atoms = np.bincount(bonds.molecule)
    held = np.bincount(bonds.molecule[bonds.first], minlength=len(atoms))
    return bool(((held > 0) & (held == atoms - 1)).any()) or bool(_sides(bonds))


def _sides(bonds: _Bonds) -> dict[int, np.ndarray]:
    """The atoms that move with the second atom of each bond that has two sides.

    Vectors are turned where the first side is the smaller one, so that the smaller moves.
    """
    found: dict[int, np.ndarray] = {}
    owners = bonds.molecule[bonds.first]
    for owner in np.unique(owners).tolist():
        atoms, own = np.flatnonzero(bonds.molecule == owner), np.flatnonzero(owners == owner)
        first, second = (np.searchsorted(atoms, end[own]) for end in (bonds.first, bonds.second))
        for place, bond in enumerate(own.tolist()):
            rest = np.arange(len(own)) != place
            pairs = first[rest], second[rest]
            graph = coo_array((np.ones(len(own) - 1), pairs), shape=(len(atoms), len(atoms)))
            part = connected_components(graph, directed=False)[1]
            i, j = part[first[place]], part[second[place]]
            if i == j:
                continue
            if (part == i).sum() < (part == j).sum():
                i, j = j, i
                bonds.first[bond], bonds.second[bond] = bonds.second[bond], bonds.first[bond]
                bonds.vectors[bond] *= -1.0
            found[bond] = atoms[part == j]
    return dict(sorted(found.items()))


def _cut(
    item: Structure, bonds: _Bonds, count: int, rng: np.random.Generator
) -> tuple[Structure, _Bonds, int]:
    """A molecule of a structure and its nearest ones, without periods; and which it is there."""
    owner = int(bonds.molecule[bonds.first[rng.choice(list(_sides(bonds)))]])
    places = {int(np.flatnonzero(bonds.molecule == owner)[0]): np.zeros(3)}
    _complete(places, bonds, owner)
    first, second, vectors = neighbor_list("ijD", writers.to_atoms(item), _NEIGHBORHOOD)
    met = {owner}
    for k in np.argsort(np.linalg.norm(vectors, axis=1), kind="stable").tolist():
        i, j = int(first[k]), int(second[k])
        other = int(bonds.molecule[j])
        if len(met) > count:
            break
        if bonds.molecule[i] == owner and other not in met:
            places[j] = places[i] + vectors[k]
            _complete(places, bonds, other)
            met.add(other)
    atoms = sorted(places)
    alone = Structure(
        positions=np.stack([places[atom] for atom in atoms]),
        atomic_numbers=item.atomic_numbers[atoms],
        cell=np.zeros((3, 3)),
        pbc=np.zeros(3, bool),
        source=item.source,
        head=item.head,
    )
    own, mine = _bonds(alone), [bonds.molecule[atom] == owner for atom in atoms]
    return alone, own, int(own.molecule[mine.index(True)])


def _complete(places: dict[int, np.ndarray], bonds: _Bonds, owner: int) -> None:
    """Places the rest of a molecule of which one atom has its place."""
    own = np.flatnonzero(bonds.molecule[bonds.first] == owner).tolist()
    count = len(places) - 1 + int((bonds.molecule == owner).sum())
    while len(places) < count:
        for bond in own:
            i, j = int(bonds.first[bond]), int(bonds.second[bond])
            if i in places and j not in places:
                places[j] = places[i] + bonds.vectors[bond]
            elif j in places and i not in places:
                places[i] = places[j] - bonds.vectors[bond]


def _mean_lengths(
    found: Sequence[tuple[Structure, _Bonds]],
) -> dict[tuple[int, int], float]:
    """Mean bond length of each two elements in Å, smaller Z first."""
    sums: dict[tuple[int, int], list[float]] = {}
    for item, bonds in found:
        lengths = np.linalg.norm(bonds.vectors, axis=1)
        ends = np.sort(item.atomic_numbers[[bonds.first, bonds.second]], axis=0)
        for pair in np.unique(ends, axis=1).T.tolist():
            own = lengths[(ends == np.array(pair)[:, None]).all(axis=0)]
            total = sums.setdefault((pair[0], pair[1]), [0.0, 0.0])
            total[0] += float(own.sum())
            total[1] += len(own)
    return {pair: total / count for pair, (total, count) in sums.items()}


def _shortest(structures: Sequence[Structure]) -> dict[tuple[int, int], float]:
    """Shortest distance of each two elements in Å, smaller Z first."""
    found: dict[tuple[int, int], float] = {}
    for item in structures:
        for pair, value in distances.contacts(item).shortest.items():
            found[pair] = min(value, found.get(pair, np.inf))
    return found


def _is_crowded(item: Structure, shortest: Mapping[tuple[int, int], float]) -> bool:
    """Whether two atoms are nearer than any two of their elements in the dataset."""
    found = distances.contacts(item).shortest
    return any(value < shortest.get(pair, 0.0) - 1e-9 for pair, value in found.items())


def _unlabelled(item: Structure) -> Structure:
    return Structure(
        positions=item.positions,
        atomic_numbers=item.atomic_numbers,
        cell=item.cell,
        pbc=item.pbc,
        source=item.source,
        head=item.head,
    )
