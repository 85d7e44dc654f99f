"""The interaction of mace-torch's later potentials: edges that know both atoms, and a gate."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
from flax import linen as nn

from equipot.e3.arrays.irreps import Irrep
from equipot.e3.kernels.convolution import Components, Path, convolution, paths
from equipot.e3.nn import channels
from equipot.graphs import pairs
from equipot.models.mace.radial_basis import RadialBasis
from equipot.typing import Array, Float, Int

SCALAR = Irrep("0e")
DENSITY_WIDTH = 64
"""Of the hidden layer of the network that counts neighbors."""
NORM_EPSILON = 1e-5
_FAINT = 0.1
Ends: TypeAlias = Mapping[str, tuple[Float[Array, "species channels"], Int[Array, " edges"]]]
"""By name of an end of the edges: numbers of each species, and the species there."""


class NonLinearInteraction(nn.Module):
    """Sums messages of the neighbors, adds the atom's own features, and gates the result.

    A = linear(gate(linear(Σ_j f(r_ij) R(r_ij, s_j, s_i) Y(r_ij) ⊗ linear(h_j)) / (α + β ρ_i)
    + linear(h_i))), with ρ_i = Σ_j f(r_ij) tanh(d(r_ij, s_j, s_i)²), networks R and d with biases
    and layer norms, the envelope f, and learned numbers α and β. α is the mean number of neighbors
    at first, β zero. The skip connection is linear(h_i).

    Edges are directed: the weights of a message depend on which of both atoms sends it.

    Attributes:
      irreps_sum: Irreps and channels of A.
      irreps_out: Irreps and channels of the skip connection.
      width_sent: Channels of what atoms send.
      radial_widths: Hidden layers of the radial network.
      num_species: Number of species.
      avg_num_neighbors: Mean number of neighbors.

    Reference: RealAgnosticResidualNonLinearInteractionBlock of mace-torch 0.3.16.
    """

    irreps_sum: channels.Channels
    irreps_out: channels.Channels
    width_sent: int
    radial_widths: tuple[int, ...]
    num_species: int
    avg_num_neighbors: float

    @nn.compact
    def __call__(
        self,
        features: dict[Irrep, Array],
        species: Int[Array, " nodes"],
        radial_basis: RadialBasis,
        edge_sh: dict[Irrep, Components],
        senders: Int[Array, " edges"],
        receivers: Int[Array, " edges"],
        exchange: pairs.Exchange,
    ) -> tuple[dict[Irrep, Array], dict[Irrep, Array]]:
        """Returns the sum and the skip connection, each ``{irrep: [nodes, 2l+1, channels]}``."""
        widths = dict.fromkeys(features, self.width_sent)
        sent = channels.Linear(widths, name="linear_up")(features)
        couplings = paths(tuple(features), tuple(edge_sh), tuple(self.irreps_sum))
        outputs = {path: widths[path.node] for path in couplings}
        atoms = self._atoms(features[SCALAR], species, senders, receivers)
        hidden, matrices = EdgeNetwork(self.radial_widths, outputs, name="radial")(
            radial_basis, atoms
        )
        messages = convolution(
            exchange(sent),
            edge_sh,
            hidden,
            channels.radial_weights,
            matrices,
            senders,
            receivers,
            len(species),
        )
        before_gate = channels.gate_channels(self.irreps_sum)
        divisor = self._divisor(radial_basis, atoms, receivers, len(species))[:, None, None]
        summed = {
            irrep: x / divisor
            for irrep, x in channels.PathLinear(before_gate, name="linear")(messages).items()
        }
        own = channels.Linear(before_gate, name="linear_own")(sent)
        gated = channels.gate(channels.add(summed, own), gates=jax.nn.sigmoid)
        skip = channels.Linear(self.irreps_out, name="common_skip")(features)
        return channels.Linear(self.irreps_sum, name="linear_after")(gated), skip

    def _atoms(
        self,
        scalars: Float[Array, "nodes one channels"],
        species: Int[Array, " nodes"],
        senders: Int[Array, " edges"],
        receivers: Int[Array, " edges"],
    ) -> Ends:
        """The table of each end of an edge, as wide as the scalars, and the species there."""
        shape, dtype = (self.num_species, scalars.shape[-1]), scalars.dtype
        start = nn.initializers.normal(_FAINT)  # distances come first, as in mace-torch
        source = self.param("source", start, shape, dtype)
        target = self.param("target", start, shape, dtype)
        return {"source": (source, species[senders]), "target": (target, species[receivers])}

    def _divisor(
        self,
        radial_basis: RadialBasis,
        atoms: Ends,
        receivers: Int[Array, " edges"],
        num_nodes: int,
    ) -> Float[Array, " nodes"]:
        """α + β ρ: neighbors counted, each as a number between 0 and 1."""
        dtype = radial_basis.envelope.dtype
        hidden = HiddenLayers((DENSITY_WIDTH,), name="density")(radial_basis.functions, atoms)
        weight = self.param("density_last", nn.initializers.normal(1.0), (DENSITY_WIDTH,), dtype)
        bias = self.param("density_last_bias", nn.initializers.zeros, (), dtype)
        inner = hidden @ (weight / DENSITY_WIDTH**0.5) + bias
        count = jnp.tanh(jnp.square(inner)) * radial_basis.envelope
        density = jax.ops.segment_sum(count, receivers, num_nodes)
        alpha = self.param("alpha", nn.initializers.constant(self.avg_num_neighbors), (), dtype)
        return alpha + self.param("beta", nn.initializers.zeros, (), dtype) * density


class EdgeNetwork(nn.Module):
    """Radial weights that depend on both atoms of an edge and vanish at the cutoff.

    The last layer is not applied here: ``channels.radial_weights`` does so, a block of edges at a
    time. Its biases are a row of its matrices, for a last hidden number that is always one.

    Attributes:
      widths: Widths of the hidden layers.
      outputs: Channels of each path.
    """

    widths: Sequence[int]
    outputs: Mapping[Path, int]

    @nn.compact
    def __call__(
        self, radial_basis: RadialBasis, atoms: Ends
    ) -> tuple[Float[Array, "edges width"], dict[Path, Array]]:
        """Returns the last hidden layer times the envelope and the matrix of every path."""
        x = HiddenLayers(self.widths, name="hidden")(radial_basis.functions, atoms)
        hidden = jnp.concatenate([x, jnp.ones_like(x[:, :1])], -1) * radial_basis.envelope[:, None]
        matrices = {}
        for path, width in self.outputs.items():
            name = "_".join(map(str, path))
            weight = _matrix(self, name, (x.shape[-1], width), x)
            bias = self.param(f"{name}_bias", nn.initializers.zeros, (1, width), x.dtype)
            matrices[path] = jnp.concatenate([weight, bias])
        return hidden, matrices


class HiddenLayers(nn.Module):
    """Linear maps with biases, each followed by a layer norm and silu.

    Attributes:
      widths: Widths of the layers.
    """

    widths: Sequence[int]

    @nn.compact
    def __call__(
        self, functions: Float[Array, "edges basis"], atoms: Ends
    ) -> Float[Array, "edges width"]:
        """Maps functions of the distance, and what the atoms at both ends are."""
        x = functions
        for i, width in enumerate(self.widths):
            name = f"layer_{i}"
            x = x @ _matrix(self, name, (x.shape[-1], width), x)
            if i == 0:
                for end, (table, species) in atoms.items():
                    # Multiplied before it is spread over the edges, which are many more.
                    x = (
                        x
                        + (table @ _matrix(self, f"of_{end}", (table.shape[-1], width), x))[species]
                    )
            x = x + self.param(f"{name}_bias", nn.initializers.zeros, (width,), x.dtype)[None]
            norm = nn.LayerNorm(
                epsilon=NORM_EPSILON,
                use_fast_variance=False,
                force_float32_reductions=False,
                param_dtype=x.dtype,
                dtype=x.dtype,
                name=f"norm_{i}",
            )
            x = jax.nn.silu(norm(x))
        return x


def _matrix(module: nn.Module, name: str, shape: tuple[int, int], like: Array) -> Array:
    return module.param(name, nn.initializers.normal(1.0), shape, like.dtype) / shape[0] ** 0.5
