"""From what a model gives to quantities: units, Cartesian form, sums, charges and their dipoles."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from equipot.data.structure import Structure
from equipot.graphs import batching
from equipot.potential import evaluate, outputs
from equipot.potential import potential as potentials
from equipot.quantities import QuantityConfig, declared
from equipot.testing import F64_EXACT, assert_close, structures

TABLE = declared(
    {
        "charges": QuantityConfig(per="atom", sums_to_charge=True),
        "dipole": QuantityConfig(irreps="1o", charges="charges"),
        "polarizability": QuantityConfig(irreps="0e+2e"),
        "moments": QuantityConfig(per="atom", irreps="2x1o+0e"),
    }
)
QUANTITIES = tuple(TABLE.values())
CLUSTER = structures.cluster(3.0, (1, 8))
CRYSTAL = structures.crystal(3.0, (1, 8))
BUDGET = batching.Budget(nodes=24, edges=128, graphs=5)


def collate(*chosen):
    graphs = [batching.build_graph(s, 3.0, (1, 8), np.zeros(2)) for s in chosen]
    with jax.enable_x64(True):
        return jax.device_put(batching.collate(graphs, BUDGET, 3.0, "float64"))


def values(seed=0):
    rng = np.random.default_rng(seed)
    return {q.name: rng.standard_normal((BUDGET.nodes, *q.shape)) for q in QUANTITIES}


def combine(own, *chosen):
    with jax.enable_x64(True):
        own = {name: jnp.asarray(value) for name, value in own.items()}
        return jax.device_get(outputs.combine(QUANTITIES, own, collate(*chosen)))


def test_a_symmetric_matrix_is_its_trace_and_five_numbers():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        components = rng.standard_normal((4, 6))
        found = outputs.cartesian(jnp.asarray(components), TABLE["polarizability"])
        matrices = np.asarray(found)
    assert_close(matrices, np.swapaxes(matrices, 1, 2), F64_EXACT, "matrices are symmetric")
    traces = np.trace(matrices, axis1=1, axis2=2)
    assert_close(traces, 3**0.5 * components[:, 0], F64_EXACT, "0e is the trace")
    back = outputs.components(matrices, TABLE["polarizability"])
    assert_close(back, components, F64_EXACT, "components come back")


def test_only_invariant_components_are_shifted_and_all_are_scaled():
    assert outputs.invariants(TABLE["moments"]).tolist() == [6]
    assert outputs.invariants(TABLE["polarizability"]).tolist() == [0]
    scales = {"moments": (2.0, np.array([[10.0], [20.0]]))}
    with jax.enable_x64(True):
        params = outputs.init_params([TABLE["moments"]], 2, scales, "float64")
        given = {"moments": jnp.ones((2, 7))}
        species = jnp.asarray([1, 0], jnp.int32)
        found = outputs.of_atoms([TABLE["moments"]], params, given, species)["moments"]
    np.testing.assert_array_equal(found, [[2] * 6 + [22], [2] * 6 + [12]])


@pytest.mark.parametrize("charge", [0.0, -2.0])
def test_charges_are_moved_by_one_number_until_they_add_up(charge):
    own = values()
    found = combine(own, dataclasses.replace(CLUSTER, charge=charge), CRYSTAL)["charges"]
    assert found[:6].sum() == pytest.approx(charge, abs=1e-12)
    assert found[6:10].sum() == pytest.approx(0.0, abs=1e-12)
    moved = found[:6] - own["charges"][:6]
    assert_close(moved, np.full(6, moved[0]), F64_EXACT, "all atoms get the same")
    assert np.all(found[10:] == 0)


def test_a_dipole_is_that_of_the_atoms_and_of_their_charges():
    own = values()
    found = combine(own, CLUSTER, CRYSTAL)
    positions = CLUSTER.positions - CLUSTER.positions.mean(axis=0)
    expected = own["dipole"][:6].sum(axis=0) + found["charges"][:6] @ positions
    assert_close(found["dipole"][0], expected, F64_EXACT, "dipole of the cluster")
    bare = own["dipole"][6:10].sum(axis=0)
    assert_close(found["dipole"][1], bare, F64_EXACT, "a crystal has no dipole of charges")


def test_fragments_beyond_the_cutoff_keep_their_places_in_a_dipole():
    far = structures.joined(CLUSTER, structures.fragment(3.0, (1, 8)), np.array([40.0, 0.0, 0.0]))
    own = values()
    found = combine(own, far)
    positions = far.positions - far.positions.mean(axis=0)
    expected = own["dipole"][:10].sum(axis=0) + found["charges"][:10] @ positions
    assert_close(found["dipole"][0], expected, F64_EXACT, "dipole of two fragments")


def test_a_slab_has_no_dipole_of_charges_whatever_its_cell_is():
    slab = structures.slab(3.0, (1, 8))
    own = values()
    bare = own["dipole"][:4].sum(axis=0)
    assert_close(combine(own, slab)["dipole"][0], bare, F64_EXACT, "dipole of the slab")
    boxed = dataclasses.replace(CLUSTER, cell=20.0 * np.eye(3))
    in_box, without = (combine(own, s)["dipole"][0] for s in (boxed, CLUSTER))
    assert_close(in_box, without, F64_EXACT, "a cell without periodicity means nothing")


def test_padding_has_no_values():
    found = combine(values(), CLUSTER, CRYSTAL)
    assert np.all(found["moments"][10:] == 0) and np.all(found["moments"][:10] != 0)
    for name in ("dipole", "polarizability"):
        assert np.all(found[name][2:] == 0) and np.any(found[name][:2] != 0)
    total = values()["polarizability"][:6].sum(axis=0)
    assert_close(found["polarizability"][0], total, F64_EXACT, "polarizabilities add up")


def test_evaluation_gives_each_quantity_in_its_shape(polar_potential):
    charged = dataclasses.replace(CLUSTER, charge=1.0)
    one, other = evaluate.evaluate(polar_potential, [charged, CRYSTAL], 2)
    assert one.value("charges").shape == (6,) and other.value("charges").shape == (4,)
    assert one.value("dipole").shape == (3,) and one.value("gaps").shape == (2,)
    assert one.value("charges").sum() == pytest.approx(1.0, abs=1e-12)
    assert one.value("forces") is one.forces and one.value("energy") == one.energy
    single = evaluate.cast(polar_potential, "float32")
    found = evaluate.evaluate(single, [charged])[0]
    assert_close(found.value("dipole"), one.value("dipole"), 1e-4, "dipoles in single precision")


@pytest.mark.wide
def test_a_dipole_is_learnt(polar_potential):
    spec = dataclasses.replace(polar_potential.spec, dtype="float32")
    predict = potentials.make_predict(spec)
    rng = np.random.default_rng(0)
    water = np.array([[0.0, 0.0, 0.0], [0.76, 0.59, 0.0], [-0.76, 0.59, 0.0]])
    chosen = [
        Structure(
            positions=(water + 0.05 * rng.standard_normal((3, 3))) @ np.linalg.qr(turn)[0],
            atomic_numbers=np.array([8, 1, 1]),
        )
        for turn in rng.standard_normal((4, 3, 3))
    ]
    wanted = np.stack([s.positions[1:].sum(0) / 3 - s.positions[0] * 2 / 3 for s in chosen])
    graphs = [batching.build_graph(s, 3.5, (1, 8), np.zeros(2)) for s in chosen]
    batch = jax.device_put(batching.collate(graphs, batching.plan_budget(graphs, 4), 3.5))
    ones = jnp.ones(2)
    params = potentials.init_params(spec, jax.random.key(0), ones, ones)
    optimizer = optax.adam(0.03)

    def loss(params):
        return jnp.mean((predict(params, batch).value("dipole")[:4] - wanted) ** 2)

    @jax.jit
    def step(params, state):
        value, gradient = jax.value_and_grad(loss)(params)
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, value

    state, losses = optimizer.init(params), []
    for _ in range(20):
        params, state, value = step(params, state)
        losses.append(float(value))
    assert losses[-1] < 0.2 * losses[0]
