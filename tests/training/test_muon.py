import jax
import jax.numpy as jnp
import numpy as np

from equipot.training import muon, optimizer
from equipot.training.config import OptimizerConfig

RNG = np.random.default_rng(0)
orthogonal = jax.jit(muon.orthogonal)


def random(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def test_singular_values_become_nearly_equal_and_singular_vectors_stay():
    matrices = {"wide": random(3, 8, 16), "tall": 1e-3 * random(16, 4), "same": random(8, 16)}
    for name, result in orthogonal(matrices).items():
        u, s, vt = np.linalg.svd(np.asarray(matrices[name]), full_matrices=False)
        rotated = np.swapaxes(u, -1, -2) @ np.asarray(result) @ np.swapaxes(vt, -1, -2)
        values = rotated / (0.4 * max(result.shape[-2:]) ** 0.5)
        diagonal = np.diagonal(values, axis1=-2, axis2=-1)
        assert np.all((diagonal > 0.6) & (diagonal < 1.3))
        off_diagonal = values - diagonal[..., None] * np.eye(s.shape[-1])
        np.testing.assert_allclose(off_diagonal, 0, atol=1e-4)


def test_entries_of_an_update_have_one_size_whatever_the_shape():
    result = orthogonal({"a": random(32, 32), "b": random(8, 64)})
    for leaf in result.values():
        assert 0.25 < np.sqrt(np.mean(np.asarray(leaf) ** 2)) < 0.5


def test_a_matrix_without_gradient_stays():
    assert not np.any(orthogonal({"a": jnp.zeros((4, 4))})["a"])


def updates_of(name, params, gradients):
    """The last of the updates after a series of gradients."""
    transformation = optimizer.make_optimizer(OptimizerConfig(name=name))
    step, state = jax.jit(transformation.update), transformation.init(params)
    for gradient in gradients:
        updates, state = step(gradient, state, params)
    return updates["model"]


def test_vectors_and_narrow_matrices_follow_adam():
    params = {"model": {"matrix": random(8, 8), "embedding": random(3, 8), "readout": random(8, 1)}}
    found, adam = (updates_of(name, params, [params]) for name in ("muon", "adam"))
    for name in ("embedding", "readout"):
        np.testing.assert_allclose(found[name], adam[name], rtol=1e-6)
    assert not np.allclose(found["matrix"], adam["matrix"], atol=0.1)


def test_tables_of_several_heads_and_species_follow_adam():
    params = {"model": {"matrix": random(8, 8)}, "shift": random(4, 4)}
    found = []
    for name in ("muon", "adam"):
        transformation = optimizer.make_optimizer(OptimizerConfig(name=name))
        updates, _ = transformation.update(params, transformation.init(params), params)
        found.append(updates["shift"])
    np.testing.assert_allclose(*found, rtol=1e-6)


def test_momentum_looks_ahead():
    first, second = random(8, 8), random(8, 8)
    gradients = [{"model": {"matrix": matrix}} for matrix in (first, second)]
    ahead = second + 0.95 * (second + 0.95 * first)
    found = updates_of("muon", gradients[0], gradients)["matrix"]
    np.testing.assert_allclose(found, -orthogonal({"matrix": ahead})["matrix"], atol=1e-3)


def test_matrices_of_an_absent_element_stay_however_long_it_is_absent():
    """Their momentum fades to numbers whose squares are zero, and is not followed meanwhile."""
    first = {"model": {"skip": random(2, 8, 8), "embedding": random(5, 8)}}
    second = {"skip": first["model"]["skip"].at[1].set(0)}
    second["embedding"] = first["model"]["embedding"].at[1].set(0)
    transformation = optimizer.make_optimizer(OptimizerConfig(name="muon"))

    @jax.jit
    def train(state):
        def step(carried, _):
            moved, state = carried
            updates, state = transformation.update({"model": second}, state, first)
            return (jax.tree.map(jnp.add, moved, updates["model"]), state), None

        nothing = jax.tree.map(jnp.zeros_like, second)
        return jax.lax.scan(step, (nothing, state), length=1500)[0][0]

    _, state = transformation.update(first, transformation.init(first), first)
    moved = train(state)
    assert np.all(np.isfinite(moved["skip"]))
    assert not np.any(moved["skip"][1]) and np.abs(moved["skip"][0]).max() > 100
    assert np.abs(moved["embedding"][1]).max() < 20  # as Adam's, whose mean fades


def test_a_momentum_of_tiny_numbers_is_made_orthogonal_too():
    matrices = {"a": random(32, 32)}
    for size in (1e-18, 1e-25, 1e-35):
        found = orthogonal({"a": size * matrices["a"]})["a"]
        np.testing.assert_allclose(found, orthogonal(matrices)["a"], atol=1e-3)
