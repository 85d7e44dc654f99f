"""Models of mace-torch: MACE and ScaleShiftMACE, one of their heads.

    E_i = E0[s, head] + scale[head] (readouts of all layers + repulsion)_i + shift[head]

Nothing is anchored: an atom without neighbours keeps the energy that the model gives it. Whatever
is not recognised is refused. ``mace_layers`` reads the layers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from equipot import errors
from equipot.convert import mace_layers as layers
from equipot.convert import torch_modules
from equipot.convert.mace_layers import SCALAR
from equipot.e3 import radial_transforms
from equipot.e3.irreps import Irrep
from equipot.models.mace import Config, Kind
from equipot.potential.potential import Potential, PotentialSpec
from equipot.potential.repulsion import ZBL
from equipot.typing import PyTree

_PARTS = (
    "node_embedding",
    "radial_embedding",
    "spherical_harmonics",
    "atomic_energies_fn",
    "interactions",
    "products",
    "readouts",
    "scale_shift",
    "pair_repulsion_fn",
)
_KINDS: dict[str, Kind] = {
    "RealAgnosticInteractionBlock": "agnostic",
    "RealAgnosticResidualInteractionBlock": "residual",
    "RealAgnosticDensityInteractionBlock": "density",
    "RealAgnosticDensityResidualInteractionBlock": "density_residual",
}
_BASES = {
    "BesselBasis": "bessel",
    "GaussianBasis": "gaussian",
    "ChebychevBasis": "chebyshev",
}
_DECAYS = (3.2, 0.9423, 0.4028, 0.2016)
_COULOMB, _BOHR = 14.3996, 0.529


def convert(module: Any, head: str | None = None) -> Potential:
    """Reads a model of mace-torch: a potential with the same energies, in the model's precision.

    Args:
      module: A ``MACE`` or ``ScaleShiftMACE``.
      head: Which of its heads; needed where there are several.

    Raises:
      ConversionError: If it holds anything that cannot be read exactly.
      ConfigError: If there is no such head, or several and none is named.
    """
    layers.expect(module, ("MACE", "ScaleShiftMACE"), "mace", "model")
    _check_parts(module)
    index = _head_index(module, head)
    numbers = torch_modules.array(module.atomic_numbers).tolist()
    species = np.argsort(numbers)
    config = _read_config(module)
    average = float(module.interactions[0].avg_num_neighbors)
    scale, shift = _read_scale_shift(module, index)
    spec = PotentialSpec(
        model_name="mace",
        model_config=config,
        species_table=tuple(sorted(numbers)),
        atomic_energies=tuple(_read_energies(module, index)[species].tolist()),
        avg_num_neighbors=average,
        dtype=torch_modules.dtype_of(module),
        anchor_isolated=False,
        repulsion=_read_repulsion(module, sorted(numbers), config.cutoff, scale),
    )
    params = {
        "model": _read_params(module, config, species, average, index),
        "scale": np.full(len(numbers), scale),
        "shift": np.full(len(numbers), shift),
    }
    return Potential(spec=spec, params=_cast(params, spec.dtype))


def heads_of(module: Any) -> tuple[str, ...]:
    """Names of a model's heads."""
    return tuple(getattr(module, "heads", None) or ("Default",))


def _check_parts(module: Any) -> None:
    unknown = set(torch_modules.children(module)) - set(_PARTS)
    if unknown:
        raise errors.ConversionError(
            f"expected a MACE of {', '.join(_PARTS)}, found also {', '.join(sorted(unknown))}, "
            "which equipot cannot read"
        )
    if getattr(module, "use_so3", False):
        raise errors.ConversionError("use_so3: models without parity cannot be read")
    if not getattr(module, "apply_cutoff", True):
        raise errors.ConversionError(
            "apply_cutoff=False: radial networks without an envelope before them cannot be read"
        )
    harmonics = module.spherical_harmonics
    layers.expect(harmonics, "SphericalHarmonics", "e3nn", "spherical_harmonics")
    if harmonics.normalization != "component" or not harmonics.normalize:
        raise errors.ConversionError(
            "spherical_harmonics: expected those of unit vectors in component normalisation, "
            f"received {harmonics.normalization}"
        )


def _head_index(module: Any, head: str | None) -> int:
    heads = heads_of(module)
    if head is None and len(heads) == 1:
        return 0
    if head not in heads:
        received = "none" if head is None else f"'{head}'"
        raise errors.ConfigError(
            f"head: expected one of {', '.join(heads)}, received {received}."
            f"{errors.did_you_mean(head or '', heads)}"
        )
    return heads.index(head)


def _read_config(module: Any) -> Config:
    embedding, blocks = module.radial_embedding, list(module.interactions)
    kinds = [_read_kind(block, i) for i, block in enumerate(blocks)]
    if len(set(kinds[1:])) > 1:
        raise errors.ConversionError(
            f"interactions: expected one kind after the first layer, received {', '.join(kinds)}"
        )
    cutoff = _decimal(module.r_max)
    hidden = layers.irreps_of(blocks[1].node_feats_irreps if len(blocks) > 1 else ())
    widths = {int(layer.h_in) for layer in _network(blocks[0])[:1]}
    width, gate = _read_readout(module)
    del widths
    return Config(
        cutoff=cutoff,
        num_layers=len(blocks),
        lmax=max(ir.l for _, ir in module.spherical_harmonics.irreps_out),
        message_lmax=max([irrep.l for _, irrep in hidden], default=0),
        num_channels=layers.irreps_of(blocks[0].node_feats_irreps)[0][0],
        parity=Irrep("0o") in {irrep for _, irrep in hidden},
        correlation=_read_correlation(module),
        interaction=kinds[-1],
        first_interaction=kinds[0],
        radial_basis=_read_basis(embedding, cutoff),
        num_radial_basis=int(embedding.out_dim),
        distance_transform=_read_transform(embedding),
        polynomial_cutoff=int(embedding.cutoff_fn.p),
        radial_widths=tuple(int(layer.h_in) for layer in _network(blocks[0])[1:]),
        readout_width=width,
        gate=gate,
    )
