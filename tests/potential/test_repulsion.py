"""The repulsion of nuclei: its size, where it ends, and every contract with it switched on."""

import dataclasses
import json
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import config as configuration
from equipot import errors, testing, units
from equipot.potential import artefact, repulsion
from equipot.potential import potential as potentials
from equipot.potential.config import PotentialConfig
from equipot.potential.potential import Potential
from equipot.potential.repulsion import ZBL
from tests.contracts import toy

TABLE = (1, 6, 8)
COULOMB = units.HARTREE * units.BOHR
QUICK = {"xla_backend_optimization_level": 0}


def energies(zbl, distances, species=(0, 2), cutoff=5.0, dtype="float64"):
    """Energies in eV of pairs of atoms at distances in Å, both shares of it, and their slopes."""
    with jax.enable_x64(dtype == "float64"):
        function = repulsion.make_repulsion(zbl, TABLE, cutoff)
        count = len(distances)
        ends = np.arange(2 * count, dtype=np.int32).reshape(2, count)
        senders, receivers = jnp.asarray(ends[0]), jnp.asarray(ends[1])
        kinds = jnp.asarray(np.repeat(np.array(species, np.int32), count))

        def total(r):
            vectors = jnp.stack([jnp.zeros_like(r), 0.6 * r, -0.8 * r], axis=1)
            shares = function(vectors, kinds, senders, receivers)
            return jnp.sum(shares), shares[:count] + shares[count:]

        gradient = jax.jit(jax.grad(total, has_aux=True), compiler_options=QUICK)
        slopes, pairs = gradient(jnp.asarray(distances, dtype))
        return np.asarray(pairs), np.asarray(slopes)


@pytest.fixture(scope="module")
def subject():
    """The toy model with a repulsion that ends at its cutoff, so that it acts in every contract."""
    module = toy.Model(config=toy.Config())
    spec = potentials.PotentialSpec(
        model_name="toy",
        model_config=module.config,
        species_table=TABLE,
        atomic_energies=(0.0, 0.0, 0.0),
        avg_num_neighbors=12.0,
        dtype="float64",
        repulsion=ZBL(polynomial_cutoff=4),
    )
    energy = potentials.make_energy(spec, module)
    turned = module.clone(context=dataclasses.replace(module.context, directed=True))
    one_way = potentials.make_energy(spec, turned, directed=True)
    return testing.Subject(
        energy=energy,
        directed_energy=one_way,
        predict=potentials.differentiate(energy, "highest"),
        params=toy.subject().params,
        cutoff=spec.cutoff,
        optimize=False,
    )


@pytest.mark.wide
@pytest.mark.parametrize("contract", testing.CONTRACTS)
def test_a_potential_with_repulsion_obeys(subject, contract):
    testing.CONTRACTS[contract](subject)


def test_repulsion_is_the_screened_coulomb_energy_of_both_nuclei():
    # At 0.2 Å the envelope of an exponent that large is one to the last digit.
    zbl = ZBL(polynomial_cutoff=40)
    found, _ = energies(zbl, [0.2])
    x = 0.2 * (1.0 + 8.0**0.23) / (0.8854 * units.BOHR)
    screening = sum(c * np.exp(-d * x) for c, d in zip(zbl.coefficients, zbl.decays, strict=True))
    np.testing.assert_allclose(found, COULOMB * 8 / 0.2 * screening, rtol=1e-13)


def test_bare_nuclei_are_not_screened_at_contact():
    found, _ = energies(ZBL(), [2e-3], species=(1, 1))
    assert found[0] == pytest.approx(COULOMB * 36 / 2e-3, rel=0.05)


def test_repulsion_ends_at_the_sum_of_covalent_radii_with_its_first_two_derivatives():
    zbl = repulsion.between_covalent_radii(TABLE)
    assert zbl.covalent_radii == (0.31, 0.76, 0.66)
    step = 1e-3
    inside, slope = energies(zbl, [0.97 - step, 0.97 - 2 * step])
    beyond = energies(zbl, [0.97, 0.98, 4.0])
    assert not np.any(beyond)
    # The energy begins with the third power of the distance to the end, the force with the second.
    assert inside[1] / inside[0] == pytest.approx(8.0, rel=0.03)
    assert slope[1] / slope[0] == pytest.approx(4.0, rel=0.03)
    assert inside[0] > 0 > slope[0]


def test_repulsion_ends_at_the_cutoff_where_covalent_radii_reach_further():
    zbl = repulsion.between_covalent_radii(TABLE)
    found, slope = energies(zbl, [1.1999, 1.2, 1.3], species=(1, 1), cutoff=1.2)
    assert 0 < found[0] < 1e-6
    assert not found[1:].any()
    assert not slope[1:].any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_repulsion_is_finite_down_to_no_distance_at_all(dtype):
    found, slope = energies(ZBL(), [0.0, 1e-4, 1e-3, 0.1], dtype=dtype)
    assert np.isfinite(found).all() and np.isfinite(slope).all()
    assert found.dtype == dtype
    assert np.all(np.diff(found) <= 0)


def test_factor_multiplies_the_energy():
    once, _ = energies(ZBL(), [0.5, 0.9])
    found, _ = energies(ZBL(factor=2.5), [0.5, 0.9])
    np.testing.assert_allclose(found, 2.5 * once, rtol=1e-14)


def test_a_directed_edge_gives_half_of_its_pair_to_the_atom_that_receives_it():
    with jax.enable_x64(True):
        vectors = jnp.asarray([[0.5, 0.0, 0.0]])
        sender, receiver = jnp.asarray([0], jnp.int32), jnp.asarray([1], jnp.int32)
        function = repulsion.make_repulsion(ZBL(), TABLE, 5.0, directed=True)
        found = function(vectors, jnp.asarray([0, 2], jnp.int32), sender, receiver)
    whole, _ = energies(ZBL(), [0.5])
    np.testing.assert_allclose(found, [0.0, whole[0] / 2], rtol=1e-14)


def test_a_missing_covalent_radius_is_one_sentence():
    with pytest.raises(errors.ConfigError, match="expected one for each of H, C, O, received 2"):
        repulsion.make_repulsion(ZBL(covalent_radii=(0.31, 0.76)), TABLE, 5.0)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"polynomial_cutoff": 1}, "polynomial_cutoff: expected at least 2, received 1"),
        ({"decays": (1.0,)}, "expected one decay for each coefficient, received 1 and 4"),
    ],
)
def test_impossible_constants_are_refused(settings, sentence):
    with pytest.raises(errors.ConfigError, match=sentence):
        ZBL(**settings)


def test_constants_survive_the_artefact(make_potential, tmp_path):
    plain = make_potential()
    zbl = ZBL(covalent_radii=(0.31, 0.66), coulomb=14.3996, length=1 / 3, exponent=0.3)
    spec = dataclasses.replace(plain.spec, repulsion=zbl)
    saved = artefact.save(tmp_path / "zbl.equipot", Potential(spec=spec, params=plain.params))
    assert artefact.read(saved).potential.spec == spec


def test_what_a_potential_lacks_its_artefact_does_not_mention(make_potential, tmp_path):
    saved = artefact.save(tmp_path / "plain.equipot", make_potential())
    with zipfile.ZipFile(saved) as archive:
        assert not {"repulsion", "heads"} & set(json.loads(archive.read("potential.json")))
    spec = artefact.read(saved).potential.spec
    assert spec.repulsion is None and spec.heads == ("default",)


def test_repulsion_is_asked_for_by_name():
    found = configuration.from_mapping(PotentialConfig, {"repulsion": "zbl"}, "potential")
    assert found.repulsion == "zbl"
    with pytest.raises(
        errors.ConfigError, match="expected one of none, zbl, fitted, wall; received 'zlb'"
    ):
        configuration.from_mapping(PotentialConfig, {"repulsion": "zlb"}, "potential")
