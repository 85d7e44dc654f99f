"""With nequip's weights our NequIP says what nequip says."""

from typing import Any

import pytest

from equipot import errors
from equipot.convert import nequip
from tests.convert import nequip_models

pytest.importorskip("nequip")
pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]

GNN, FULL = "nequip.model.NequIPGNNModel", "nequip.model.FullNequIPGNNModel"
ZBL = {"_target_": "nequip.nn.pair_potential.ZBL", "units": "metal"}
UNEVEN = {
    "irreps_edge_sh": "1x0e + 1x1o + 1x2e",
    "type_embed_num_features": 4,
    "feature_irreps_hidden": ["3x0e + 2x1o", "4x0e + 2x0o + 3x1o + 1x1e + 2x2e", "5x0e"],
    "radial_mlp_depth": [1, 1, 1],
    "radial_mlp_width": [8, 8, 8],
}
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "scalars": (GNN, "water", {"l_max": 0, "num_layers": 1, "num_features": 6}),
    "no parity": (GNN, "water", {"l_max": 1, "num_layers": 2, "parity": False}),
    "parity": (GNN, "water", {"l_max": 1, "num_layers": 3, "parity": True}),
    "features per l": (
        GNN,
        "alloy",
        {"l_max": 2, "num_features": [6, 4, 2], "parity": False, "per_type": True},
    ),
    "self images": (GNN, "silicon", {"l_max": 2, "parity": True, "radial_mlp_depth": 2}),
    "octupoles": (GNN, "water", {"l_max": 3, "parity": False, "num_features": [4, 3, 2, 2]}),
    "octupoles with parity": (GNN, "silicon", {"l_max": 3, "num_features": [4, 3, 2, 2]}),
    "four layers": (GNN, "alloy", {"l_max": 1, "num_layers": 4, "num_features": 3}),
    "deep readout": (
        GNN,
        "water",
        {"readout_mlp_hidden_layers_depth": 2, "readout_mlp_hidden_layers_width": 7},
    ),
    "linear readout in three": (
        GNN,
        "water",
        {"readout_mlp_hidden_layers_depth": 2, "readout_mlp_nonlinearity": None},
    ),
    "trained frequencies": (
        GNN,
        "silicon",
        {"bessel_trainable": True, "num_bessels": 5, "polynomial_cutoff_p": 4},
    ),
    "few numbers per type": (GNN, "alloy", {"type_embed_num_features": 2, "num_features": 6}),
    "many numbers per type": (GNN, "alloy", {"type_embed_num_features": 9, "l_max": 2}),
    "repulsion": (GNN, "water", {"pair_potential": {**ZBL, "chemical_species": ["O", "H"]}}),
    "neighbors per type": (GNN, "water", {"avg_num_neighbors": {"O": 6.0, "H": 11.0}}),
    "linear radial network": (GNN, "silicon", {"radial_mlp_depth": 0}),
    "trained scales": (
        GNN,
        "alloy",
        {
            "per_type": True,
            "per_type_energy_scales_trainable": True,
            "per_type_energy_shifts_trainable": True,
        },
    ),
    "uneven layers": (FULL, "water", UNEVEN),
    "self-connection at once": (FULL, "water", {**UNEVEN, "learnable_shift": True}),
    "no self-connection": (
        FULL,
        "alloy",
        {**UNEVEN, "convnet_sc": False, "per_type_energy_scales": 50.0},
    ),
}
SMALL = {"num_layers": 2, "num_features": 4, "radial_mlp_width": 8}


def _build(name: str, **more: Any) -> tuple[Any, str]:
    builder, system, settings = CASES[name]
    small = SMALL if builder == GNN else {}
    return nequip_models.build(builder, system, **(small | settings | more)), system


@pytest.mark.parametrize("name", CASES)
def test_energies_forces_and_stresses_agree(name: str):
    found, _ = nequip_models.differences(*_build(name))
    assert found.energy < 1e-8, found
    assert found.forces < 1e-7, found
    assert found.stress < 1e-8, found


def test_a_model_in_float32_agrees_to_its_rounding():
    found, largest = nequip_models.differences(*_build("repulsion", model_dtype="float32"))
    assert found.energy < 1e-5, found
    assert found.forces < 1e-5 * largest, found


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "cutoffs per pair": (GNN, {"per_edge_type_cutoff": {"H": 2.0}}, "per_edge_type_cutoff"),
    "other readout": (
        GNN,
        {"readout_mlp_hidden_layers_depth": 1, "readout_mlp_nonlinearity": "mish"},
        "expected the activation silu, received mish",
    ),
    "norms": (FULL, {**UNEVEN, "convnet_nonlinearity_type": "norm"}, "received.*NormActivation"),
    "residuals": (
        FULL,
        {**UNEVEN, "feature_irreps_hidden": ["4x0e"] * 3, "convnet_resnet": True},
        "convnet_resnet",
    ),
    "Lennard-Jones": (
        GNN,
        {
            "pair_potential": {
                "_target_": "nequip.nn.pair_potential.LennardJones",
                "lj_sigma": 1.0,
                "lj_epsilon": 0.1,
            }
        },
        "pair_potential: expected ZBL, received nequip.nn.pair_potential.LennardJones",
    ),
    "charges": (
        GNN,
        {
            "categorical_graph_field_embed": [
                {"field": "charge", "num_features": 2, "min": -1, "max": 1}
            ]
        },
        "categorical_graph_field_embed",
    ),
    "radial networks": (
        FULL,
        {**UNEVEN, "radial_mlp_width": [8, 4, 8]},
        "radial_mlp: expected the same widths",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_exactly_is_refused_by_name(name: str):
    builder, settings, message = REFUSED[name]
    model = nequip_models.build(builder, "water", **((SMALL if builder == GNN else {}) | settings))
    with pytest.raises(errors.ConversionError, match=message):
        nequip.convert(model)


def test_types_that_are_no_elements_are_refused():
    model = nequip_models.build(GNN, "water", type_names=["Ow", "Hw"], **SMALL)
    with pytest.raises(errors.ConversionError, match="expected chemical symbols, each once"):
        nequip.convert(model)
