"""NequIP's settings, its irreps, and what each of them changes; the physics is in contracts/."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import errors, testing
from equipot.e3.arrays.irreps import Irrep
from equipot.e3.nn.channel_norm import ChannelNorm
from equipot.models import nequip, registry
from tests.models import molecules
from tests.models.molecules import (
    POSITIONS,
    RECEIVERS,
    SENDERS,
    SPECIES,
    context,
    quick_jit,
    vectors,
)

SMALL = nequip.Config(
    cutoff=3.0, num_layers=2, lmax=1, num_channels=4, num_radial_basis=4, radial_widths=(8,)
)


def initialise(config, dtype="float32", avg_num_neighbors=2.0):
    model = nequip.Model(config=config, context=context(avg_num_neighbors))
    edges = SPECIES, SENDERS, RECEIVERS
    params = quick_jit(model.init)(jax.random.key(0), vectors(dtype), *edges)
    return params, quick_jit(lambda p, v: model.apply(p, v, *edges).energies[:, 0])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_layers": 0}, r"model\.num_layers: expected at least 1, received 0"),
        ({"lmax": -1}, r"model\.lmax: expected at least 0, received -1"),
        ({"polynomial_cutoff": 1}, r"model\.polynomial_cutoff: expected at least 2"),
        ({"cutoff": 0.0}, r"model\.cutoff: expected a positive length, received 0"),
        ({"num_channels": (8, 4), "lmax": 2}, r"expected one number, or 3 for the degrees 0 to 2"),
        ({"num_channels": (8, 0), "lmax": 1}, r"num_channels: expected positive numbers"),
        ({"embedding_channels": 0}, r"model\.embedding_channels: expected at least 1, or none"),
        ({"parity": True, "symmetry": "so3"}, r"model\.parity: expected false with .*symmetry=so3"),
        (
            {"self_connection": "common", "shared_matrices": 3},
            "no species has a say",
        ),
        (
            {"xplor_start": 5.0},
            r"xplor_start: expected a distance from 0 to below the cutoff",
        ),
    ],
)
def test_wrong_setting_is_explained(wrong, message):
    with pytest.raises(errors.ConfigError, match=message):
        nequip.Config(**wrong)


def test_hidden_irreps_follow_degree_and_parity():
    natural = nequip.Config(lmax=2, num_channels=(8, 4, 2)).irreps
    assert natural == {Irrep("0e"): 8, Irrep("1o"): 4, Irrep("2e"): 2}
    both = nequip.Config(lmax=1, num_channels=8, parity=True).irreps
    assert set(both) == {Irrep("0e"), Irrep("0o"), Irrep("1o"), Irrep("1e")}


def test_without_parity_all_irreps_are_even():
    found = nequip.Config(lmax=2, num_channels=(8, 4, 2), symmetry="so3").irreps
    assert found == {Irrep("0e"): 8, Irrep("1e"): 4, Irrep("2e"): 2}


def test_many_species_leave_common_matrices_alone():
    common = nequip.Config(self_connection="common")
    assert registry.for_species(common, 89) == common
    assert registry.for_species(nequip.Config(), 89).shared_matrices == registry.FEW_SPECIES


@pytest.mark.wide
def test_the_norm_leaves_features_of_mean_square_one():
    rng = np.random.default_rng(0)
    features = {
        Irrep("0e"): jnp.asarray(3.0 * rng.normal(size=(5, 1, 8)), jnp.float32),
        Irrep("1o"): jnp.asarray(0.2 * rng.normal(size=(5, 3, 2)), jnp.float32),
    }
    norm = ChannelNorm()
    params = norm.init(jax.random.key(0), features)
    found = norm.apply(params, features)
    squares = [np.mean(np.square(x), axis=(1, 2)) for x in found.values()]
    testing.assert_close(np.mean(squares, axis=0), np.ones(5), testing.F32, "mean square")
    zero = jax.tree.map(jnp.zeros_like, features)
    slope = jax.grad(lambda f: sum(jnp.sum(x) for x in norm.apply(params, f).values()))(zero)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(slope))


@pytest.mark.wide
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"parity": True, "num_layers": 3}, marks=pytest.mark.slow),
        {"lmax": 0},
        {"num_layers": 1},
        {"num_channels": (4, 2), "readout_widths": (6,)},
        {"norm": "rms", "self_connection": "common", "xplor_start": 2.0},
    ],
    ids=str,
)
def test_energies_survive_rotation_and_inversion_in_every_form(changes):
    with jax.enable_x64(True):
        params, energy = initialise(dataclasses.replace(SMALL, **changes), "float64")
        molecules.assert_energies_survive_rotation_and_inversion(
            lambda v: energy(params, v), vectors("float64")
        )


@pytest.mark.wide
def test_dtype_follows_the_edge_vectors():
    params, energy = initialise(SMALL)
    assert energy(params, vectors()).dtype == "float32"
    assert all(leaf.dtype == "float32" for leaf in jax.tree.leaves(params))


@pytest.mark.wide
def test_single_precision_agrees_with_double():
    params, energy = initialise(SMALL)
    single = energy(params, vectors())
    with jax.enable_x64(True):
        _, energy = initialise(SMALL, "float64")
        wide = jax.tree.map(lambda x: jnp.asarray(np.asarray(x), jnp.float64), params)
        testing.assert_close(single, energy(wide, vectors("float64")), testing.F32, "energies")


def test_pairs_give_the_energies_and_gradients_of_their_directed_edges():
    with jax.enable_x64(True):
        params, _ = initialise(SMALL, "float64")

        def energy_and_forces(directed):
            model = nequip.Model(config=SMALL, context=context(directed=directed))
            step = 1 if directed else 2  # what follows each edge is the way back
            senders, receivers = SENDERS[::step], RECEIVERS[::step]

            def total(positions):
                edges = positions[receivers] - positions[senders], SPECIES, senders, receivers
                energies = model.apply(params, *edges).energies
                return jnp.sum(energies), energies

            return quick_jit(jax.grad(total, has_aux=True))(jnp.asarray(POSITIONS))

        found, expected = energy_and_forces(False), energy_and_forces(True)
        for actual, wanted in zip(found, expected, strict=True):
            testing.assert_close(actual, wanted, testing.F64_EXACT, "energies and forces")


def test_messages_are_divided_by_the_root_of_the_number_of_neighbors():
    """Which is to say: scaling the linear maps after the convolutions undoes it."""
    with jax.enable_x64(True):
        params, energy = initialise(SMALL, "float64", avg_num_neighbors=2.0)
        _, other = initialise(SMALL, "float64", avg_num_neighbors=8.0)
        doubled = {
            name: {k: jax.tree.map(lambda x: 2 * x, v) if k == "linear_down" else v
                   for k, v in layer.items()} if name.startswith("interaction") else layer
            for name, layer in params["params"].items()
        }  # fmt: skip
        found = other({"params": doubled}, vectors("float64"))
        expected = energy(params, vectors("float64"))
        testing.assert_close(found, expected, testing.F64_EXACT, "energies")


@pytest.mark.wide
def test_directions_matter_beyond_degree_zero():
    """Two atoms at fixed distances from a third, out of each other's reach, at two angles."""

    def spread(lmax):
        config = dataclasses.replace(SMALL, lmax=lmax)
        model = nequip.Model(config=config, context=context(species_table=(1,)))
        edges = molecules.ALIKE, molecules.NEAR, molecules.FAR
        bent, straight = molecules.bonds(np.pi / 2), molecules.bonds(np.pi)
        params = quick_jit(model.init)(jax.random.key(0), bent, *edges)
        apply = quick_jit(model.apply)
        a, b = (apply(params, v, *edges).energies for v in (bent, straight))
        return float(jnp.abs(a - b).max())

    assert spread(0) < 1e-5
    assert spread(1) > 1e-3


@pytest.mark.wide
def test_what_converted_models_add_changes_nothing_until_it_is_trained():
    added = dataclasses.replace(SMALL, trainable_bessel=True, species_norm=True)
    with jax.enable_x64(True):
        params, energy = initialise(SMALL, "float64")
        drawn, other = initialise(added, "float64")
        shared = {**drawn["params"], **params["params"]}
        for i in range(SMALL.num_layers):
            name = f"interaction_{i}"
            shared[name] = {**drawn["params"][name], **params["params"][name]}
        found = other({"params": shared}, vectors("float64"))
        expected = energy(params, vectors("float64"))
        testing.assert_close(found, expected, testing.F64_EXACT, "energies")
        for path in ("bessel_roots",), ("interaction_1", "species_norm"):
            trained = jax.tree_util.tree_map_with_path(
                lambda keys, x, path=path: x * 1.1 if tuple(k.key for k in keys) == path else x,
                shared,
            )
            changed = other({"params": trained}, vectors("float64"))
            assert float(jnp.abs(changed - expected).max()) > 1e-4


@pytest.mark.wide
def test_a_species_may_have_fewer_numbers_than_there_are_scalars():
    params, energy = initialise(dataclasses.replace(SMALL, embedding_channels=2))
    assert params["params"]["embedding"].shape == (2, 2)
    assert params["params"]["interaction_1"]["linear_up"]["0e"].shape == (4, 4)
    assert jnp.isfinite(energy(params, vectors())).all()
