"""What a pair computes: its hidden layers from the matrices of the model, and what it adds.

It is evaluated in blocks of pairs by ``edge_sum``, and again for derivatives.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from equipot.e3.functions import activations
from equipot.e3.kernels.convolution import spread
from equipot.models.allegro import composed, harmonic_readout, pair_embedding
from equipot.models.allegro.config import Config
from equipot.typing import Array, Float


@dataclasses.dataclass(frozen=True)
class Message:
    """What a pair adds to its center: weighted harmonics, or, after the last layer, its energy.

    Attributes:
      config: Settings.
      layer: Number of layers whose environments are known.
      outputs: Names and irreps of the quantities requested in addition to the energy.
    """

    config: Config
    layer: int
    outputs: tuple[tuple[str, str], ...] = ()

    def __call__(
        self, params: Any, operators: Sequence[Sequence[Array]], pairs: Mapping[str, Any]
    ) -> list[Array]:
        """Returns each component of each degree, [pairs, channels], or energy and quantities.

        Args:
          params: What ``used`` gives.
          operators: For each of the layers the components of its scalar operator at the center.
          pairs: Functions of the vector of each pair, and the number of both its species.
        """
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


def used(network: Mapping[str, Any], layer: int) -> dict[str, Any]:
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


def _activation(name: str) -> Any:
    return activations.normalize_function(activations.VANISHING_AT_ZERO[name])
