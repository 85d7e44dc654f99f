"""Readouts of irreps from the features of models, and what models refuse."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import errors
from equipot.e3.arrays.irreps import Irrep, Irreps
from equipot.models import output, registry
from equipot.models.context import ModelContext
from equipot.testing import F64, assert_close, rotation_matrix, transform
from tests.models.molecules import quick_jit

CONTEXT = ModelContext(species_table=(1, 8), avg_num_neighbors=2.0)
SIZES = {"nequip": {"lmax": 2}, "mace": {"lmax": 2, "correlation": 2}, "allegro": {"lmax": 2}}


def shapes(model, **settings):
    """Shapes of the parameters of a model with quantities, by their path; nothing is compiled."""
    settings = {"num_channels": 2, "num_layers": 1, **SIZES.get(model, {}), **settings}
    wanted = settings.pop("outputs")
    name, config = registry.config_from_mapping({"name": model, **settings})
    context = dataclasses.replace(CONTEXT, outputs=wanted)
    module = registry.build_model(name, config, context)
    index = jnp.zeros(1, jnp.int32)
    made = jax.eval_shape(module.init, jax.random.key(0), jnp.ones((1, 3)), index, index, index)
    leaves = jax.tree_util.tree_leaves_with_path(made["params"])
    return {"/".join(key.key for key in path): leaf.shape for path, leaf in leaves}


def test_a_readout_of_any_irreps_turns_and_reflects_with_the_features():
    irreps = "2x1o+0e+1e+3x2e"
    rng = np.random.default_rng(0)
    widths = {"0e": 3, "1o": 4, "1e": 2, "2e": 5}
    with jax.enable_x64(True):
        features = {
            Irrep(irrep): jnp.asarray(rng.standard_normal((6, Irrep(irrep).dim, n)))
            for irrep, n in widths.items()
        }
        readout = output.Readout(irreps)
        drawn = jax.eval_shape(readout.init, jax.random.key(0), features)
        params = jax.tree.map(lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape)), drawn)
        read = quick_jit(readout.apply)
        found = read(params, features)
        assert found.shape == (6, Irreps(irreps).dim)
        for matrix in (rotation_matrix(0), -np.eye(3)):
            turn = np.asarray(Irreps(irreps).D_from_matrix(jnp.asarray(matrix)))
            turned = read(params, transform(features, matrix))
            assert_close(turned, found @ turn.T, F64, "the readout turns")


def test_readouts_are_zero_at_first():
    features = {Irrep("0e"): jnp.ones((2, 1, 3)), Irrep("1o"): jnp.ones((2, 3, 3))}
    readout = output.Readout("1o+0e")
    found, _ = readout.init_with_output(jax.random.key(0), features)
    np.testing.assert_array_equal(found, np.zeros((2, 4)))


@pytest.mark.parametrize("model", registry.available())
def test_quantities_add_parameters_of_their_own_names_only(model):
    without = shapes(model, outputs=())
    found = shapes(model, outputs=(("charges", "0e"),))
    added = {name for name in found if name not in without}
    assert added and all(name.startswith("output_charges") for name in added)
    assert {name: found[name] for name in without} == without


@pytest.mark.parametrize(
    ("model", "irreps", "message"),
    [
        ("nequip", "1e", r"of 1e the model nequip has no features .*model\.parity=true"),
        ("nequip", "3e", r"of 3e the model nequip .*; set model\.lmax to at least 3"),
        ("nequip", "0e+3o", r"of 3o the model nequip .*; set model\.lmax to at least 3"),
        ("mace", "2x1e", r"of 1e the model mace .*model\.parity=true"),
        ("painn", "0e+2e", r"of 2e the model painn .*\(of 0e, 1o only\); choose a model with"),
        ("schnet", "1o", r"of 1o the model schnet .*\(of 0e only\); choose a model with tensor"),
        ("allegro", "1e", r"of 1e the model allegro .*; such have nequip and mace with"),
        ("allegro", "3o", r"of 3o the model allegro .*; set model\.lmax to at least 3"),
    ],
)
def test_irreps_that_a_model_lacks_are_refused_with_what_to_set(model, irreps, message):
    with pytest.raises(errors.ConfigError, match=r"data\.quantities\.moment: has .*" + message):
        shapes(model, outputs=(("moment", irreps),))


@pytest.mark.parametrize("model", ["nequip", "mace"])
def test_both_parities_have_readouts_after_two_layers(model):
    wanted = (("moment", "1e"), ("tensor", "0e+2e"), ("dipole", "1o"))
    found = shapes(model, outputs=wanted, parity=True, num_layers=2)
    assert {"output_moment/0_1e", "output_tensor/1_2e", "output_dipole/0_1o"} <= set(found)


def test_features_before_the_readout_are_given():
    name, config = registry.config_from_mapping({"name": "nequip", "num_channels": 4})
    module = registry.build_model(name, config, CONTEXT)
    species, index = jnp.zeros(3, jnp.int32), jnp.zeros(1, jnp.int32)
    found = jax.eval_shape(
        lambda key: module.init_with_output(key, jnp.ones((1, 3)), species, index, index)[0],
        jax.random.key(0),
    )
    assert {str(irrep): x.shape for irrep, x in found.features.items()} == {"0e": (3, 1, 4)}
    assert found.energies.shape == (3, 1) and found.others == {}
