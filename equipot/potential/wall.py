"""The wall: what keeps two atoms apart at distances shorter than any in the data.

Below the shortest distance d of two elements in training, a network can say anything. There

* a repulsion takes over (``WallSummand``), which begins at d and ends in that of screened nuclei,
* the network no longer sees how near the atoms are (``make_clamp``): the vector of a pair keeps its
  direction, and its length goes over from r to a constant between 0.95 d and 0.85 d.

How steep it is comes from the forces on the closest pairs of the training set. At distances from d
on there is the network alone, as it would be without a wall.
"""

import dataclasses
import math
import types
from collections.abc import Callable, Collection, Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from equipot import errors
from equipot.data import elements
from equipot.e3.functions import radial
from equipot.graphs import pairs
from equipot.potential.repulsion import ZBL
from equipot.store.closest import Closest
from equipot.typing import Array, Float, Int

Clamp = Callable[[Array, Array, Array, Array], Array]
"""``clamp(edge_vectors, species, senders, receivers)``: the vectors that the network is given."""

_CLOSEST = 1e-3  # Å; the energy is constant below
_CONTACT = 1.1  # Å; half an ångström less than atoms in contact are apart beyond their bond length
_UNSEEN = 0.85  # bond lengths at which the data would begin, if there were a bond in them
_STEEPER = 2.0  # times the push of the closest pairs is that of the wall where the network's ended
_LEAST_PUSH = 1.0  # eV/Å; a bond of 5 eV/Å² that is shortened by a tenth has that
_FLAT = (0.6, 0.4)  # shortest distances between which all but the nuclei's repulsion levels off


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wall:
    """Where the wall of each two species stands, and how steep it is.

    Both tables have a number for each two species i ≤ j: (0, 0), (0, 1), …, (1, 1), (1, 2), ….

    Attributes:
      nearest: Shortest distance d in the data, Å.
      pushes: Repulsive force at ``fade`` · d, less that of the nuclei, eV/Å.
      reach: The wall begins at this multiple of d.
      seen: The network sees distances as they are from this multiple of d on.
      fade: The network no longer sees changes of a distance below this multiple of d.
    """

    nearest: tuple[float, ...]
    pushes: tuple[float, ...]
    reach: float = 1.0
    seen: float = 0.95
    fade: float = 0.85

    def __post_init__(self) -> None:
        if len(self.nearest) != len(self.pushes):
            raise errors.ConfigError(
                f"potential.wall: expected as many pushes as shortest distances, received"
                f" {len(self.pushes)} and {len(self.nearest)}"
            )
        if not all(0.0 < value < math.inf for value in (*self.nearest, *self.pushes)):
            raise errors.ConfigError(
                "potential.wall: expected lengths in Å and forces in eV/Å that are positive,"
                f" received {self.nearest} and {self.pushes}"
            )
        if not 0.0 < self.fade < self.seen <= 1.0 <= self.reach < math.inf:
            raise errors.ConfigError(
                "potential.wall: expected a fade between 0 and 1, the distances seen between it and"
                f" 1, and a reach of at least 1; received {self.fade}, {self.seen} and {self.reach}"
            )


FORMER = {"reach": 1.15, "seen": 1.0, "fade": 0.9}
"""Shape of the walls of before, ``potential.repulsion=fitted``: they reach into the data."""


def name(zbl: ZBL | None, wall: Wall | None) -> str:
    """The word of ``potential.repulsion`` for what a potential has."""
    if wall is None:
        return "none" if zbl is None else "zbl"
    former = all(getattr(wall, key) == value for key, value in FORMER.items())
    return "fitted" if former else "wall"


def fitted(
    found: Closest,
    species_table: Sequence[int],
    cutoff: float,
    shape: Mapping[str, float] = types.MappingProxyType({}),
) -> Wall:
    """The wall of a training set.

    It stands at the shortest distance of two elements, at most 1.1 Å above the sum of their
    covalent radii, which is half an ångström below van der Waals contact. Elements that never met
    within the cutoff have it at 0.85 times that sum. Its force where that of the network has ended
    is twice that of the closest pairs of the data, but no less than twice the usual force or
    2 eV/Å.

    Args:
      found: What the closest pairs of the training set say.
      species_table: Atomic number of each species.
      cutoff: Å; the wall does not reach beyond.
      shape: ``reach``, ``seen`` and ``fade`` of ``Wall``, where they are not those of today.
    """
    rows, columns = np.triu_indices(len(species_table))
    bonds = bond_lengths(species_table)
    nearest = found.nearest[rows, columns]
    seen = np.isfinite(nearest)
    nearest = np.where(seen, np.minimum(nearest, bonds + _CONTACT), _UNSEEN * bonds)
    nearest = np.minimum(nearest, cutoff / shape.get("reach", Wall.reach))
    pushes = np.nan_to_num(found.pushes[rows, columns], nan=0.0)
    pushes = _STEEPER * np.maximum(pushes, max(found.usual, _LEAST_PUSH))
    return Wall(nearest=tuple(nearest.tolist()), pushes=tuple(pushes.tolist()), **shape)


def lowered(
    wall: Wall,
    found: Closest,
    species_table: Sequence[int],
    cutoff: float,
    new: Collection[int] = (),
) -> Wall:
    """The wall for training that goes on with other data, where these have shorter distances.

    What stands farther out stays: a wall is never raised. Pairs with an element that is new to the
    potential have the wall of the data.

    Args:
      wall: Of the potential that training starts from.
      found: What the closest pairs of the training set say.
      species_table: Atomic number of each species.
      cutoff: Å.
      new: Atomic numbers that the potential did not know.
    """
    own = fitted(found, species_table, cutoff, {name: getattr(wall, name) for name in FORMER})
    rows = np.triu_indices(len(species_table))
    is_new = np.isin(species_table, list(new))
    taken = (found.nearest[rows] < np.array(wall.nearest)) | is_new[rows[0]] | is_new[rows[1]]
    tables = {
        name: np.where(taken, getattr(own, name), getattr(wall, name))
        for name in ("nearest", "pushes")
    }
    return dataclasses.replace(wall, **{k: tuple(x.tolist()) for k, x in tables.items()})


def unmet(
    species_table: Sequence[int],
    cutoff: float,
    shape: Mapping[str, float] = types.MappingProxyType({}),
) -> Wall:
    """The wall of elements that never met: for each two as if there were no data.

    Args:
      species_table: Atomic number of each species.
      cutoff: Å; the wall does not reach beyond.
      shape: As ``fitted`` takes it.
    """
    count = len(species_table)
    empty = np.full((count, count), np.inf)
    nothing = Closest(nearest=empty, pushes=np.full_like(empty, np.nan), usual=0.0)
    return fitted(nothing, species_table, cutoff, shape)


def bond_lengths(species_table: Sequence[int]) -> np.ndarray:
    """Sum of the covalent radii of each two species i ≤ j, Å."""
    rows, columns = np.triu_indices(len(species_table))
    radii = np.array([elements.COVALENT_RADII[z] for z in species_table], np.float64)
    return radii[rows] + radii[columns]


def as_matrix(values: Sequence[float], num_species: int) -> np.ndarray:
    """A table of two species i ≤ j as a symmetric matrix.

    Raises:
      ConfigError: If there is not one value for each two.
    """
    upper = np.triu_indices(num_species)
    if len(values) != len(upper[0]):
        raise errors.ConfigError(
            f"potential.wall: expected a number for each of {len(upper[0])} pairs of"
            f" {num_species} elements, received {len(values)}"
        )
    matrix = np.zeros((num_species, num_species))
    matrix[upper] = values
    matrix.T[upper] = values
    return matrix


def make_clamp(wall: Wall | None, num_species: int) -> Clamp:
    """Returns the function that keeps the network from seeing distances below those of the data.

    A vector of length r becomes one of length s(r) in the same direction,

        s(r) = a − w/2 + w t⁴ (5/2 − 3 t + t²),  t = (r − a + w)/w,

    where a = seen · d, w = a − fade · d and t is kept in [0, 1]; s is constant below a − w, and its
    first three derivatives are continuous. From a on nothing changes, to the last bit.

    Args:
      wall: The wall; None for none.
      num_species: How many species there are.

    Raises:
      ConfigError: If the wall is that of another number of species.
    """
    if wall is None:
        return lambda edge_vectors, species, senders, receivers: edge_vectors
    table, seen, fade = as_matrix(wall.nearest, num_species).ravel(), wall.seen, wall.fade

    def clamp(
        edge_vectors: Float[Array, "edges 3"],
        species: Int[Array, " nodes"],
        senders: Int[Array, " edges"],
        receivers: Int[Array, " edges"],
    ) -> Float[Array, "edges 3"]:
        nearest = jnp.asarray(table, edge_vectors.dtype)[
            species[senders] * num_species + species[receivers]
        ]
        r = radial.safe_norm(edge_vectors)
        length = _levelled(r, seen * nearest, fade * nearest)
        factor = jnp.where(r < seen * nearest, length / jnp.maximum(r, _CLOSEST), 1.0)
        return edge_vectors * factor[:, None]

    return clamp


@dataclasses.dataclass(frozen=True, kw_only=True)
class WallSummand:
    """The repulsion of the wall as a summand, see ``equipot.potential.summands``.

    A pair of atoms at a distance r has

        V(r) = A (1 − x)⁴ + V_ZBL(r) u(x),  x = r / (reach · d),

    and zero from x = 1 on, with u the polynomial envelope of exponent 6 whose first three
    derivatives vanish there. A is such that the force of the first term at fade · d is the
    push of the two species. Between 0.6 d and 0.4 d that term levels off, so that what is left
    inside is the repulsion of screened nuclei. V falls with the distance everywhere, and its first
    three derivatives are continuous.

    Attributes:
      wall: Where it stands and how steep it is.
      cutoff: Å; pairs are no longer.
    """

    wall: Wall
    cutoff: float

    def make_energy(
        self, species_table: tuple[int, ...], *, directed: bool = False
    ) -> Callable[..., Array]:
        """Returns ``energy(edge_vectors, species, senders, receivers)``: one pass over pairs."""
        count = len(species_table)
        table, zbl = _constants(self.wall, species_table), ZBL()
        envelope = radial.poly_envelope(5, 3)

        def energy(
            edge_vectors: Float[Array, "edges 3"],
            species: Int[Array, " nodes"],
            senders: Int[Array, " edges"],
            receivers: Int[Array, " edges"],
            exchange: pairs.Exchange = pairs.keep,
        ) -> Float[Array, " nodes"]:
            row = species[senders] * count + species[receivers]
            nearest, end, height, charges, screening = jnp.asarray(table, edge_vectors.dtype)[
                :, row
            ]
            r = jnp.maximum(radial.safe_norm(edge_vectors), _CLOSEST)
            start, stop = (part * nearest for part in _FLAT)
            inside = jnp.maximum(1.0 - _levelled(r, start, stop) / end, 0.0)
            nuclei = zbl.between(charges, screening, r) * envelope(r / end)
            own = 0.5 * (height * inside**4 + nuclei)
            return pairs.sum_at_nodes(own, senders, receivers, len(species), directed=directed)

        return energy


def _constants(wall: Wall, species_table: Sequence[int]) -> np.ndarray:
    """Of each two species: d, where the wall begins, its height, charges and screening."""
    count, zbl = len(species_table), ZBL()
    nearest, pushes = (as_matrix(x, count) for x in (wall.nearest, wall.pushes))
    end = wall.reach * nearest
    height = pushes * end / (4.0 * (1.0 - wall.fade / wall.reach) ** 3)
    charges = np.asarray(species_table, np.float64)
    powers = zbl.inverse_lengths(charges)
    tables = nearest, end, height, np.outer(charges, charges), np.add.outer(powers, powers)
    return np.stack(tables).reshape(len(tables), -1)


def _levelled(r: Array, start: Array, stop: Array) -> Array:
    """The distance itself from ``start`` on, and half-way to ``stop`` below that."""
    width = start - stop
    t = jnp.clip((r - stop) / width, 0.0, 1.0)
    inside = 0.5 * (start + stop) + width * t**4 * (2.5 - t * (3.0 - t))
    return jnp.where(r < start, inside, r)
