"""How the mean binding energy of an element comes in, so that an atom on its own has none.

A switch is one number for each atom, S_i: 0 without neighbors, 1 where the atom is bound. The
energy of the atom has shift · S_i.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp

from equipot.data import elements
from equipot.e3.functions import radial
from equipot.graphs import pairs
from equipot.typing import Array, Float, Int

Switch = Callable[[Array, Array, Array, Array], Array]
"""``switch(edge_vectors, species, senders, receivers)``: S of each atom."""

_BROKEN = 1.875  # bond lengths at which a bond is gone
_WHOLE = 1.25  # bond lengths up to which it is whole: no bond of the data is to feel the switch
_ENVELOPE_EXPONENT = 6


def name(anchored: bool, radii: Sequence[float] | None) -> str:
    """The word of ``potential.shift`` for what a potential does."""
    if not anchored:
        return "constant"
    return "neighbors" if radii is None else "bonds"


def bond_radii(species_table: Sequence[int]) -> tuple[float, ...]:
    """The covalent radius of each species, Å; two of them make a bond length."""
    return tuple(float(elements.COVALENT_RADII[z]) for z in species_table)


def make_switch(radii: Sequence[float] | None, cutoff: float, *, directed: bool = False) -> Switch:
    """The switch of an anchored potential, by bonds where covalent radii are given.

    Args:
      radii: Covalent radius of each species, Å; None for the switch of the first versions.
      cutoff: Å; edges are no longer.
      directed: Whether an edge reaches its receiver only; without, both atoms of the pair.
    """
    if radii is None:
        return by_neighbors(cutoff, directed=directed)
    return by_bonds(radii, cutoff, directed=directed)


def by_bonds(radii: Sequence[float], cutoff: float, *, directed: bool = False) -> Switch:
    """The switch that one whole bond saturates: S_i = s(Σ_j s(b_ij)).

    s(b) = b³ (10 − 15 b + 6 b²) for 0 ≤ b ≤ 1, and 0 or 1 outside. b_ij is 1 up to 1.25 times the
    sum of the two covalent radii and falls linearly to 0 at 1.875 times that sum; both shrink
    together where the cutoff is shorter. An atom that keeps one bond does not feel the switch at
    all, and two atoms that are farther apart exert no force through it.

    Args:
      radii: Covalent radius of each species, Å.
      cutoff: Å; edges are no longer.
      directed: Whether an edge reaches its receiver only; without, both atoms of the pair.
    """

    def switch(
        edge_vectors: Float[Array, "edges 3"],
        species: Int[Array, " nodes"],
        senders: Int[Array, " edges"],
        receivers: Int[Array, " edges"],
    ) -> Float[Array, " nodes"]:
        radius = jnp.asarray(radii, edge_vectors.dtype)[species]
        end = jnp.minimum(_BROKEN * (radius[senders] + radius[receivers]), cutoff)
        start = end * (_WHOLE / _BROKEN)
        left = (end - radial.safe_norm(edge_vectors)) / (end - start)
        ends = senders, receivers, len(species)
        bonds = pairs.sum_at_nodes(_smooth_step(left), *ends, directed=directed)
        return _smooth_step(bonds)

    return switch


def by_neighbors(cutoff: float, *, directed: bool = False) -> Switch:
    """The switch of the first versions: S_i = tanh(Σ_j u(r_ij)), u the envelope of the cutoff.

    It is not saturated where neighbors are few, so that it binds far pairs and small clusters.

    Args:
      cutoff: Å.
      directed: Whether an edge reaches its receiver only; without, both atoms of the pair.
    """

    def switch(
        edge_vectors: Float[Array, "edges 3"],
        species: Int[Array, " nodes"],
        senders: Int[Array, " edges"],
        receivers: Int[Array, " edges"],
    ) -> Float[Array, " nodes"]:
        lengths = radial.safe_norm(edge_vectors)
        envelope = radial.polynomial_cutoff(lengths, cutoff, _ENVELOPE_EXPONENT)
        ends = senders, receivers, len(species)
        return jnp.tanh(pairs.sum_at_nodes(envelope, *ends, directed=directed))

    return switch


def _smooth_step(x: Float[Array, " n"]) -> Float[Array, " n"]:
    """From 0 to 1 between 0 and 1, with slope and curvature zero at both ends."""
    x = jnp.clip(x, 0.0, 1.0)
    return x**3 * (10.0 - 15.0 * x + 6.0 * x**2)
