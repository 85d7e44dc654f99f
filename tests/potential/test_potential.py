"""References, scale, shift, anchors and precision around a model; the physics is in contracts/."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import errors, testing
from equipot.data.structure import Structure
from equipot.graphs import batching
from equipot.models import nequip
from equipot.models.context import ModelContext
from equipot.potential import evaluate
from equipot.potential import potential as potentials
from equipot.potential.potential import Potential, PotentialSpec
from equipot.testing import structures

ENERGIES = (-13.587431, -1028.4973, -2041.8397)
CONTEXT = ModelContext(species_table=(1, 6, 8), avg_num_neighbors=10.0)
SPEC = PotentialSpec(
    model_name="nequip",
    model_config=nequip.Config(
        cutoff=3.0, num_layers=1, lmax=1, num_channels=2, num_radial_basis=2, radial_widths=(4,)
    ),
    species_table=(1, 6, 8),
    atomic_energies=ENERGIES,
    avg_num_neighbors=10.0,
    dtype="float64",
    anchor_isolated=True,
)
CLUSTER = structures.cluster(3.0, SPEC.species_table)


@functools.cache
def random_params():
    return testing.random_params(SPEC)


def total(structure: Structure, spec=SPEC, params=None):
    params = random_params() if params is None else params
    return evaluate.evaluate(Potential(spec=spec, params=params), [structure], 1)[0]


def interactions(spec, params, structure=CLUSTER):
    """Energies of the atoms without references, eV."""
    return total(structure, dataclasses.replace(spec, atomic_energies=(0.0,) * 3), params).energies


def with_leaf(**leaves):
    return {
        **random_params(),
        **{name: np.asarray(value, np.float64) for name, value in leaves.items()},
    }


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("number", "energy"), list(zip(SPEC.species_table, ENERGIES, strict=True)))
def test_isolated_atom_has_its_reference_energy_to_the_last_digit(dtype, number, energy):
    potential = evaluate.cast(Potential(spec=SPEC, params=random_params()), dtype)
    found = evaluate.evaluate(potential, [structures.atom(number)], 1)[0]
    assert found.energy == energy
    assert np.all(found.forces == 0)


def test_reference_energies_add_to_the_energy_and_nothing_else():
    bare = total(CLUSTER, dataclasses.replace(SPEC, atomic_energies=(0.0,) * 3))
    found = total(CLUSTER)
    references = np.array([ENERGIES[SPEC.species_table.index(z)] for z in CLUSTER.atomic_numbers])
    np.testing.assert_allclose(found.energies, bare.energies + references, rtol=1e-14)
    np.testing.assert_array_equal(found.forces, bare.forces)


def test_scale_is_the_unit_of_the_output_of_each_species():
    one = interactions(SPEC, with_leaf(scale=[1, 1, 1], shift=[0, 0, 0]))
    found = interactions(SPEC, with_leaf(scale=[2, 3, 5], shift=[0, 0, 0]))
    factors = np.array([2, 3, 5])[np.arange(6) % 3]
    testing.assert_close(found, factors * one, testing.F64_EXACT, "energies")


def test_shift_is_added_in_full_where_there_are_many_neighbors():
    dense = structures.repeated(structures.crystal(2.0, SPEC.species_table), (1, 1, 1))
    without = interactions(SPEC, with_leaf(shift=[0, 0, 0]), dense)
    found = interactions(SPEC, with_leaf(shift=[-1, -2, -3]), dense)
    expected = np.array([-1.0, -2.0, -3.0, -1.0])
    testing.assert_close(found - without, expected, 1e-4, "shift")


def test_without_the_anchor_the_shift_is_a_constant():
    spec = dataclasses.replace(SPEC, anchor_isolated=False)
    without = interactions(spec, with_leaf(shift=[0, 0, 0]))
    found = interactions(spec, with_leaf(shift=[-1, -2, -3]))
    expected = np.array([-1.0, -2.0, -3.0, -1.0, -2.0, -3.0])
    testing.assert_close(found - without, expected, testing.F64_EXACT, "shift")
    alone = total(structures.atom(6), spec)
    assert abs(alone.energy - ENERGIES[1]) > 1e-3


def test_anchor_subtracts_what_the_model_says_of_an_atom_alone():
    params = with_leaf(shift=[0, 0, 0])
    free = dataclasses.replace(SPEC, anchor_isolated=False)
    alone = [interactions(free, params, structures.atom(z))[0] for z in SPEC.species_table]
    found = interactions(SPEC, params)
    expected = interactions(free, params) - np.array(alone)[np.arange(6) % 3]
    testing.assert_close(found, expected, testing.F64_EXACT, "energies")


@pytest.mark.parametrize("train_shift", [False, True])
def test_only_what_is_trained_receives_gradients(train_shift):
    spec = dataclasses.replace(SPEC, train_shift=train_shift)
    predict = potentials.make_predict(spec)
    graphs = [batching.build_graph(CLUSTER, 3.0, spec.species_table, np.zeros(3))]
    with jax.enable_x64(True):
        batch = batching.collate(graphs, batching.plan_budget(graphs, 1), 3.0, "float64")
        loss = jax.grad(lambda params, graph: jnp.sum(predict(params, graph).forces ** 2))
        gradient = jax.device_get(jax.jit(loss)(random_params(), batch))
    assert np.all(gradient["scale"] == 0)
    assert np.any(gradient["shift"] != 0) == train_shift
    assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(gradient["model"]))


def test_padding_atoms_have_no_energy_and_feel_no_force():
    graphs = [batching.build_graph(CLUSTER, 3.0, SPEC.species_table, np.zeros(3))]
    with jax.enable_x64(True):
        budget = batching.Budget(nodes=10, edges=64, graphs=3)
        batch = batching.collate(graphs, budget, 3.0, "float64")
        found = jax.device_get(jax.jit(potentials.make_predict(SPEC))(random_params(), batch))
    assert np.all(found.node_energy[6:] == 0) and np.all(found.forces[6:] == 0)
    assert np.all(found.energy[1:] == 0) and np.all(found.stress[1:] == 0)
    assert found.energy[0] == pytest.approx(found.node_energy.sum(), abs=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_have_the_precision_of_the_specification(dtype):
    spec = dataclasses.replace(SPEC, dtype=dtype)
    with jax.enable_x64(dtype == "float64"):
        ones = jnp.ones(3, dtype)
        params = potentials.init_params(spec, jax.random.key(0), 2 * ones, -ones)
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(params))
    np.testing.assert_array_equal(params["scale"], [2, 2, 2])
    np.testing.assert_array_equal(params["shift"], [-1, -1, -1])


def test_model_from_outside_takes_the_place_of_the_one_that_is_named():
    twin = nequip.Model(config=SPEC.model_config, context=CONTEXT)
    one_way = twin.clone(context=dataclasses.replace(CONTEXT, directed=True))
    spec = dataclasses.replace(SPEC, model_name="twin")
    outside = testing.Subject(
        energy=potentials.make_energy(spec, twin),
        directed_energy=potentials.make_energy(spec, one_way, directed=True),
        predict=potentials.differentiate(potentials.make_energy(spec, twin), "highest"),
        params=testing.random_params(spec, model=twin),
        cutoff=3.0,
    )
    found = outside.observe(CLUSTER)[0].energies
    testing.assert_close(found, interactions(SPEC, random_params()), testing.F64_EXACT, "energies")


def test_a_model_of_the_other_form_of_graphs_is_refused():
    twin = nequip.Model(config=SPEC.model_config, context=CONTEXT)
    with pytest.raises(ValueError, match=r"context has directed=True, .* with directed=False"):
        potentials.make_energy(SPEC, twin, directed=True)


@pytest.mark.parametrize("radii", [(0.3, 0.7), (0.3, 0.7, 0.0), (0.3, 0.7, float("nan"))])
def test_radii_that_make_no_bonds_are_refused(radii):
    with pytest.raises(errors.ConfigError, match=r"bond_radii: expected a positive length"):
        dataclasses.replace(SPEC, bond_radii=radii)
