"""A potential with one head gets several, which begin alike."""

import dataclasses

import numpy as np
import pytest

from equipot import errors, testing
from equipot.models import registry
from equipot.potential import artefact, evaluate
from equipot.potential.heads import with_heads
from equipot.potential.potential import Potential, PotentialSpec
from equipot.testing import structures

MODELS = {
    "nequip": {"num_layers": 2, "readout_widths": (4,)},
    "mace": {"num_layers": 2, "correlation": 2, "readout_width": 4},
    "mace, biases": {
        "num_layers": 1,
        "correlation": 2,
        "readout_width": 4,
        "readout_biases": True,
        "interaction": "nonlinear",
        "first_interaction": "nonlinear",
    },
    "mace, linear": {"num_layers": 1, "correlation": 2, "readout_width": 0},
}


def single(name):
    model = name.partition(",")[0]
    small = {"cutoff": 3.0, "lmax": 1, "num_channels": 3, "radial_widths": (4,), **MODELS[name]}
    config = registry.config_class(model)(**small)
    if model == "mace":
        config = dataclasses.replace(config, message_lmax=1)
    spec = PotentialSpec(
        model_name=model,
        model_config=config,
        species_table=(1, 6, 8),
        atomic_energies=(-13.0, -1030.0, -2040.0),
        avg_num_neighbors=10.0,
        dtype="float64",
    )
    return Potential(spec=spec, params=testing.random_params(spec))


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_all_heads_say_what_the_one_head_said(name, tmp_path):
    one = single(name)
    many = with_heads(one, ("fine", "rough"))
    plain = structures.crystal(3.0, (1, 6, 8))
    (expected,) = evaluate.evaluate(one, [plain])
    for head in ("fine", "rough"):
        (found,) = evaluate.evaluate(many, [dataclasses.replace(plain, head=head)])
        np.testing.assert_allclose(found.energies, expected.energies, rtol=1e-12)
        np.testing.assert_allclose(found.forces, expected.forces, rtol=1e-9, atol=1e-12)
    loaded = artefact.load(artefact.save(tmp_path / "many.equipot", many), verify=False)
    assert loaded.spec.heads == ("fine", "rough")


def test_a_potential_with_several_heads_gets_no_others():
    with pytest.raises(errors.ConfigError, match="expected a potential with one head, received"):
        with_heads(with_heads(single("nequip"), ("fine", "rough")), ("a", "b", "c"))
