"""Summands for tests: one pass over pairs, and two."""

import dataclasses

import jax.numpy as jnp

from equipot.e3.functions import radial
from equipot.graphs import pairs


@dataclasses.dataclass(frozen=True)
class LennardJones:
    """4ε ((σ/r)¹² − (σ/r)⁶), taken to zero at the cutoff by a polynomial."""

    cutoff: float = 6.0
    epsilon: float = 0.05
    sigma: float = 1.7

    def make_energy(self, species_table, *, directed=False):
        def energy(vectors, species, senders, receivers, exchange=pairs.keep):
            r = radial.safe_norm(vectors)
            near = r < self.cutoff
            sixth = (self.sigma / jnp.where(near, r, self.cutoff)) ** 6
            value = 4 * self.epsilon * (sixth**2 - sixth)
            value = value * radial.polynomial_cutoff(r, self.cutoff, 6)
            half = 0.5 * value
            return pairs.sum_at_nodes(half, senders, receivers, len(species), directed=directed)

        return energy


@dataclasses.dataclass(frozen=True)
class Coordinated:
    """Pairs attract the less, the more neighbors their atoms have: two passes over the pairs."""

    cutoff: float = 5.0
    strength: float = 0.1

    def make_energy(self, species_table, *, directed=False):
        def energy(vectors, species, senders, receivers, exchange=pairs.keep):
            near = radial.polynomial_cutoff(radial.safe_norm(vectors), self.cutoff, 6)
            count = len(species)
            numbers = pairs.sum_at_nodes(near, senders, receivers, count, directed=directed)
            numbers = exchange(numbers)
            weakened = near / (1.0 + numbers[senders]) / (1.0 + numbers[receivers])
            half = -0.5 * self.strength * weakened
            return pairs.sum_at_nodes(half, senders, receivers, count, directed=directed)

        return energy
