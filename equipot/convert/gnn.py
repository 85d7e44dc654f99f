"""The message-passing model of nequip 0.19, read into ``equipot.models.nequip``.

Both are the same function with other constants, layer by layer (``gnn_layers``). The radial basis
differs by a factor; where theirs has fewer channels or irreps than ours must have, ours are zero.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from equipot import errors
from equipot.convert import gnn_layers, parameters, torch_modules
from equipot.convert import nequip_layers as layers
from equipot.convert.nequip import Body, ReadBody, whole
from equipot.e3.arrays.irreps import Irrep
from equipot.models import nequip as model
from equipot.typing import PyTree

_INPUTS = "type_embed", "spharm", "bessel_encode", "factor"
_READOUT = "per_atom_energy_readout"


def read(body: Body) -> ReadBody:
    """Reads the body of a GNN.

    Raises:
      ConversionError: If it holds anything that cannot be read exactly.
    """
    blocks = {name: module for name, module in body.modules.items() if name.startswith("layer")}
    known = (*_INPUTS, *blocks, _READOUT)
    if set(body.modules) != set(known):
        raise errors.ConversionError(
            f"expected a GNN of the modules {', '.join(known)} and no others, found "
            f"{', '.join(body.modules)}"
        )
    found = [gnn_layers.read_layer(block, name) for name, block in blocks.items()]
    norms = [layers.read_norm(layer.norm, body.types, layer.place) for layer in found]
    if any(not np.array_equal(norm, norms[0]) for norm in norms):
        raise errors.ConversionError(
            "avg_num_neighbors: expected the same for every layer, received "
            + ", ".join(str(norm.tolist()) for norm in norms)
        )
    by_species = len(norms[0]) > 1
    config = _read_config(body, found, by_species)
    average = 1.0 if by_species else float(norms[0][0] ** -2)
    params = parameters.zeros(model.Model, config, len(body.types), average)
    _fill(params, config, body, found, norms[0])
    return ReadBody(model_name="nequip", config=config, params=params, avg_num_neighbors=average)


def _read_config(body: Body, found: Sequence[gnn_layers.Layer], species_norm: bool) -> model.Config:
    """The smallest of our models that has all that theirs has."""
    bessel, basis_roots = body.modules["bessel_encode"], _bessel_roots(body)
    readout = layers.read_perceptron(body.modules[_READOUT].mlp_module, _READOUT)
    layers.expect_silu(readout, _READOUT)
    radial = {layer.radial.widths for layer in found}
    if len(radial) > 1:
        raise errors.ConversionError(
            "radial_mlp: expected the same widths in every layer, received "
            + ", ".join(map(str, sorted(radial)))
        )
    irreps = [item for layer in found for item in layer.irreps_out.items()]
    lmax = max(*(irrep.l for irrep, _ in irreps), *_harmonics(body.modules["spharm"]))
    widths = tuple(
        max([width for irrep, width in irreps if irrep.l == l], default=1) for l in range(lmax + 1)
    )
    embedding = _embedding(body).shape[1]
    return model.Config(
        cutoff=body.cutoff,
        num_layers=len(found),
        lmax=lmax,
        num_channels=widths[0] if len(set(widths)) == 1 else widths,
        parity=any(irrep.p != (-1) ** irrep.l for irrep, _ in irreps),
        num_radial_basis=len(basis_roots),
        polynomial_cutoff=whole(bessel.cutoff.p, "bessel_encode.cutoff.p"),
        radial_widths=radial.pop(),
        readout_widths=readout.widths,
        embedding_channels=None if embedding == widths[0] else embedding,
        trainable_bessel=bool(
            bessel.trainable or np.any(basis_roots != np.arange(1, len(basis_roots) + 1))
        ),
        species_norm=species_norm,
    )


def _fill(
    params: PyTree,
    config: model.Config,
    body: Body,
    found: Sequence[gnn_layers.Layer],
    norm: np.ndarray,
) -> None:
    """Writes all that theirs has over zeros."""
    embedding = _embedding(body)
    params["embedding"][...] = embedding
    if config.trainable_bessel:
        params["bessel_roots"][...] = _bessel_roots(body)
    scale: Mapping[Irrep, float] = {gnn_layers.SCALAR: 1.0}
    basis = _basis_ratio(body)
    for i, layer in enumerate(found):
        target = params[f"interaction_{i}"]
        if config.species_norm:
            target["species_norm"][...] = norm
        gnn_layers.fill(target, layer, embedding, scale, basis, tuple(config.irreps))
        scale = layer.scale_out
    readout = layers.read_perceptron(body.modules[_READOUT].mlp_module, _READOUT)
    _fill_readout(params, readout, scale[gnn_layers.SCALAR])


def _fill_readout(params: PyTree, readout: layers.Perceptron, scale: float) -> None:
    """Plain silu in theirs, normalised in ours: the difference goes into the matrix after it."""
    names = [*(f"readout_{i}" for i in range(len(readout.widths))), "readout"]
    for name, matrix in zip(names, readout.matrices, strict=True):
        target = params[name]["0e"]
        rows = matrix.shape[0]
        target[:rows] = matrix * scale * math.sqrt(len(target))
        scale = 1.0 / parameters.silu_constant()


def _embedding(body: Body) -> np.ndarray:
    """The numbers that stand for our species, [species, channels]."""
    module = body.modules["type_embed"]
    torch_modules.expect_class(module, "NodeTypeEmbed", "type_embed")
    if module.do_categorical_graph_field_embed:
        raise errors.ConversionError(
            "type_embed: embeddings of whole structures (categorical_graph_field_embed) cannot be"
            " read"
        )
    return torch_modules.array(module.embed_module.weight)[body.types]


def _harmonics(module: Any) -> list[int]:
    """Degrees of the spherical harmonics."""
    torch_modules.expect_class(module, "SphericalHarmonicEdgeAttrs", "spharm")
    irreps = layers.read_irreps(module.irreps_edge_sh, "spharm")
    plain = all(mul == 1 and irrep.p == (-1) ** irrep.l for irrep, mul in irreps.items())
    if not (plain and module.sh.normalize and module.sh.normalization == "component"):
        raise errors.ConversionError(
            "spharm: expected spherical harmonics of unit vectors in component normalisation,"
            f" received {module.irreps_edge_sh}, {module.sh.normalization}"
        )
    return [irrep.l for irrep in irreps]


def _bessel_roots(body: Body) -> np.ndarray:
    module = body.modules["bessel_encode"]
    torch_modules.expect_class(module, "BesselEdgeLengthEncoding", "bessel_encode")
    torch_modules.expect_class(module.cutoff, "PolynomialCutoff", "bessel_encode.cutoff")
    return torch_modules.array(module.bessel_weights).reshape(-1)


def _basis_ratio(body: Body) -> float:
    """Theirs over ours: f sin(πρx)/(πx) over √(2/c) sin(πρr/c)/r, with x = r/c."""
    module, cutoff = body.modules["factor"], body.cutoff
    torch_modules.expect_class(module, "ApplyFactor", "factor")
    return float(module.factor) * cutoff / math.pi / math.sqrt(2.0 / cutoff)
