"""MACE's settings, its irreps, and what each of them changes; the physics is in contracts/."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import errors, testing
from equipot.e3.arrays.irreps import Irrep
from equipot.models import mace
from tests.models import molecules
from tests.models.molecules import RECEIVERS, SENDERS, SPECIES, context, quick_jit, vectors

SMALL = mace.Config(
    cutoff=3.0,
    num_layers=2,
    lmax=1,
    message_lmax=1,
    num_channels=3,
    correlation=2,
    num_radial_basis=3,
    radial_widths=(4,),
    readout_width=2,
)


def build(config, avg_num_neighbors=2.0, atomic_numbers=(1, 8)):
    return mace.Model(config=config, context=context(avg_num_neighbors, atomic_numbers))


def shapes(config):
    variables = jax.eval_shape(
        build(config).init, jax.random.key(0), vectors(), SPECIES, SENDERS, RECEIVERS
    )
    return jax.tree.map(jnp.shape, variables["params"])


def random_params(config, seed=0):
    """Standard normal parameters in float64."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda shape: jnp.asarray(rng.standard_normal(shape)),
        shapes(config),
        is_leaf=lambda x: isinstance(x, tuple),
    )


@functools.cache
def compiled(config, avg_num_neighbors, atomic_numbers):
    model = build(config, avg_num_neighbors, atomic_numbers)
    edges = SPECIES, SENDERS, RECEIVERS
    return quick_jit(lambda p, v: model.apply({"params": p}, v, *edges).energies[:, 0])


def energies(config, params, v, avg_num_neighbors=2.0, atomic_numbers=(1, 8)):
    return compiled(config, avg_num_neighbors, atomic_numbers)(params, v)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_layers": 0}, r"model\.num_layers: expected at least 1, received 0"),
        ({"lmax": -1}, r"model\.lmax: expected at least 0, received -1"),
        ({"message_lmax": -1}, r"model\.message_lmax: expected at least 0"),
        ({"polynomial_cutoff": 1}, r"model\.polynomial_cutoff: expected at least 2"),
        ({"cutoff": 0.0}, r"model\.cutoff: expected a positive length, received 0"),
        ({"correlation": 5}, r"model\.correlation: expected 1 to 4, received 5"),
        ({"correlation": 4, "lmax": 5}, r"expected 1 to 3 where model\.lmax is above 4"),
        ({"correlation": (3,)}, r"expected one number, or 2, one for each layer, received \[3\]"),
        ({"radial_basis": "chebyshev"}, r"expected agnesi with radial_basis=chebyshev"),
        ({"radial_basis": "gaussian", "num_radial_basis": 1}, r"at least 2 gaussians, received 1"),
    ],
)
def test_wrong_setting_is_explained(wrong, message):
    with pytest.raises(errors.ConfigError, match=message):
        mace.Config(**wrong)


def test_messages_and_sums_have_degrees_of_their_own():
    found = shapes(dataclasses.replace(SMALL, lmax=2, message_lmax=1))
    assert set(found["interaction_0"]["linear_up"]) == {"0e"}
    assert set(found["interaction_1"]["linear_up"]) == {"0e", "1o"}
    assert {name.rpartition("_")[2] for name in found["interaction_1"]["linear"]} == {
        "0e",
        "1o",
        "2e",
    }
    assert set(found["product_0"]["linear"]) == {"0e", "1o"}
    assert set(found["product_1"]["linear"]) == {"0e"}


def test_parity_keeps_irreps_of_both_parities_once_sums_have_them():
    config = dataclasses.replace(SMALL, parity=True, num_layers=3)
    found = shapes(config)
    assert set(found["interaction_1"]["linear_up"]) == {"0e", "1o"}
    assert {name.rpartition("_")[2] for name in found["interaction_1"]["linear"]} >= {"1e"}
    assert set(found["interaction_2"]["linear_up"]) >= {"0e", "1o", "1e"}
    assert set(config.irreps(1, True)) == {Irrep("0e"), Irrep("0o"), Irrep("1o"), Irrep("1e")}


def test_residual_forms_skip_and_the_others_mix():
    for kind, name in {"residual": "skip", "density": "mixing"}.items():
        found = shapes(dataclasses.replace(SMALL, interaction=kind))["interaction_1"]
        assert {"skip", "mixing"} & set(found) == {name}
        assert ("density" in found) == (kind == "density")


@pytest.mark.wide
@pytest.mark.parametrize(
    "changes",
    [
        {"parity": True, "num_layers": 3},
        {"message_lmax": 2, "lmax": 2, "correlation": (1, 3)},
        {"interaction": "density", "radial_basis": "gaussian", "distance_transform": "soft"},
        {
            "interaction": "density_residual",
            "first_interaction": "agnostic",
            "radial_basis": "chebyshev",
            "distance_transform": "agnesi",
            "gate": "tanh",
        },
        {"num_layers": 1, "lmax": 0, "readout_width": 0},
    ],
    ids=str,
)
def test_energies_survive_rotation_and_inversion_in_every_form(changes):
    config = dataclasses.replace(SMALL, **changes)
    with jax.enable_x64(True):
        params = random_params(config)
        molecules.assert_energies_survive_rotation_and_inversion(
            lambda v: energies(config, params, v), vectors("float64")
        )


@pytest.mark.parametrize("transform", ["none", "agnesi", "soft"])
def test_the_envelope_acts_on_the_distance_itself(transform):
    """At and beyond the cutoff a neighbor gives nothing, whatever becomes of the distance."""
    config = dataclasses.replace(SMALL, distance_transform=transform, num_layers=1)
    with jax.enable_x64(True):
        params, short = random_params(config), vectors("float64")
        unit = short / jnp.linalg.norm(short, axis=1, keepdims=True)
        at_cutoff = energies(config, params, 3.0 * unit)
        testing.assert_close(
            at_cutoff, energies(config, params, 7.0 * unit), testing.F64_EXACT, "E"
        )
        assert np.abs(energies(config, params, short) - at_cutoff).max() > 1e-4


def test_transforms_know_the_elements():
    config = dataclasses.replace(SMALL, distance_transform="agnesi")
    with jax.enable_x64(True):
        params = random_params(config)
        water = energies(config, params, vectors("float64"))
        heavy = energies(config, params, vectors("float64"), atomic_numbers=(55, 87))
        assert np.abs(water - heavy).max() > 1e-4


def test_sums_are_divided_by_the_number_of_neighbors():
    """Which is to say: scaling the linear maps after the convolutions undoes it."""
    with jax.enable_x64(True):
        params = random_params(SMALL)
        scaled = {
            name: {k: jax.tree.map(lambda x: 4 * x, v) if k == "linear" else v
                   for k, v in layer.items()} if name.startswith("interaction") else layer
            for name, layer in params.items()
        }  # fmt: skip
        found = energies(SMALL, scaled, vectors("float64"), avg_num_neighbors=8.0)
        expected = energies(SMALL, params, vectors("float64"), avg_num_neighbors=2.0)
        testing.assert_close(found, expected, testing.F64_EXACT, "energies")


def test_density_counts_neighbors_instead():
    config = dataclasses.replace(SMALL, interaction="density", first_interaction="density")
    with jax.enable_x64(True):
        params = random_params(config)
        found = energies(config, params, vectors("float64"), avg_num_neighbors=8.0)
        expected = energies(config, params, vectors("float64"), avg_num_neighbors=2.0)
        testing.assert_close(found, expected, testing.F64_EXACT, "energies")


def test_single_precision_agrees_with_double():
    with jax.enable_x64(True):
        params = random_params(SMALL)
        double = energies(SMALL, params, vectors("float64"))
    single = jax.tree.map(lambda x: jnp.asarray(np.asarray(x), jnp.float32), params)
    found = energies(SMALL, single, vectors())
    assert found.dtype == "float32"
    testing.assert_close(found, double, testing.F32, "energies")


def test_pairs_give_the_same_energies():
    """What follows each edge is the way back; both kinds of sums know it."""
    config = dataclasses.replace(SMALL, interaction="density_residual")
    with jax.enable_x64(True):
        params, v = random_params(config), vectors("float64")
        edges = v[::2], SPECIES, SENDERS[::2], RECEIVERS[::2]
        model = mace.Model(config=config, context=context(directed=False))
        found = quick_jit(model.apply)({"params": params}, *edges).energies[:, 0]
        testing.assert_close(found, energies(config, params, v), testing.F64_EXACT, "energies")
