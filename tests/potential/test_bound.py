import jax
import numpy as np
import pytest

from equipot.data.structure import Structure
from equipot.graphs import batching
from equipot.potential.bound import Bound


@pytest.fixture(scope="module")
def batch():
    """Two atoms, for a potential of hydrogen and oxygen in single precision."""
    pair = Structure(positions=np.array([[0, 0, 0], [1.1, 0, 0]]), atomic_numbers=np.array([1, 8]))
    graph = batching.build_graph(pair, 3.5, (1, 8), np.zeros(2))
    return batching.collate([graph], batching.plan_budget([graph], 1), 3.5)


def test_a_potential_runs_on_the_device_that_it_is_bound_to(make_potential, batch):
    potential, device = make_potential("float32"), jax.devices()[1]
    there, here = Bound(potential, device), Bound(potential)
    with there.entered():
        moved = there.predict(there.params, batch)
    assert moved.forces.devices() == {device}
    with here.entered():
        stayed = here.predict(here.params, batch)
    np.testing.assert_allclose(moved.forces, stayed.forces, atol=1e-6)


def test_potentials_of_one_specification_share_a_program(make_potential, batch, no_programs):
    potential = make_potential("float32")
    doubled = jax.tree.map(lambda leaf: 2 * leaf, potential.params)
    bounds = Bound(potential), Bound(type(potential)(spec=potential.spec, params=doubled))
    energies = []
    for bound in bounds:
        with bound.entered():
            energies.append(np.asarray(bound.predict(bound.params, batch).energy)[0])
    assert energies[0] != energies[1]
    assert [bound.n_compilations for bound in bounds] == [1, 0]
