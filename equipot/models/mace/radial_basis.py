"""Functions of the distances of a graph's edges, as MACE's radial networks receive them."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from equipot.data import elements
from equipot.e3.functions import radial, radial_transforms
from equipot.models.mace.config import Config
from equipot.typing import Array, Float, Int


class RadialBasis(NamedTuple):
    """Functions of each edge's distance, and the envelope that vanishes at the cutoff."""

    functions: Float[Array, "edges basis"]
    envelope: Float[Array, " edges"]

    @property
    def fading(self) -> Float[Array, "edges basis"]:
        """The functions times the envelope: for networks without biases."""
        return self.functions * self.envelope[:, None]


def radial_basis(
    config: Config,
    species_table: tuple[int, ...],
    edge_vectors: Float[Array, "edges 3"],
    sender_species: Int[Array, " edges"],
    receiver_species: Int[Array, " edges"],
) -> RadialBasis:
    """Evaluates the basis that the settings name.

    Args:
      config: Settings of the model.
      species_table: Atomic number of each species.
      edge_vectors: From sender to receiver, Å.
      sender_species: Species of the atoms that send.
      receiver_species: Species of those that receive.
    """
    lengths = radial.safe_norm(edge_vectors)
    envelope = radial.polynomial_cutoff(lengths, config.cutoff, config.polynomial_cutoff)
    x = lengths
    if config.distance_transform != "none":
        table = elements.COVALENT_RADII[np.array(species_table, np.int64)]
        radii = jnp.asarray(table, lengths.dtype)
        both = radii[sender_species] + radii[receiver_species]
        agnesi = config.distance_transform == "agnesi"
        transform = radial_transforms.agnesi if agnesi else radial_transforms.soft
        x = transform(lengths, 0.5 * both if agnesi else both)
    if config.radial_basis == "chebyshev":
        basis = radial_transforms.chebyshev(x, config.num_radial_basis)
    elif config.radial_basis == "gaussian":
        basis = radial_transforms.gaussian(x, config.num_radial_basis, config.cutoff)
    else:
        basis = radial.bessel(x, config.num_radial_basis, config.cutoff)
    return RadialBasis(basis, envelope)
