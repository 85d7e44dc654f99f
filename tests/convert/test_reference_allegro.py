"""With the weights of nequip-allegro our Allegro says what it says."""

from typing import Any

import pytest

from equipot import errors
from equipot.convert import nequip
from tests.convert import nequip_models

pytest.importorskip("nequip")
pytest.importorskip("allegro")
pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]

ALLEGRO = "allegro.model.AllegroModel"
BESSEL = {"_target_": "allegro.nn.TwoBodyBesselScalarEmbed", "num_bessels": 5}
SPLINE = {"_target_": "allegro.nn.TwoBodySplineScalarEmbed", "num_splines": 6, "spline_span": 4}
SMALL: dict[str, Any] = {
    "radial_chemical_embed": BESSEL,
    "l_max": 1,
    "num_layers": 2,
    "parity": False,
    "num_scalar_features": 6,
    "num_tensor_features": 3,
    "scalar_embed_mlp_hidden_layers_width": 7,
    "allegro_mlp_hidden_layers_width": 8,
    "readout_mlp_hidden_layers_width": 5,
}
BY_TYPE = {"O": 5.0, "H": 8.0}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "scalars": ("water", {"l_max": 0, "num_layers": 1}),
    "one layer": ("water", {"l_max": 2, "num_layers": 1, "parity": True}),
    "vectors": ("alloy", {"per_type": True}),
    "benchmark": ("water", {"l_max": 2, "per_type": True, "radial_chemical_embed_dim": 8}),
    "three layers": ("silicon", {"l_max": 2, "num_layers": 3}),
    "parity": ("water", {"num_layers": 3, "parity": True}),
    "parity to degree two": ("silicon", {"l_max": 2, "num_layers": 3, "parity": True}),
    "degree three": ("silicon", {"l_max": 3, "per_type": True}),
    "deep": (
        "water",
        {
            "scalar_embed_mlp_hidden_layers_depth": 2,
            "allegro_mlp_hidden_layers_depth": 3,
            "readout_mlp_hidden_layers_depth": 2,
        },
    ),
    "linear": (
        "water",
        {
            "scalar_embed_mlp_hidden_layers_depth": 0,
            "allegro_mlp_hidden_layers_depth": 0,
            "readout_mlp_hidden_layers_depth": 0,
            "num_layers": 3,
        },
    ),
    "without activations": (
        "water",
        {"scalar_embed_mlp_nonlinearity": None, "allegro_mlp_nonlinearity": "None"},
    ),
    "activations": (
        "water",
        {
            "scalar_embed_mlp_nonlinearity": "mish",
            "allegro_mlp_nonlinearity": "gelu",
            "readout_mlp_nonlinearity": "tanh",
        },
    ),
    "softplus": ("silicon", {"allegro_mlp_nonlinearity": "ssp"}),
    "backward normalisation": ("water", {"forward_normalize": False}),
    "paths alike in all channels": ("alloy", {"tp_path_channel_coupling": False}),
    "degrees alike": ("water", {"weight_individual_irreps": False}),
    "neighbors by type": ("water", {"avg_num_neighbors": BY_TYPE}),
    "trained frequencies": (
        "water",
        {"radial_chemical_embed": BESSEL | {"bessel_trainable": True}},
    ),
    "splines": ("water", {"radial_chemical_embed": SPLINE}),
    "splines of many pairs": ("alloy", {"radial_chemical_embed": SPLINE}),
    "repulsion": (
        "water",
        {
            "pair_potential": {
                "_target_": "nequip.nn.pair_potential.ZBL",
                "chemical_species": ["O", "H"],
                "units": "metal",
            }
        },
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_energies_forces_and_stresses_agree(name: str):
    system, settings = CASES[name]
    model = nequip_models.build(ALLEGRO, system, **(SMALL | settings))
    found, _ = nequip_models.differences(model, system)
    assert found.energy < 1e-8, found
    assert found.forces < 1e-7, found
    assert found.stress < 1e-8, found


@pytest.mark.parametrize("name", ["benchmark", "parity to degree two"])
def test_single_precision_agrees_as_far_as_it_goes(name: str):
    system, settings = CASES[name]
    model = nequip_models.build(ALLEGRO, system, **(SMALL | settings), model_dtype="float32")
    found, _ = nequip_models.differences(model, system)
    assert found.energy < 1e-5, found
    assert found.forces < 1e-5, found
    assert found.stress < 1e-5, found


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"readout_mlp_nonlinearity": "sigmoid"}, "edge_readout: .* received sigmoid, which is no"),
        ({"allegro_mlp_nonlinearity": "softplus"}, r"latents\.0: .* energies would jump at the cu"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(settings, message):
    model = nequip_models.build(ALLEGRO, "water", **(SMALL | settings))
    with pytest.raises(errors.ConversionError, match=message):
        nequip.convert(model)
