"""Allegro: features of ordered pairs of atoms within one cutoff, and no message passing.

A pair (center i, neighbor j) has scalars, and tensors with one weight per degree l and channel u,

    V⁰[ij] = w[ij, l, u] Yˡ(r_ij),        w linear in the scalars of the pair.

A layer sums weighted harmonics around the center, couples every pair's tensors with that
environment A[i], and lets the scalars among the products enter the scalars of the pair:

    A[i, l, u] = Σ_j w'[ij, l, u] Yˡ(r_ij) / √N,    Vⁿ = T(A[i]) Vⁿ⁻¹,
    x[ij] ← x[ij] ⊕ MLP(x[ij] ⊕ Vⁿ[ij, scalar]).

The energy of i is the sum over its pairs of a perceptron on all scalars.

**How it is computed.** The weights of a tensor product are the same for all pairs, so T(A[i]) is
linear in the tensors and belongs to the atom. The scalars of layer n are therefore

    Vⁿ[ij, scalar, u] = Σ_l w[ij, l, u] Yˡ(r_ij) · Qⁿ[i, l, u],    Qⁿ = T₁ᵀ … Tₙᵀ e_scalar,

and all tensor products are made once per atom instead of once per pair: no pair ever has tensors
beyond its harmonics. Linear maps in sequence are multiplied with each other before pairs see them.
What a pair needs is made in blocks by ``edge_sum`` and made anew for derivatives, so that memory
holds no feature of all pairs.

Reference: Musaelian et al. 2023, Nature Communications 14, 579. DOI 10.1038/s41467-023-36329-y
"""

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from equipot.e3.arrays.irreps import Irreps
from equipot.e3.functions import radial
from equipot.e3.kernels import environments
from equipot.e3.kernels.edge_sum import edge_sum
from equipot.graphs import pairs
from equipot.models import edges, output
from equipot.models.allegro import composed, harmonic_readout, message, pair_embedding
from equipot.models.allegro.config import Config
from equipot.models.context import ModelContext
from equipot.models.output import Output
from equipot.typing import Array, Float, Int

_WIDEST_TABLE = 128  # functions of distance and pair of species that enter one matrix product


class Model(nn.Module):
    """Allegro as a function from edges to atomic energies and other requested quantities.

    Attributes:
      config: Settings.
      context: Species, neighbors, and the form of the graphs.
      species_tables: Parameters that have a row for each species.
      species_pair_tables: Parameters that have a row for each pair of them.
    """

    config: Config
    context: ModelContext
    species_tables: ClassVar[tuple[str, ...]] = ("centre", "neighbor", "species_norm")
    species_pair_tables: ClassVar[tuple[str, ...]] = ("splines",)

    @nn.compact
    def __call__(
        self,
        edge_vectors: Float[Array, "edges 3"],
        species: Int[Array, " nodes"],
        senders: Int[Array, " edges"],
        receivers: Int[Array, " edges"],
        exchange: pairs.Exchange = pairs.keep,
    ) -> Output:
        """Returns energies in units of the potential's scale, and the quantities in the context.

        Like the energy that is a sum over pairs: Σ_j w[ij] Yˡ(r_ij), w linear in what the energy is
        linear in.

        Args:
          edge_vectors: From sender to receiver, Å.
          species: Index of each atom's species.
          senders: The neighbor of each pair.
          receivers: The center of each pair.
          exchange: Not called, as no features are sent.
        """
        config, num_nodes = self.config, len(species)
        edge_vectors, senders, receivers = edges.directed(
            self.context, edge_vectors, senders, receivers
        )
        config.check_species(self.context.num_species)
        between = self._pairs(edge_vectors, species[receivers], species[senders])
        network = self._network(edge_vectors.dtype)
        norm = jnp.full(num_nodes, self.context.avg_num_neighbors**-0.5, edge_vectors.dtype)
        if config.species_norm:
            ones, shape = nn.initializers.ones, (self.context.num_species,)
            norm *= self.param("species_norm", ones, shape, norm.dtype)[species]
        around: list[Float[Array, "nodes components channels"]] = []
        operators: list[list[Array]] = []

        def total(layer: int) -> list[Array]:
            of_pair = message.Message(config, layer, self.context.outputs)
            params = message.used(network, layer)
            return edge_sum(of_pair, params, operators, between, receivers, receivers, num_nodes)

        for layer in range(1, config.num_layers + 1):
            around.append(jnp.stack(total(layer - 1), axis=1) * norm[:, None, None])
            weights = network["products"][:layer]
            q = environments.scalar_operator(config.layers[:layer], weights, around)
            operators.append([q[:, m] for m in range(q.shape[1])])
        energy, *others = total(config.num_layers)
        found = harmonic_readout.assemble(self.context.outputs, others, norm)
        return output.finish(self, energy[:, 0] * norm, {}, found)

    def _pairs(
        self, edge_vectors: Array, center: Int[Array, " edges"], neighbor: Int[Array, " edges"]
    ) -> dict[str, Any]:
        """What a pair's network reads: functions of its vector, and both species in one number."""
        config = self.config
        lengths = radial.safe_norm(edge_vectors)
        if config.pair_cutoffs:
            stretch = config.cutoff / np.asarray(config.pair_cutoffs)
            lengths = lengths * jnp.asarray(stretch, lengths.dtype)[center, neighbor]
        harmonics = edges.harmonics(edge_vectors, config.lmax)
        return {
            "basis": self._basis(lengths),
            "harmonics": [y for irrep, ys in harmonics.items() if irrep.l for y in ys],
            "pair": center * jnp.asarray(self.context.num_species, center.dtype) + neighbor,
        }

    def _basis(self, lengths: Float[Array, " edges"]) -> Float[Array, "edges basis"]:
        """Functions of the distance that vanish smoothly at the cutoff."""
        config, number, cutoff = self.config, self.config.num_radial_basis, self.config.cutoff
        if config.radial_basis == "spline":
            lower = radial.row((np.arange(number) - config.spline_span) / number, lengths)
            x = (lengths[:, None] * (1.0 / cutoff) - lower) * (number / (config.spline_span + 1))
            return 0.25 * (1.0 - jnp.cos(2.0 * math.pi * jnp.clip(x, 0.0, 1.0))) ** 2
        return edges.bessel_basis(
            self,
            lengths,
            number,
            cutoff,
            config.polynomial_cutoff,
            trainable=config.trainable_bessel,
        )

    def _network(self, dtype: Any) -> dict[str, Any]:
        """All matrices that pairs meet, those in sequence multiplied with each other.

        Layer n = 1 … num_layers reads the scalars of its tensor product under the number -n and
        makes hidden layer n; hidden layer 0 is that of the embedding.
        """
        config, draw = self.config, functools.partial(self._draw, dtype)
        embedding, features = self._embedding(draw)
        tensors = _by_degree(draw, "tensors", features, config)
        around = [_by_degree(draw, "environment_0", features, config)]
        scalars = [composed.linear(draw, "scalars_0", features, config.num_scalars)]
        products, layers = [], []
        for n, couplings in enumerate(config.layers, start=1):
            products.append(draw(f"products_{n}", (len(couplings.paths), config.num_channels), 1))
            inputs = [*scalars, composed.Linear({-n: None}, config.num_channels)]
            name, widths = f"latent_{n}", config.latent_widths
            layer, features = composed.perceptron(draw, name, inputs, widths, n)
            layers.append(layer)
            scalars.append(composed.linear(draw, f"scalars_{n}", features, config.num_scalars))
            if n < config.num_layers:
                around.append(_by_degree(draw, f"environment_{n}", features, config))
        number, widths = config.num_layers + 1, config.readout_widths
        readout, features = composed.perceptron(draw, "readout", scalars, widths, number)
        return {
            "embedding": embedding,
            "tensors": [matrices[0] for matrices in tensors],
            "environments": around,
            "products": products,
            "layers": layers,
            "readout": readout,
            "energy": composed.linear(draw, "energy", features, 1).matrices,
            "outputs": self._outputs(features, dtype),
        }

    def _outputs(self, features: Sequence[composed.Linear], dtype: Any) -> list[Any]:
        """The matrices to the weights of each part of the quantities, zero at first."""
        config, zeros = self.config, nn.initializers.zeros

        def draw(name: str, shape: tuple[int, ...], fan_in: int) -> Array:
            return self.param(name, zeros, shape, dtype) * fan_in**-0.5

        found = []
        for name, irreps in self.context.outputs:
            output.check_irreps(self, name, irreps, dict.fromkeys(config.harmonics))
            for i, part in enumerate(Irreps(irreps)):
                title = f"{output.PREFIX}{name}_{i}"
                found.append(composed.linear(draw, title, features, part.mul).matrices)
        return found

    def _embedding(self, draw: composed.Draw) -> tuple[dict[str, Any], list[composed.Linear]]:
        """The matrices to hidden layer 0, and the two-body embedding, which is linear in it."""
        config, species = self.config, self.context.num_species
        basis, dim, widths = config.num_radial_basis, config.embedding_dim, config.embedding_widths
        if config.radial_basis == "spline":
            span = max(config.spline_span, 1)
            first = {"splines": draw("splines", (species, species, basis, dim), span)}
        else:
            # "centre" is how files spell it.
            ends = {end: draw(end, (species, dim // 2), 1) for end in ("centre", "neighbor")}
            first = {"radial": draw("radial", (basis, dim), basis), **ends}
        *hidden, last = [
            draw(f"embedding_{n}", shape, shape[0])
            for n, shape in enumerate(itertools.pairwise([dim, *widths, config.num_scalars]))
        ]
        if species**2 * basis <= _WIDEST_TABLE:
            first, hidden = pair_embedding.fold(first, hidden)
        return {**first, "hidden": hidden}, [composed.Linear({0: last}, config.num_scalars)]

    def _draw(self, dtype: Any, name: str, shape: tuple[int, ...], fan_in: int) -> Array:
        """A parameter of N(0, 1), times the factor that keeps the variance of what it maps."""
        normal: Any = nn.initializers.normal(1.0)
        return self.param(name, normal, shape, dtype) * fan_in**-0.5


def _by_degree(
    draw: composed.Draw, name: str, inputs: Sequence[composed.Linear], config: Config
) -> list[Mapping[int, Array]]:
    """A linear map to the weight of every degree and channel: one for each degree."""
    rows = composed.count(inputs)
    matrices = draw(name, (config.lmax + 1, rows, config.num_channels), rows)
    return [composed.compose(inputs, matrices[l]).matrices for l in range(config.lmax + 1)]
