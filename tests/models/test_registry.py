"""A file in the folder of models is a model, found by name; wrong names and keys are explained."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from equipot import errors
from equipot.models import nequip, registry


def test_every_file_in_the_folder_is_available():
    assert "nequip" in registry.available()
    assert "registry" not in registry.available()
    assert list(registry.available()) == sorted(registry.available())


@pytest.mark.parametrize("name", registry.available())
def test_every_model_has_settings_with_a_cutoff(name):
    cls = registry.config_class(name)
    assert dataclasses.is_dataclass(cls)
    assert cls().cutoff > 0


@pytest.mark.parametrize("name", registry.available())
def test_every_model_can_be_built_from_its_defaults(name):
    model = registry.build_model(name, registry.config_class(name)(), (1, 8), 10.0)
    assert isinstance(model, nn.Module)
    assert model.num_species == 2


def test_mapping_is_split_into_name_and_settings():
    name, config = registry.config_from_mapping({"name": "nequip", "lmax": 1, "cutoff": 4})
    assert name == "nequip"
    assert config == nequip.Config(lmax=1, cutoff=4.0)


def test_misspelt_key_is_answered_with_the_right_one():
    with pytest.raises(
        errors.ConfigError, match=r"model\.nequip: unknown key 'num_layer'.*layers'"
    ):
        registry.config_from_mapping({"name": "nequip", "num_layer": 3})


def test_misspelt_model_is_answered_with_the_right_one():
    with pytest.raises(errors.ConfigError, match=r"unknown model 'nequib'\. Did you mean 'nequip'"):
        registry.config_from_mapping({"name": "nequib"})


def test_mapping_without_a_name_is_refused():
    with pytest.raises(errors.ConfigError, match=r"model: needs a name, one of .*nequip"):
        registry.config_from_mapping({"lmax": 1})


def test_atoms_without_any_edges_have_energies():
    model = registry.build_model(
        "nequip", nequip.Config(num_channels=2, radial_widths=(4,)), (1, 8), 1.0
    )
    nobody = jnp.zeros(0, jnp.int32)
    species = jnp.asarray([0, 1, 1], jnp.int32)
    energy, _ = model.init_with_output(
        jax.random.key(0), jnp.zeros((0, 3)), species, nobody, nobody
    )
    assert energy.shape == (3,)
    assert energy[1] == energy[2] != energy[0]
