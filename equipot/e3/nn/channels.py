"""Layers on one array per irrep, channels last: ``{Irrep: [nodes, 2l+1, channels]}``.

Weights are drawn from N(0, 1) and the factor that keeps the variance of the output at one stands
in the forward pass, so that a step of an Adam-like optimizer means the same in every layer
whatever its width.

Matrix products have the precision of ``jax.default_matmul_precision``: on accelerators float32 may
be rounded to fewer bits unless that says ``highest``, as a potential does by default.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
from flax import linen as nn

from equipot.e3.arrays.irreps import Irrep
from equipot.e3.functions import activations
from equipot.e3.kernels.convolution import Path
from equipot.typing import Array, Float, Int

Channels = Mapping[Irrep, int]
_FEW_SPECIES = 8


class Linear(nn.Module):
    """Mixes the channels of every irrep by a matrix of its own: y[i] = x[i] W[i] / √channels_in.

    Attributes:
      channels: Channels of the output per irrep; irreps that the input lacks are left out.
    """

    channels: Channels

    @nn.compact
    def __call__(self, features: Mapping[Irrep, Array]) -> dict[Irrep, Array]:
        """Maps ``{irrep: [nodes, 2l+1, in]}`` to ``{irrep: [nodes, 2l+1, out]}``."""
        result = {}
        for irrep, width in self.channels.items():
            if irrep in features:
                x = features[irrep]
                result[irrep] = x @ _scaled_weight(self, f"{irrep}", (x.shape[-1], width), x)
        return result


class PathLinear(nn.Module):
    """The linear map after a convolution: a sum of one matrix product per path.

    y[i] = Σ_{paths p → i} z[p] W[p] / √(Σ_p channels of p), times ``scale``.

    Attributes:
      channels: Channels of the output per irrep.
    """

    channels: Channels

    @nn.compact
    def __call__(self, messages: Mapping[Path, Array], scale: float = 1.0) -> dict[Irrep, Array]:
        """Maps ``{path: [nodes, 2l+1, channels]}`` to ``{irrep: [nodes, 2l+1, channels_out]}``."""
        result = {}
        for irrep, width in self.channels.items():
            incoming = {path: z for path, z in messages.items() if path.out == irrep}
            fan_in = sum(z.shape[-1] for z in incoming.values())
            terms = [
                z @ _weight(self, "_".join(map(str, path)), (z.shape[-1], width), z)
                for path, z in incoming.items()
            ]
            if terms:
                result[irrep] = sum(terms[1:], terms[0]) * (scale / fan_in**0.5)
        return result


class SpeciesLinear(nn.Module):
    """Mixes the channels of every irrep by a matrix that depends on the species of the node.

    Attributes:
      channels: Channels of the output per irrep; irreps that the input lacks are left out.
      num_species: Number of species.
    """

    channels: Channels
    num_species: int

    @nn.compact
    def __call__(
        self, features: Mapping[Irrep, Array], species: Int[Array, " nodes"]
    ) -> dict[Irrep, Array]:
        """Maps ``{irrep: [nodes, 2l+1, in]}`` to ``{irrep: [nodes, 2l+1, out]}``."""
        result = {}
        for irrep, width in self.channels.items():
            if irrep in features:
                x = features[irrep]
                if species.shape != x.shape[:1]:
                    raise ValueError(
                        f"expected {len(x)} species, one per node, received {species.shape}"
                    )
                shape = (self.num_species, x.shape[-1], width)
                weight = _weight(self, f"{irrep}", shape, x) / x.shape[-1] ** 0.5
                result[irrep] = _multiply_by_species(x, weight, species)
        return result


class SharedLinear(nn.Module):
    """Mixes the channels of every irrep by a sum of shared matrices, weighted by the species.

    y[i] = Σ_k a[s, k] x[i] W_k[i] / √(number × channels_in). Its cost does not depend on the number
    of species, and rare ones learn from the others.

    Attributes:
      channels: Channels of the output per irrep; irreps that the input lacks are left out.
      num_species: Number of species.
      number: Number of shared matrices.
    """

    channels: Channels
    num_species: int
    number: int

    @nn.compact
    def __call__(
        self, features: Mapping[Irrep, Array], species: Int[Array, " nodes"]
    ) -> dict[Irrep, Array]:
        """Maps ``{irrep: [nodes, 2l+1, in]}`` to ``{irrep: [nodes, 2l+1, out]}``."""
        like = next(iter(features.values()))
        shares = species_shares(self, self.num_species, self.number, like)[species]
        result = {}
        for irrep, width in self.channels.items():
            if irrep in features:
                x = features[irrep]
                shape = (self.number, x.shape[-1], width)
                weight = _weight(self, f"{irrep}", shape, x) / x.shape[-1] ** 0.5
                wide = x @ weight.transpose(1, 0, 2).reshape(x.shape[-1], -1)
                wide = wide.reshape(*x.shape[:-1], self.number, width)
                result[irrep] = jnp.einsum("nmkc,nk->nmc", wide, shares)
        return result


BySpecies: TypeAlias = SpeciesLinear | SharedLinear


def by_species(channels: Channels, num_species: int, shared: int, name: str) -> BySpecies:
    """Matrices of each species, or sums of so many shared ones, under a name that says which."""
    if not shared:
        return SpeciesLinear(channels, num_species, name=name)
    return SharedLinear(channels, num_species, shared, name=f"shared_{name}")


def species_shares(
    module: nn.Module, num_species: int, number: int, like: Array
) -> Float[Array, "species number"]:
    """How much of each of several shared weights every species has; a parameter of the module."""
    return _weight(module, "of_species", (num_species, number), like) / number**0.5


class RadialNetwork(nn.Module):
    """A perceptron without biases on the radial basis, its last layer one matrix per path.

    Without biases and with activations that vanish at zero, an envelope in the basis is an envelope
    of the output. The last layer is not applied here: ``radial_weights`` does so, a block of edges
    at a time.

    Attributes:
      widths: Widths of the hidden layers.
      outputs: Channels of each path.
    """

    widths: Sequence[int]
    outputs: Mapping[Path, int]

    @nn.compact
    def __call__(self, basis: Float[Array, "edges basis"]) -> tuple[Array, dict[Path, Array]]:
        """Returns the last hidden layer ``[edges, width]`` and the matrix of every path."""
        silu = activations.normalize_function(jax.nn.silu)
        x = basis
        for i, width in enumerate(self.widths):
            x = silu(x @ _scaled_weight(self, f"hidden_{i}", (x.shape[-1], width), x))
        return x, {
            path: _scaled_weight(self, "_".join(map(str, path)), (x.shape[-1], width), x)
            for path, width in self.outputs.items()
        }


def radial_weights(
    matrices: Mapping[Path, Array], hidden: Float[Array, "edges width"]
) -> dict[Path, Float[Array, "edges channels"]]:
    """The weights of every path: the last layer of a radial network."""
    return {path: hidden @ matrix for path, matrix in matrices.items()}


def gate_channels(channels: Channels) -> dict[Irrep, int]:
    """Channels that must enter ``gate`` for ``channels`` to leave it."""
    scalar = Irrep("0e")
    gates = sum(width for irrep, width in channels.items() if irrep.l > 0)
    return {**channels, scalar: channels.get(scalar, 0) + gates} if gates else dict(channels)


def gate(
    features: Mapping[Irrep, Array], gates: activations.Activation = jax.nn.silu
) -> dict[Irrep, Array]:
    """Activates scalars (silu on 0e, tanh on 0o), multiplies other channels by activated scalars.

    The gates are the last channels of 0e, in the order of the irreps. All activations have unit
    second moment.

    Args:
      features: ``{irrep: [nodes, 2l+1, channels]}``.
      gates: Activation of the gates.

    Raises:
      ValueError: There are fewer scalars than channels to multiply.
    """
    silu = activations.normalize_function(jax.nn.silu)
    tanh = activations.normalize_function(jnp.tanh)
    gated = {irrep: x for irrep, x in features.items() if irrep.l > 0}
    count = sum(x.shape[-1] for x in gated.values())
    received = features[Irrep("0e")].shape[-1] if Irrep("0e") in features else 0
    if received < max(count, 1):
        raise ValueError(
            f"expected at least {max(count, 1)} channels of 0e, a gate for each other channel, "
            f"received {received}"
        )
    width = received - count
    passing, multiplying = jnp.split(features[Irrep("0e")], [width], axis=-1)
    result = {Irrep("0e"): silu(passing)} if width else {}
    if Irrep("0o") in features:
        result[Irrep("0o")] = tanh(features[Irrep("0o")])
    factors, start = activations.normalize_function(gates)(multiplying), 0
    for irrep, x in gated.items():
        result[irrep] = x * factors[..., start : start + x.shape[-1]]
        start += x.shape[-1]
    return result


def add(*terms: Mapping[Irrep, Array]) -> dict[Irrep, Array]:
    """Adds features irrep by irrep; an irrep that a term lacks counts as zero there.

    Raises:
      ValueError: Terms of an irrep have different shapes.
    """
    irreps: Iterable[Irrep] = dict.fromkeys(irrep for term in terms for irrep in term)
    result = {}
    for irrep in irreps:
        present = [term[irrep] for term in terms if irrep in term]
        if len({x.shape for x in present}) > 1:
            shapes = [x.shape for x in present]
            raise ValueError(f"expected terms of {irrep} of one shape, received {shapes}")
        result[irrep] = sum(present[1:], present[0])
    return result


def _multiply_by_species(
    x: Float[Array, "nodes components channels_in"],
    weight: Float[Array, "species channels_in channels_out"],
    species: Int[Array, " nodes"],
) -> Float[Array, "nodes components channels_out"]:
    """Multiplies each node by the matrix of its species.

    With few species a product with every matrix and a choice is cheaper than a matrix per node.
    """
    num_species, channels_in, channels_out = weight.shape
    if num_species > _FEW_SPECIES:
        return jnp.einsum("nmi,nio->nmo", x, weight[species])
    wide = x @ weight.transpose(1, 0, 2).reshape(channels_in, num_species * channels_out)
    wide = wide.reshape(*x.shape[:-1], num_species, channels_out)
    chosen = (
        species[:, None, None, None]
        == jnp.arange(num_species, dtype=species.dtype)[None, None, :, None]
    )
    return jnp.sum(jnp.where(chosen, wide, 0), axis=-2)


def _weight(module: nn.Module, name: str, shape: tuple[int, ...], like: Array) -> Array:
    initializer: Callable[..., Array] = nn.initializers.normal(1.0)
    return module.param(name, initializer, shape, like.dtype)


def _scaled_weight(module: nn.Module, name: str, shape: tuple[int, ...], like: Array) -> Array:
    return _weight(module, name, shape, like) / shape[0] ** 0.5
