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

import dataclasses
import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from equipot import errors
from equipot.e3.arrays.irreps import Irrep, Irreps
from equipot.e3.functions import activations, radial
from equipot.e3.kernels import environments
from equipot.e3.kernels.convolution import spread
from equipot.e3.kernels.edge_sum import edge_sum
from equipot.e3.nn import composed, pair_embedding
from equipot.e3.so3.spherical_harmonics import spherical_harmonics_components
from equipot.graphs import pairs
from equipot.models import harmonic_readout, output
from equipot.models.context import ModelContext
from equipot.models.output import Output
from equipot.models.settings import check_settings
from equipot.typing import Array, Float, Int

Activation: TypeAlias = Literal["silu", "mish", "gelu", "ssp", "tanh"]

_WIDEST_TABLE = 128  # functions of distance and pair of species that enter one matrix product


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of Allegro.

    Attributes:
      cutoff: Radius in Å within which atoms interact: all that an atom's energy depends on.
      num_layers: Number of layers, at least 1; each couples one more environment.
      lmax: Highest degree of the tensors and spherical harmonics.
      num_scalars: Scalar features of a pair in each layer.
      num_channels: Tensor features of a pair, the same number for every irrep.
      parity: Whether tensors of both parities are kept; without, only 0e, 1o, 2e, … are. Both are
        equivariant under inversion.
      radial_basis: ``bessel``: Bessel functions times an embedding of both species, or ``spline``:
        splines with weights of their own for each ordered pair of species.
      num_radial_basis: Number of functions of the distance.
      polynomial_cutoff: Exponent p of the envelope of the Bessel functions.
      spline_span: Number of splines that overlap.
      embedding_dim: Width of the embedding of distance and species, even.
      embedding_widths: Hidden layers between that and the first scalars.
      latent_widths: Hidden layers of the perceptron of every layer; none is a linear map.
      readout_widths: Hidden layers between all scalars of a pair and its energy.
      embedding_activation: Nonlinearity of the first perceptron.
      latent_activation: Nonlinearity of those of the layers.
      readout_activation: Nonlinearity of the last one.
      pair_cutoffs: For each species of the center the radius in Å for each species of the
        neighbor, both in ascending atomic number, none above ``cutoff``; empty for the same
        everywhere.
      trainable_bessel: Whether the frequencies of the Bessel functions are parameters.
      species_norm: Whether sums over the neighbors of an atom are multiplied by a parameter of its
        species.
    """

    cutoff: float = 5.0
    num_layers: int = 2
    lmax: int = 2
    num_scalars: int = 64
    num_channels: int = 32
    parity: bool = False
    radial_basis: Literal["bessel", "spline"] = "bessel"
    num_radial_basis: int = 8
    polynomial_cutoff: int = 6
    spline_span: int = 6
    embedding_dim: int = 64
    embedding_widths: tuple[int, ...] = (64,)
    latent_widths: tuple[int, ...] = (64,)
    readout_widths: tuple[int, ...] = (32,)
    embedding_activation: Activation = "silu"
    latent_activation: Activation = "silu"
    readout_activation: Activation = "silu"
    pair_cutoffs: tuple[tuple[float, ...], ...] = ()
    trainable_bessel: bool = False
    species_norm: bool = False

    def __post_init__(self) -> None:
        check_settings(
            self,
            num_layers=1,
            lmax=0,
            num_scalars=1,
            num_channels=1,
            num_radial_basis=1,
            polynomial_cutoff=2,
            spline_span=0,
        )
        if self.embedding_dim < 1 or (self.radial_basis == "bessel" and self.embedding_dim % 2):
            raise errors.ConfigError(
                "model.embedding_dim: expected an even number, half of it for each end of a pair, "
                f"received {self.embedding_dim}"
            )
        if self.radial_basis == "spline" and self.spline_span > self.num_radial_basis:
            raise errors.ConfigError(
                f"model.spline_span: expected 0 to {self.num_radial_basis}, the number of splines, "
                f"received {self.spline_span}"
            )
        if not all(0 < r <= self.cutoff for row in self.pair_cutoffs for r in row):
            raise errors.ConfigError(
                f"model.pair_cutoffs: expected radii above 0 and up to the cutoff {self.cutoff}, "
                f"received {self.pair_cutoffs}"
            )

    @property
    def harmonics(self) -> tuple[Irrep, ...]:
        """Irreps of the spherical harmonics, of natural parity: 0e, 1o, 2e."""
        return tuple(Irrep(l, (-1) ** l) for l in range(self.lmax + 1))

    @property
    def layers(self) -> tuple[environments.Layer, ...]:
        """The couplings of every layer."""
        both = tuple(Irrep(l, p) for l in range(self.lmax + 1) for p in (1, -1))
        allowed = both if self.parity else self.harmonics
        return environments.layers(self.harmonics, allowed, self.num_layers)


class Model(nn.Module):
    """Allegro as a function from edges to energies of atoms, and to what else is asked of them.

    Attributes:
      config: Settings.
      context: Species, neighbors, and the form of the graphs.
      species_tables: Parameters that have a row for each species.
    """

    config: Config
    context: ModelContext
    species_tables: ClassVar[tuple[str, ...]] = ("centre", "neighbor", "species_norm")

    @nn.compact
    def __call__(
        self,
        edge_vectors: Float[Array, "edges 3"],
        species: Int[Array, " nodes"],
        senders: Int[Array, " edges"],
        receivers: Int[Array, " edges"],
        exchange: pairs.Exchange = pairs.keep,
    ) -> Output:
        """Returns energies in units of the potential's scale, and what else the context asks for.

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
        if not self.context.directed:
            edge_vectors, senders, receivers = pairs.both_ways(edge_vectors, senders, receivers)
        _check_species(config, self.context.num_species)
        edges = self._pairs(edge_vectors, species[receivers], species[senders])
        network = self._network(edge_vectors.dtype)
        norm = jnp.full(num_nodes, self.context.avg_num_neighbors**-0.5, edge_vectors.dtype)
        if config.species_norm:
            ones, shape = nn.initializers.ones, (self.context.num_species,)
            norm *= self.param("species_norm", ones, shape, norm.dtype)[species]
        around: list[Float[Array, "nodes components channels"]] = []
        operators: list[list[Array]] = []

        def total(layer: int) -> list[Array]:
            message = _Message(config, layer, self.context.outputs)
            params = _used(network, layer)
            return edge_sum(message, params, operators, edges, receivers, receivers, num_nodes)

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
        degrees = spherical_harmonics_components(radial.safe_normalize(edge_vectors), config.lmax)
        return {
            "basis": self._basis(lengths),
            "harmonics": [y for components in degrees[1:] for y in components],
            "pair": center * jnp.asarray(self.context.num_species, center.dtype) + neighbor,
        }

    def _basis(self, lengths: Float[Array, " edges"]) -> Float[Array, "edges basis"]:
        """Functions of the distance that vanish smoothly at the cutoff."""
        config, number, cutoff = self.config, self.config.num_radial_basis, self.config.cutoff
        if config.radial_basis == "spline":
            lower = radial.row((np.arange(number) - config.spline_span) / number, lengths)
            x = (lengths[:, None] * (1.0 / cutoff) - lower) * (number / (config.spline_span + 1))
            return 0.25 * (1.0 - jnp.cos(2.0 * math.pi * jnp.clip(x, 0.0, 1.0))) ** 2
        basis = radial.bessel(lengths, number, cutoff)
        if config.trainable_bessel:
            roots = self.param("bessel_roots", radial.whole_numbers, (number,), lengths.dtype)
            basis = radial.bessel_with_roots(lengths, roots, cutoff)
        return basis * radial.polynomial_cutoff(lengths, cutoff, config.polynomial_cutoff)[:, None]

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


@dataclasses.dataclass(frozen=True)
class _Message:
    """What a pair adds to its center: weighted harmonics, or at last its energy.

    Attributes:
      config: Settings.
      layer: Number of layers whose environments are known.
      outputs: Names and irreps of what is asked for beside the energy.
    """

    config: Config
    layer: int
    outputs: tuple[tuple[str, str], ...] = ()

    def __call__(
        self, params: Any, operators: Sequence[Sequence[Array]], pairs: Mapping[str, Any]
    ) -> list[Array]:
        config = self.config
        act = _activation(config.latent_activation)
        harmonics = [spread(y, config.num_channels) for y in pairs["harmonics"]]
        embed = _activation(config.embedding_activation)
        basis, pair = pairs["basis"], pairs["pair"]
        hidden = {0: pair_embedding.evaluate(embed, params["embedding"], basis, pair)}
        tensors = [hidden[0] @ matrix for matrix in params["tensors"]]
        for n, (layer, q) in enumerate(zip(params["layers"], operators, strict=True), start=1):
            hidden[-n] = _invariants(tensors, harmonics, q)
            if config.latent_widths:
                hidden[n] = composed.evaluate(act, layer, hidden)
        if self.layer == config.num_layers:
            if config.readout_widths:
                act = _activation(config.readout_activation)
                hidden[self.layer + 1] = composed.evaluate(act, params["readout"], hidden)
            energy = composed.mix(params["energy"], hidden)
            weights = [composed.mix(matrices, hidden) for matrices in params["outputs"]]
            others = harmonic_readout.components(self.outputs, weights, pairs["harmonics"])
            return [energy, *others]
        weights = [composed.mix(matrices, hidden) for matrices in params["environment"]]
        return [
            weight * harmonics[m - 1] if m else weight
            for l, weight in enumerate(weights)
            for m in range(l**2, (l + 1) ** 2)
        ]


def _invariants(
    tensors: Sequence[Array], harmonics: Sequence[Array], q: Sequence[Array]
) -> Float[Array, "edges channels"]:
    """Σ_l w[l, u] Σ_m Yˡₘ q[lm, u]: the scalars of a tensor product."""
    terms = [tensors[0] * q[0]]
    for l, weight in enumerate(tensors[1:], start=1):
        dots = [harmonics[m - 1] * q[m] for m in range(l**2, (l + 1) ** 2)]
        terms.append(weight * sum(dots[1:], dots[0]))
    return sum(terms[1:], terms[0])


def _activation(name: str) -> Any:
    return activations.normalize_function(activations.VANISHING_AT_ZERO[name])


def _by_degree(
    draw: composed.Draw, name: str, inputs: Sequence[composed.Linear], config: Config
) -> list[Mapping[int, Array]]:
    """A linear map to the weight of every degree and channel: one for each degree."""
    rows = composed.count(inputs)
    matrices = draw(name, (config.lmax + 1, rows, config.num_channels), rows)
    return [composed.compose(inputs, matrices[l]).matrices for l in range(config.lmax + 1)]


def _used(network: Mapping[str, Any], layer: int) -> dict[str, Any]:
    """The matrices that a pair needs where the environments of that many layers are known."""
    params = {"embedding": network["embedding"], "layers": network["layers"][:layer]}
    params["tensors"] = network["tensors"] if layer else []
    if layer < len(network["layers"]):
        return {**params, "environment": network["environments"][layer]}
    return {
        **params,
        "readout": network["readout"],
        "energy": network["energy"],
        "outputs": network["outputs"],
    }


def _check_species(config: Config, num_species: int) -> None:
    table = config.pair_cutoffs
    if table and [len(row) for row in table] != [num_species] * num_species:
        raise errors.ConfigError(
            f"model.pair_cutoffs: expected {num_species} rows of {num_species} radii, one for each "
            f"species, received {[list(row) for row in table]}"
        )
