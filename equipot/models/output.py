"""What a model returns for each atom, and the readouts of the quantities requested from it.

A model ends with ``finish(self, energy, features)``: it brings the output into
the form that all models share, and adds a readout of the features for each quantity of the
``ModelContext``.
"""

from collections.abc import Mapping
from typing import Any, no_type_check

import jax.numpy as jnp
from flax import linen as nn
from flax import struct

from equipot import errors
from equipot.e3.arrays.irreps import Irrep, Irreps
from equipot.e3.nn import channels
from equipot.models.context import ModelContext
from equipot.typing import Array, Float

SCALAR = Irrep("0e")
PREFIX = "output_"
"""How the names of the parameters of a readout begin."""


@no_type_check
@struct.dataclass
class Output:
    """What a model predicts for each atom.

    Attributes:
      energies: Interaction energies in units of the potential's scale.
      others: By name, for each of the context's ``outputs`` the components of its irreps, one after
        another in the order of ``equipot.e3``.
      features: By irrep, what energies and others are read from; empty for a model that has none.
    """

    energies: Float[Array, "nodes heads"]
    others: dict[str, Float[Array, "nodes components"]]
    features: dict[Irrep, Float[Array, "nodes 2l+1 channels"]]


class Readout(nn.Module):
    """From features to the components of irreps: linear, gate, linear; zero at first.

    Attributes:
      irreps: What to make, of any multiplicity.
    """

    irreps: str

    @nn.compact
    def __call__(self, features: Mapping[Irrep, Array]) -> Float[Array, "nodes components"]:
        """Maps ``{irrep: [nodes, 2l+1, channels]}``, with 0e among them, to ``irreps``."""
        parts = Irreps(self.irreps)
        used = dict.fromkeys([SCALAR, *(part.ir for part in parts)])
        widths = {irrep: features[irrep].shape[-1] for irrep in used}
        mixer = channels.Linear(channels.gate_channels(widths), name="hidden")
        hidden = channels.gate(mixer(features))
        found = []
        for i, part in enumerate(parts):
            x, shape = hidden[part.ir], (widths[part.ir], part.mul)
            weight = self.param(f"{i}_{part.ir}", nn.initializers.zeros, shape, x.dtype)
            y = x @ (weight / shape[0] ** 0.5)
            found.append(jnp.swapaxes(y, 1, 2).reshape(len(y), part.dim))
        return jnp.concatenate(found, axis=1)


def irreps_of(context: ModelContext) -> frozenset[Irrep]:
    """The irreps requested from a model in addition to its energies."""
    return frozenset(part.ir for _, irreps in context.outputs for part in Irreps(irreps))


def finish(
    module: nn.Module,
    energy: Float[Array, "nodes ..."],
    features: Mapping[Irrep, Array],
    others: Mapping[str, Array] | None = None,
) -> Output:
    """What a model returns, from inside its ``__call__``.

    Args:
      module: The model, with the fields ``config`` and ``context``.
      energy: [nodes], or [nodes, heads] with several heads.
      features: By irrep, [nodes, 2l+1, channels], 0e among them; the quantities are read
        from these. Empty for a model without features.
      others: The quantities themselves, by name, where the model has made them.

    Raises:
      ConfigError: If a quantity has an irrep that the features lack.
    """
    context: ModelContext = module.context  # type: ignore[attr-defined]
    found = dict(others or {})
    for name, irreps in context.outputs:
        if name not in found:
            check_irreps(module, name, irreps, features)
            found[name] = Readout(irreps, name=f"{PREFIX}{name}")(features)
    energies = jnp.reshape(energy, (len(energy), context.num_heads))
    return Output(energies=energies, others=found, features=dict(features))


def check_irreps(module: nn.Module, name: str, irreps: str, known: Mapping[Irrep, Any]) -> None:
    """Refuses a quantity with an irrep that the features of the model lack.

    Args:
      module: The model, with the field ``config``.
      name: Name of the quantity.
      irreps: Its irreps.
      known: The irreps that there are.

    Raises:
      ConfigError: With what to set.
    """
    missing = [part.ir for part in Irreps(irreps) if part.ir not in known or SCALAR not in known]
    if missing:
        model = type(module).__module__.removesuffix(".model").rpartition(".")[2]
        raise errors.ConfigError(
            f"data.quantities.{name}: has the irreps {irreps}, but of {missing[0]} the model"
            f" {model} has no features (of {', '.join(map(str, known)) or 'none'} only);"
            f" {_advice(module.config, missing[0])}"  # type: ignore[attr-defined]
        )


def _advice(config: Any, irrep: Irrep) -> str:
    """What to set, from the settings that models have by custom."""
    if getattr(config, "symmetry", "o3") == "so3":
        return "model.symmetry=so3 knows no parity: leave it out"
    if getattr(config, "lmax", irrep.l) < irrep.l:
        return f"set model.lmax to at least {irrep.l}"
    if irrep.p != (-1) ** irrep.l:
        return (
            "such have nequip and mace with model.parity=true and enough layers"
            " (model.num_layers: two for 1e, three for 0o)"
        )
    return "choose a model with tensor features, such as nequip or mace"
