"""Settings of a model of mace-torch, read from its modules, whatever they were made with."""

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np

from equipot import errors
from equipot.convert import mace_constants, torch_modules
from equipot.convert import mace_layers as layers
from equipot.data import elements
from equipot.e3.arrays.irreps import Irrep
from equipot.e3.functions import radial_transforms
from equipot.models.mace.config import NONLINEAR, Config, Gate, Kind

_KINDS: dict[str, Kind] = {
    "RealAgnosticInteractionBlock": "agnostic",
    "RealAgnosticResidualInteractionBlock": "residual",
    "RealAgnosticDensityInteractionBlock": "density",
    "RealAgnosticDensityResidualInteractionBlock": "density_residual",
    "RealAgnosticResidualNonLinearInteractionBlock": NONLINEAR,
}
BIASED_READOUT = "NonLinearBiasReadoutBlock"
_READOUTS = "LinearReadoutBlock", "NonLinearReadoutBlock", BIASED_READOUT
_EXACT, _ROUNDED = 1e-12, 1e-6


def read_config(module: Any) -> Config:
    """The settings of our model that is the same function.

    Raises:
      ConversionError: If there is none.
    """
    _check_harmonics(module)
    blocks, embedding = list(module.interactions), module.radial_embedding
    kinds: list[Kind] = [_read_kind(block, i) for i, block in enumerate(blocks)]
    _check_envelope(embedding, kinds)
    hidden = [irrep for _, irrep in layers.irreps_of(blocks[-1].node_feats_irreps)]
    layers.expect(embedding, "RadialEmbeddingBlock", "mace", "radial_embedding")
    layers.expect(embedding.cutoff_fn, "PolynomialCutoff", "mace", "radial_embedding.cutoff_fn")
    cutoff = float(mace_constants.constant(module.r_max))
    width, gate = _read_readout(module)
    config = Config(
        cutoff=cutoff,
        num_layers=len(blocks),
        lmax=max(ir.l for _, ir in module.spherical_harmonics.irreps_out),
        message_lmax=max(irrep.l for irrep in hidden),
        num_channels=layers.irreps_of(blocks[0].node_feats_irreps)[0][0],
        parity=Irrep("0o") in hidden,
        correlation=_read_correlation(module),
        interaction=_same(kinds[1:] or kinds, "interactions: a kind after the first"),
        first_interaction=kinds[0],
        sent_channels=_read_sent(blocks),
        radial_basis=_read_basis(embedding.bessel_fn, cutoff),
        num_radial_basis=int(embedding.out_dim),
        distance_transform=_read_transform(embedding),
        polynomial_cutoff=int(embedding.cutoff_fn.p),
        radial_widths=_same([_read_widths(block) for block in blocks], "conv_tp_weights: widths"),
        readout_width=width,
        readout_biases=torch_modules.class_name(module.readouts[-1]) == BIASED_READOUT,
        gate=gate,
    )
    expected = config.irreps(config.message_lmax if len(blocks) > 1 else 0, config.parity)
    if set(hidden) != set(expected):
        raise errors.ConversionError(
            f"hidden_irreps: expected {' + '.join(map(str, expected))}, all of the same channels; "
            f"received {' + '.join(map(str, hidden))}"
        )
    return config


def read_average(module: Any) -> float:
    """Mean number of neighbors, by which sums are divided.

    Raises:
      ConversionError: If layers have different ones.
    """
    values = [float(block.avg_num_neighbors) for block in module.interactions]
    return _same(values, "avg_num_neighbors")


def head_index(module: Any, head: str | None) -> int:
    """Which of a model's heads has a name.

    Args:
      module: The model.
      head: The name; None where there is one head.

    Raises:
      ConfigError: If there is no such head, or several and none is named.
    """
    heads = _heads(module)
    if head is None and len(heads) == 1:
        return 0
    if head not in heads:
        received = "none" if head is None else f"'{head}'"
        raise errors.ConfigError(
            f"head: expected one of {', '.join(heads)}, received {received}."
            f"{errors.did_you_mean(head or '', heads)}"
        )
    return heads.index(head)


def _heads(module: Any) -> tuple[str, ...]:
    return tuple(getattr(module, "heads", None) or ("Default",))


def _check_harmonics(module: Any) -> None:
    if getattr(module, "use_so3", False):
        raise errors.ConversionError("use_so3: models without parity cannot be read")
    harmonics = module.spherical_harmonics
    layers.expect(harmonics, "SphericalHarmonics", "e3nn", "spherical_harmonics")
    if harmonics.normalization != "component" or not harmonics.normalize:
        raise errors.ConversionError(
            "spherical_harmonics: expected those of unit vectors in component normalisation, "
            f"received {harmonics.normalization}"
        )


def _check_envelope(embedding: Any, kinds: Sequence[Kind]) -> None:
    """The envelope is before radial networks without biases, and after those with biases."""
    is_before = getattr(embedding, "apply_cutoff", True)
    if not is_before and set(kinds) != {NONLINEAR}:
        raise errors.ConversionError(
            "apply_cutoff: radial networks without biases and without an envelope before them "
            "cannot be read"
        )
    if is_before and NONLINEAR in kinds:
        raise errors.ConversionError(
            "apply_cutoff: expected false with radial networks that have biases, received true: "
            "their messages do not vanish at the cutoff, where the energy jumps"
        )


def _read_kind(block: Any, layer: int) -> Kind:
    layers.expect(block, tuple(_KINDS), "mace", f"interactions.{layer}")
    return _KINDS[torch_modules.class_name(block)]


def _read_sent(blocks: Sequence[Any]) -> tuple[int, ...] | None:
    """Channels of what atoms send in each layer; None for those of the features everywhere."""
    widths, own = [], True
    for block in blocks:
        features = layers.irreps_of(block.node_feats_irreps)
        sent = layers.irreps_of(getattr(block, "edge_irreps", block.node_feats_irreps))
        if [irrep for _, irrep in sent] != [irrep for _, irrep in features] or (
            len({width for width, _ in sent}) > 1
        ):
            raise errors.ConversionError(
                "edge_irreps: expected the irreps of the features "
                f"({block.node_feats_irreps}), all of the same channels, received "
                f"{block.edge_irreps}"
            )
        widths.append(sent[0][0])
        own &= sent == features
    return None if own else tuple(widths)


def _read_widths(block: Any) -> tuple[int, ...]:
    network = block.conv_tp_weights
    if torch_modules.class_name(network) == "RadialMLP":
        layers.expect(network, "RadialMLP", "mace", "conv_tp_weights")
        return tuple(int(width) for width in network.hs[1:-1])
    layers.expect(network, "FullyConnectedNet", "e3nn", "conv_tp_weights")
    return tuple(int(width) for width in network.hs[1:-1])


def _read_correlation(module: Any) -> int | tuple[int, ...]:
    found = []
    for i, product in enumerate(module.products):
        place = f"products.{i}.symmetric_contractions"
        layers.expect(product.symmetric_contractions, "SymmetricContraction", "mace", place)
        orders = [int(c.correlation) for c in product.symmetric_contractions.contractions]
        found.append(_same(orders, f"{place}: a correlation"))
    return found[0] if len(set(found)) == 1 else tuple(found)


def _read_basis(basis: Any, cutoff: float) -> Any:
    """Name of the basis, whose centers or frequencies must be the usual ones."""
    place = "radial_embedding.bessel_fn"
    layers.expect(basis, ("BesselBasis", "GaussianBasis", "ChebychevBasis"), "mace", place)
    name = torch_modules.class_name(basis)
    if name == "ChebychevBasis":
        return "chebyshev"
    if name == "GaussianBasis":
        found = torch_modules.array(basis.gaussian_weights)
        _check_close(found, np.linspace(0.0, cutoff, len(found)), f"{place}: centers")
        return "gaussian"
    found = torch_modules.array(basis.bessel_weights)
    _check_close(found, np.pi / cutoff * np.arange(1, len(found) + 1), f"{place}: frequencies")
    return "bessel"


def _read_transform(embedding: Any) -> Any:
    if "distance_transform" not in torch_modules.children(embedding):
        return "none"
    transform, place = embedding.distance_transform, "radial_embedding.distance_transform"
    layers.expect(transform, ("AgnesiTransform", "SoftTransform"), "mace", place)
    radii = torch_modules.array(transform.covalent_radii)
    _check_close(radii[1:97], elements.COVALENT_RADII[1:97], f"{place}: covalent radii")
    if torch_modules.class_name(transform) == "SoftTransform":
        steepness = np.array(radial_transforms.SOFT_STEEPNESS)
        _check_close(torch_modules.array(transform.alpha), steepness, f"{place}: alpha")
        return "soft"
    for name, value in radial_transforms.AGNESI.items():
        found = torch_modules.array(getattr(transform, name))
        _check_close(found, np.array(value), f"{place}: {name}")
    return "agnesi"


def _check_close(found: np.ndarray, expected: np.ndarray, place: str) -> None:
    """Compares with constants; numbers that single precision can hold may have been rounded."""
    rounded = np.array_equal(found, found.astype(np.float32))
    if not np.allclose(found, expected, rtol=_ROUNDED if rounded else _EXACT, atol=0.0):
        raise errors.ConversionError(
            f"{place} were trained or chosen, {np.ravel(found)[:3].tolist()} …; equipot's model "
            f"has {np.ravel(expected)[:3].tolist()} …"
        )


def _read_readout(module: Any) -> tuple[int, Any]:
    """Width of the hidden layer of the last readout, 0 for none, and its activation."""
    heads = len(_heads(module))
    readouts = list(module.readouts)
    if not readouts:
        raise errors.ConversionError("readouts: expected at least one, the model has no energy")
    for i, readout in enumerate(readouts):
        allowed = _READOUTS if i == len(readouts) - 1 else _READOUTS[:1]
        layers.expect(readout, allowed, "mace", f"readouts.{i}")
    if torch_modules.class_name(readouts[-1]) == "LinearReadoutBlock":
        return 0, "silu"
    activation = readouts[-1].non_linearity.acts[0]
    gate = "none" if activation is None else layers.activation_name(activation)
    if gate not in get_args(Gate):
        raise errors.ConversionError(
            f"readouts: expected the activation {' or '.join(get_args(Gate))}, received {gate}"
        )
    return layers.irreps_of(readouts[-1].hidden_irreps)[0][0] // heads, gate


def _same(values: list, place: str) -> Any:
    if any(value != values[0] for value in values):
        raise errors.ConversionError(
            f"{place}: expected the same everywhere, received {', '.join(map(str, values))}"
        )
    return values[0]
