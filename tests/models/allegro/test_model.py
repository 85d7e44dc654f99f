"""Allegro's settings, its one cutoff, and forms that must agree; the physics is in contracts/."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import errors, testing
from equipot.models import allegro
from tests.models import molecules
from tests.models.molecules import context, quick_jit

SMALL = allegro.Config(
    cutoff=3.0,
    lmax=1,
    num_scalars=4,
    num_channels=3,
    num_radial_basis=4,
    embedding_dim=6,
    embedding_widths=(5,),
    latent_widths=(6,),
    readout_widths=(4,),
)
PAIRS = np.array([(i, j) for i in range(4) for j in range(4) if i != j], np.int32)
RECEIVERS, SENDERS = jnp.asarray(PAIRS[:, 0]), jnp.asarray(PAIRS[:, 1])
SPECIES = jnp.asarray([0, 1, 1, 0], jnp.int32)
POSITIONS = np.array([[0.0, 0.0, 0.0], [1.1, 0.3, -0.2], [-0.5, 1.3, 0.4], [0.9, 1.2, 0.8]])


def vectors(dtype="float32", positions=POSITIONS):
    return jnp.asarray(positions[RECEIVERS] - positions[SENDERS], dtype)


def initialise(config, dtype="float32", num_species=2):
    table = tuple(range(1, num_species + 1))
    model = allegro.Model(config=config, context=context(3.0, table))
    edges = SPECIES, SENDERS, RECEIVERS
    shapes = jax.eval_shape(model.init, jax.random.key(0), vectors(dtype), *edges)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), x.dtype), shapes)
    return params, quick_jit(lambda p, v: model.apply(p, v, *edges).energies[:, 0])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_layers": 0}, r"model\.num_layers: expected at least 1, received 0"),
        ({"lmax": -1}, r"model\.lmax: expected at least 0, received -1"),
        ({"polynomial_cutoff": 1}, r"model\.polynomial_cutoff: expected at least 2"),
        ({"cutoff": 0.0}, r"model\.cutoff: expected a positive length, received 0"),
        ({"embedding_dim": 5}, r"embedding_dim: expected an even number, .* received 5"),
        ({"radial_basis": "spline", "spline_span": 9}, r"spline_span: expected 0 to 8, .* 9"),
        ({"latent_widths": (8, 0)}, r"latent_widths: expected positive widths, received \(8, 0\)"),
        ({"pair_cutoffs": ((6.0,),)}, r"pair_cutoffs: expected radii above 0 and up to the cut"),
    ],
)
def test_wrong_setting_is_explained(wrong, message):
    with pytest.raises(errors.ConfigError, match=message):
        allegro.Config(**wrong)


def test_cutoffs_must_be_those_of_all_pairs_of_species():
    config = dataclasses.replace(SMALL, pair_cutoffs=((3.0, 2.0),))
    with pytest.raises(errors.ConfigError, match=r"expected 2 rows of 2 radii, .* received"):
        initialise(config)


@pytest.mark.wide
@pytest.mark.parametrize(
    "changes",
    [
        {"parity": True, "num_layers": 3},
        {"lmax": 0},
        {"lmax": 2, "num_layers": 1},
        {"radial_basis": "spline", "num_radial_basis": 5, "spline_span": 3, "readout_widths": ()},
        {"embedding_widths": (), "latent_widths": (), "species_norm": True},
    ],
    ids=str,
)
def test_energies_survive_rotation_and_inversion_in_every_form(changes):
    with jax.enable_x64(True):
        params, energy = initialise(dataclasses.replace(SMALL, **changes), "float64")
        molecules.assert_energies_survive_rotation_and_inversion(
            lambda v: energy(params, v), vectors("float64")
        )


def test_energy_of_an_atom_depends_on_nothing_beyond_its_cutoff():
    """However many layers: what a neighbor's neighbor does is not felt."""
    line = np.array([[0.0, 0.0, 0.0], [2.0, 0.4, 0.0], [3.5, 1.5, 0.3], [1.5, -1.0, 0.8]])
    moved = line + np.array([[0.0], [0.0], [1.0], [0.0]]) * np.array([0.3, -0.4, 0.2])
    assert np.linalg.norm(line[2]) > 3.0 and np.linalg.norm(moved[2]) > 3.0
    params, energy = initialise(dataclasses.replace(SMALL, num_layers=3))
    before, after = (energy(params, vectors(positions=p)) for p in (line, moved))
    assert before[0] == after[0]
    assert abs(before[1] - after[1]) > 1e-4


def test_pairs_end_where_their_species_say():
    """Between the second species there is nothing beyond 1.2 Å, between others there is."""
    cutoffs = ((3.0, 3.0), (3.0, 1.2))
    params, energy = initialise(dataclasses.replace(SMALL, pair_cutoffs=cutoffs))
    model = allegro.Model(config=SMALL, context=context(3.0))
    kept = np.array([not (SPECIES[i] == SPECIES[j] == 1) for i, j in PAIRS])
    distance = np.linalg.norm(POSITIONS[1] - POSITIONS[2])
    assert 1.2 < distance < 3.0
    ends = SPECIES, SENDERS[kept], RECEIVERS[kept]
    expected = quick_jit(model.apply)(params, vectors()[kept], *ends).energies[:, 0]
    testing.assert_close(energy(params, vectors()), expected, testing.F32, "energies")


@pytest.mark.wide
@pytest.mark.parametrize("basis", ["bessel", "spline"])
def test_many_species_are_embedded_as_few_are(basis, monkeypatch):
    params, energy = initialise(dataclasses.replace(SMALL, radial_basis=basis, spline_span=2))
    expected = energy(params, vectors())
    monkeypatch.setattr("equipot.models.allegro.model._WIDEST_TABLE", 0)
    _, energy = initialise(dataclasses.replace(SMALL, radial_basis=basis, spline_span=2))
    testing.assert_close(energy(params, vectors()), expected, testing.F32, "energies")


@pytest.mark.wide
def test_untrained_frequencies_and_norms_change_nothing():
    params, energy = initialise(SMALL)
    config = dataclasses.replace(SMALL, trainable_bessel=True, species_norm=True)
    model = allegro.Model(config=config, context=context(3.0))
    edges = SPECIES, SENDERS, RECEIVERS
    drawn = quick_jit(model.init)(jax.random.key(0), vectors(), *edges)["params"]
    assert np.array_equal(drawn["bessel_roots"], [1, 2, 3, 4])
    assert np.array_equal(drawn["species_norm"], [1, 1])
    both = {"params": drawn | params["params"]}
    expected = energy(params, vectors())
    found = quick_jit(model.apply)(both, vectors(), *edges).energies[:, 0]
    testing.assert_close(found, expected, testing.F32, "energies")


@pytest.mark.wide
def test_precision_follows_the_edge_vectors():
    params, energy = initialise(SMALL)
    single = energy(params, vectors())
    assert single.dtype == "float32"
    assert all(leaf.dtype == "float32" for leaf in jax.tree.leaves(params))
    with jax.enable_x64(True):
        _, energy = initialise(SMALL, "float64")
        wide = jax.tree.map(lambda x: jnp.asarray(np.asarray(x), jnp.float64), params)
        testing.assert_close(single, energy(wide, vectors("float64")), testing.F32, "energies")
