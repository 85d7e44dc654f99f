"""The body of nequip-allegro 0.8, read into ``equipot.models.allegro``.

Both are the same function. Theirs makes the tensors of every pair, layer by layer; ours pulls the
scalars back to the first tensors, with the same weights. What differs are constants, and all of
them go into weights: nequip's perceptrons have plain activations and gains where ours are
normalised, its couplings are e3nn's Wigner symbols (compared one by one), and its sum of the
energies of pairs has a factor 1/√2. Vectors point from center to neighbor there, the other way
here: an energy made of tensors of O(3) does not change when all vectors are inverted.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from equipot import errors
from equipot.convert import allegro_products, torch_modules
from equipot.convert import nequip_layers as layers
from equipot.convert.nequip import Body, ReadBody, whole
from equipot.e3.arrays.irreps import Irrep
from equipot.e3.functions import activations
from equipot.models import allegro as model

_MODULES = (
    "radial_chemical_embed",
    "scalar_embed_mlp",
    "tensor_embed",
    "allegro",
    "edge_readout",
    "edge_eng_sum",
)
_ACTIVATIONS = {name: name for name in activations.VANISHING_AT_ZERO} | {"shiftedsoftplus": "ssp"}
_ENERGY_FACTOR = 2.0**-0.5  # written in the code of EdgewiseReduce

Params = dict[str, np.ndarray]


def read(body: Body) -> ReadBody:
    """Reads the body of an Allegro model.

    Raises:
      ConversionError: If it holds anything that cannot be read exactly.
    """
    if unknown := set(body.modules) ^ set(_MODULES):
        raise errors.ConversionError(
            f"expected the modules {', '.join(_MODULES)} of Allegro and no others; found also, or"
            f" did not find, {', '.join(sorted(unknown))}"
        )
    modules = body.modules
    allegro = modules["allegro"]
    torch_modules.expect_class(allegro, "Allegro_Module", "allegro")
    norm, (lmax, parity) = _norm(body), _irreps(modules["tensor_embed"], allegro)
    settings, params = _two_body(body)
    embedding = _perceptron(modules["scalar_embed_mlp"].mlp_module, "scalar_embed_mlp")
    readout = _perceptron(modules["edge_readout"].mlp_module, "edge_readout")
    latents = _latents(allegro)
    settings |= {
        "embedding_activation": embedding.activation,
        "latent_activation": latents[0].activation,
        "readout_activation": readout.activation,
    }
    config = model.Config(
        cutoff=body.cutoff,
        num_layers=len(latents),
        lmax=lmax,
        num_scalars=int(allegro.num_scalar_features),
        num_channels=int(allegro.num_tensor_features),
        parity=parity,
        embedding_widths=embedding.widths,
        latent_widths=latents[0].widths,
        readout_widths=readout.widths,
        species_norm=len(norm) > 1,
        **settings,
    )
    params |= _chain(embedding, "embedding", f"embedding_{len(embedding.widths)}")
    params |= _first_maps(modules, config)
    for n, (latent, product) in enumerate(zip(latents, allegro.tps, strict=True), start=1):
        layer, place = config.layers[n - 1], f"allegro.tps.{n - 1}"
        params[f"products_{n}"] = allegro_products.read_products(product, layer, place)
        chain = _chain(latent, f"latent_{n}", "last")
        params |= _split(chain.pop("last"), config, n) | chain
    chain = _chain(readout, "readout", "energy")
    params |= chain | {"energy": chain["energy"] * _ENERGY_FACTOR}
    params |= {"species_norm": norm} if config.species_norm else {}
    average = 1.0 if config.species_norm else float(norm[0] ** -2)
    return ReadBody(model_name="allegro", config=config, params=params, avg_num_neighbors=average)


def _two_body(body: Body) -> tuple[dict[str, Any], Params]:
    """Settings and parameters of the embedding of distance and species."""
    module = body.modules["radial_chemical_embed"]
    if torch_modules.class_name(module) == "TwoBodySplineScalarEmbed":
        return _splines(module, body.types)
    torch_modules.expect_class(module, "SequentialGraphNetwork", "radial_chemical_embed")
    parts = torch_modules.children(module)
    if set(parts) != {"bessel_encode", "type_embed"}:
        raise errors.ConversionError(
            "radial_chemical_embed: expected TwoBodyBesselScalarEmbed or TwoBodySplineScalarEmbed,"
            f" received a chain of {', '.join(parts)}"
        )
    bessel, types = parts["bessel_encode"], parts["type_embed"]
    torch_modules.expect_class(bessel, "BesselEdgeLengthEncoding", "bessel_encode")
    torch_modules.expect_class(bessel.cutoff, "PolynomialCutoff", "bessel_encode.cutoff")
    torch_modules.expect_class(types, "ProductTypeEmbedding", "type_embed")
    roots = torch_modules.array(bessel.bessel_weights).reshape(-1)
    trained = bool(bessel.trainable or np.any(roots != np.arange(1, len(roots) + 1)))
    (linear,) = layers.read_perceptron(types.basis_linear, "type_embed.basis_linear").matrices
    # Theirs is sin(ρπx)/(πx), ours √(2/c) sin(ρπr/c)/r, with x = r/c.
    ratio = body.cutoff / (math.pi * math.sqrt(2.0 / body.cutoff))
    params = {
        "radial": linear * ratio * math.sqrt(len(linear)),
        "centre": torch_modules.array(types.center_embed.weight)[body.types],
        "neighbor": torch_modules.array(types.neighbor_embed.weight)[body.types],
    }
    settings = {
        "num_radial_basis": len(roots),
        "polynomial_cutoff": whole(bessel.cutoff.p, "bessel_encode.cutoff.p"),
        "trainable_bessel": trained,
        "embedding_dim": linear.shape[1],
    }
    return settings, params | ({"bessel_roots": roots} if trained else {})


def _splines(module: Any, types: np.ndarray) -> tuple[dict[str, Any], Params]:
    """The same of splines, which have a row of weights for every ordered pair of types."""
    spline, count = module.spline, len(types)
    torch_modules.expect_class(spline, "PerClassSpline", "radial_chemical_embed.spline")
    table = torch_modules.array(spline.class_embed.weight)
    table = table.reshape(count, count, spline.num_channels, spline.num_splines)
    table = table[types][:, types].transpose(0, 1, 3, 2)
    settings = {
        "radial_basis": "spline",
        "num_radial_basis": int(spline.num_splines),
        "spline_span": int(spline.spline_span),
        "embedding_dim": int(spline.num_channels),
    }
    return settings, {"splines": table * math.sqrt(max(spline.spline_span, 1))}


def _irreps(tensor_embed: Any, allegro: Any) -> tuple[int, bool]:
    """Highest degree, and whether tensors of both parities are kept."""
    torch_modules.expect_class(tensor_embed, "TwoBodySphericalHarmonicTensorEmbed", "tensor_embed")
    harmonics = tensor_embed.sh
    found = layers.read_irreps(harmonics.irreps_out, "tensor_embed.sh")
    natural = {Irrep(l, (-1) ** l): 1 for l in range(len(found))}
    if not (
        list(found.items()) == list(natural.items())
        and harmonics.normalize
        and harmonics.normalization == "component"
    ):
        raise errors.ConversionError(
            "tensor_embed: expected spherical harmonics 0e + 1o + 2e … of unit vectors in component"
            f" normalisation, received {harmonics.irreps_out}, {harmonics.normalization}"
        )
    allowed = set(layers.read_irreps(allegro.tensor_track_allowed_irreps, "allegro"))
    both = {Irrep(l, p) for l in range(len(found)) for p in (1, -1)}
    if allowed not in (set(natural), both):
        raise errors.ConversionError(
            f"allegro: expected tensors of {', '.join(map(str, natural))}, or of both parities of"
            f" each degree, received {', '.join(map(str, sorted(allowed)))}"
        )
    return len(found) - 1, allowed == both


def _norm(body: Body) -> np.ndarray:
    """What sums over neighbors are multiplied with, the same in layers and for energies."""
    module = body.modules["edge_eng_sum"]
    torch_modules.expect_class(module, "EdgewiseReduce", "edge_eng_sum")
    if module.reduce != "sum":
        raise errors.ConversionError(f"edge_eng_sum: expected a sum, received {module.reduce}")
    own = layers.read_norm(module.norm_module, body.types, "edge_eng_sum")
    of_layers = body.modules["allegro"].avg_num_neighbors_norm
    others = layers.read_norm(of_layers, body.types, "allegro.avg_num_neighbors_norm")
    if not np.array_equal(own, others):
        raise errors.ConversionError(
            "avg_num_neighbors: expected the same in layers and for the energies of pairs,"
            f" received {others.tolist()} and {own.tolist()}"
        )
    return own


def _latents(module: Any) -> list[layers.Perceptron]:
    """The perceptrons of the layers, which must be alike."""
    found = [_perceptron(latent, f"allegro.latents.{n}") for n, latent in enumerate(module.latents)]
    kinds = {(latent.widths, latent.activation) for latent in found}
    if len(kinds) > 1:
        raise errors.ConversionError(
            "allegro.latents: expected the same widths and activation in every layer, received "
            + ", ".join(map(str, sorted(kinds)))
        )
    return found


def _perceptron(module: Any, place: str) -> layers.Perceptron:
    """A perceptron, with the name that we have for its activation."""
    found = layers.read_perceptron(module, place)
    if found.activation == "identity":
        return layers.Perceptron(matrices=(functools.reduce(np.matmul, found.matrices),))
    if found.activation not in _ACTIVATIONS:
        raise errors.ConversionError(
            f"{place}: expected an activation of {', '.join(_ACTIVATIONS)}, received"
            f" {found.activation}, which is not zero at zero: energies would jump at the cutoff"
        )
    return dataclasses.replace(found, activation=_ACTIVATIONS[found.activation])


def _chain(perceptron: layers.Perceptron, name: str, last: str) -> Params:
    """Matrices for a normalised activation, whose constant the next matrix undoes."""
    moment = activations.second_moment(activations.VANISHING_AT_ZERO[perceptron.activation])
    constants = [1.0, *[math.sqrt(moment)] * len(perceptron.widths)]
    names = [*(f"{name}_{n}" for n in range(len(perceptron.widths))), last]
    return {
        key: matrix * constant * math.sqrt(len(matrix))
        for key, matrix, constant in zip(names, perceptron.matrices, constants, strict=True)
    }


def _first_maps(modules: Mapping[str, Any], config: model.Config) -> Params:
    """From the embedded pair to its tensors, its first scalars and the first environment."""
    tensors, projection = (
        layers.read_perceptron(module, place).matrices[0]
        for module, place in (
            (modules["tensor_embed"].env_embed_linear, "tensor_embed.env_embed_linear"),
            (modules["allegro"].first_layer_env_embed_projection, "allegro.projection"),
        )
    )
    root = math.sqrt(config.num_scalars)
    return {"tensors": _by_degree(tensors * root, config), **_split(projection * root, config, 0)}


def _split(matrix: np.ndarray, config: model.Config, n: int) -> Params:
    """Scalars come first, then the weights of the next environment, if there is one."""
    scalars, weights = np.split(matrix, [config.num_scalars], axis=1)
    params = {f"scalars_{n}": scalars}
    if n < config.num_layers:
        params[f"environment_{n}"] = _by_degree(weights, config)
    return params


def _by_degree(matrix: np.ndarray, config: model.Config) -> np.ndarray:
    """From columns (channel, degree), or one for all degrees, to [degrees, rows, channels]."""
    columns = matrix.reshape(len(matrix), config.num_channels, -1)
    shape = len(matrix), config.num_channels, config.lmax + 1
    return np.broadcast_to(columns, shape).transpose(2, 0, 1).copy()
