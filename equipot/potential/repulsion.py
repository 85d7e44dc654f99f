"""Repulsion of screened nuclei, which keeps atoms apart where there are no data to learn from."""

import dataclasses
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np

from equipot import errors, units
from equipot.data import elements, structure
from equipot.e3.functions import radial
from equipot.graphs import pairs
from equipot.typing import Array, Float, Int

_CLOSEST = 1e-3  # Å; the energy is constant below

Repulsion = Callable[[Array, Array, Array, Array], Array]
"""``repulsion(edge_vectors, species, senders, receivers)``: energy of each atom in eV."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ZBL:
    """Constants of the universal repulsion of Ziegler, Biersack and Littmark.

    The defaults are the published ones; other codes round them, or have others.

    Attributes:
      covalent_radii: Radius of each species in Å: a pair ceases to repel at the sum of two, or at
        the cutoff of the potential if that is smaller. Without any, at the cutoff.
      polynomial_cutoff: Exponent p of the envelope that takes it there.
      coulomb: e²/4πε₀ in eV Å.
      length: Screening length in Å, before it is divided by the charges' powers.
      exponent: Of the charges in the screening length.
      coefficients: Of the terms of the screening function.
      decays: Of the terms of the screening function.
      factor: What the energy is multiplied with.
    """

    covalent_radii: tuple[float, ...] = ()
    polynomial_cutoff: int = 6
    coulomb: float = units.HARTREE * units.BOHR
    length: float = 0.8854 * units.BOHR
    exponent: float = 0.23
    coefficients: tuple[float, ...] = (0.18175, 0.50986, 0.28022, 0.02817)
    decays: tuple[float, ...] = (3.1998, 0.94229, 0.4029, 0.20162)
    factor: float = 1.0

    def __post_init__(self) -> None:
        if self.polynomial_cutoff < 2:
            raise errors.ConfigError(
                "potential.repulsion.polynomial_cutoff: expected at least 2, received"
                f" {self.polynomial_cutoff}"
            )
        if len(self.coefficients) != len(self.decays):
            raise errors.ConfigError(
                "potential.repulsion: expected one decay for each coefficient, received"
                f" {len(self.decays)} and {len(self.coefficients)}"
            )

    def inverse_lengths(self, charges: np.ndarray) -> np.ndarray:
        """Share of each nucleus in the inverse of a pair's screening length, 1/Å."""
        return charges**self.exponent / self.length

    def between(
        self,
        charges: Float[Array, " edges"],
        screening: Float[Array, " edges"],
        r: Float[Array, " edges"],
    ) -> Float[Array, " edges"]:
        """Energy of pairs of screened nuclei in eV, which does not end: k Z_i Z_j / r φ(r/a).

        Args:
          charges: Products of the charges.
          screening: Inverse screening lengths 1/a, 1/Å.
          r: Distances, Å, positive.
        """
        x = r * screening
        terms = zip(self.coefficients, self.decays, strict=True)
        screened = sum((c * jnp.exp(-d * x) for c, d in terms), jnp.zeros_like(x))
        return self.factor * self.coulomb * charges / r * screened


def between_covalent_radii(species_table: Sequence[int]) -> ZBL:
    """The published repulsion, of pairs that are closer than the sum of their covalent radii."""
    return ZBL(covalent_radii=tuple(float(elements.COVALENT_RADII[z]) for z in species_table))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ZBLSummand:
    """The repulsion as a summand, see ``equipot.potential.summands``.

    Attributes:
      zbl: The constants.
      cutoff: Å; pairs are no longer.
    """

    zbl: ZBL
    cutoff: float

    def make_energy(
        self, species_table: tuple[int, ...], *, directed: bool = False
    ) -> Callable[..., Array]:
        """Returns ``energy(edge_vectors, species, senders, receivers)``: one pass over pairs."""
        repulsion = make_repulsion(self.zbl, species_table, self.cutoff, directed=directed)

        def energy(
            edge_vectors: Array,
            species: Array,
            senders: Array,
            receivers: Array,
            exchange: pairs.Exchange = pairs.keep,
        ) -> Array:
            return repulsion(edge_vectors, species, senders, receivers)

        return energy


def make_repulsion(
    zbl: ZBL, species_table: Sequence[int], cutoff: float, *, directed: bool = False
) -> Repulsion:
    """Returns ``repulsion(edge_vectors, species, senders, receivers)``, the energy of each atom.

    A pair gives half of its energy to either atom, a directed edge to the one that receives it,

        E_i = ½ Σ_j k Z_i Z_j / r φ(r/a) u(r),  a = length / (Z_iᵖ + Z_jᵖ),
        φ(x) = Σ_n c_n exp(−d_n x)

    with u the polynomial envelope that ends at the smaller of the sum of the covalent radii and the
    cutoff. Energy, force and its slope are continuous there.

    Args:
      zbl: The constants.
      species_table: Atomic number of each species.
      cutoff: Å; edges are no longer.
      directed: Whether an edge reaches its receiver only; without, both atoms of the pair.

    Raises:
      ConfigError: If there is not one covalent radius for each species.

    Reference: Ziegler, Biersack and Littmark 1985, The Stopping and Range of Ions in Matter, vol. 1
    """
    radii = zbl.covalent_radii or (cutoff,) * len(species_table)
    if len(radii) != len(species_table):
        symbols = ", ".join(structure.symbol(z) for z in species_table)
        raise errors.ConfigError(
            f"potential.repulsion.covalent_radii: expected one for each of {symbols}, received"
            f" {len(radii)}"
        )
    charges = np.asarray(species_table, np.float64)
    tables = charges, zbl.inverse_lengths(charges), np.asarray(radii, np.float64)

    def repulsion(
        edge_vectors: Float[Array, "edges 3"],
        species: Int[Array, " nodes"],
        senders: Int[Array, " edges"],
        receivers: Int[Array, " edges"],
    ) -> Float[Array, " nodes"]:
        dtype = edge_vectors.dtype
        charge, screening, radius = (jnp.asarray(table, dtype)[species] for table in tables)
        r = jnp.maximum(radial.safe_norm(edge_vectors), _CLOSEST)
        end = jnp.minimum(radius[senders] + radius[receivers], cutoff)
        product, inverse = (
            charge[senders] * charge[receivers],
            screening[senders] + screening[receivers],
        )
        energy = 0.5 * zbl.between(product, inverse, r)
        energy *= radial.polynomial_cutoff(r / end, 1.0, zbl.polynomial_cutoff)
        return pairs.sum_at_nodes(energy, senders, receivers, len(species), directed=directed)

    return repulsion
