import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.e3 import dense
from equipot.e3.dense import message_pass

DST_IDX, SRC_IDX = dense.sparse_pairwise_indices(5)
SPARSE = {"dst_idx": DST_IDX, "src_idx": SRC_IDX, "indices_are_sorted": True}
DENSE = {"adj_idx": dense.dense_pairwise_indices(5)}


def positions(seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(scale=0.6, size=(5, 3)))


def basis(positions, max_degree=1, **index):
    r = dense.gather_src(positions, **index) - dense.gather_dst(positions, **index)
    return dense.basis(
        r,
        max_degree=max_degree,
        num=3,
        radial_fn=dense.reciprocal_bernstein,
        cutoff_fn=functools.partial(dense.smooth_cutoff, cutoff=4.0),
    )


def random_like(variables, seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda w: jnp.asarray(0.5 * rng.normal(size=w.shape), w.dtype), variables)


def features(num_parity, max_degree, num=5, num_features=4):
    shape = (num, num_parity, (max_degree + 1) ** 2, num_features)
    return jnp.asarray(np.random.default_rng(1).normal(size=shape))


def improper(seed=3):
    """An orthogonal matrix of determinant 1."""
    matrix = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return jnp.asarray(matrix * np.sign(np.linalg.det(matrix)))


@functools.partial(jax.jit, static_argnums=2)
def transform(x, matrix, reflected):
    """Features turned by a rotation, and then inverted."""
    degree = int(np.sqrt(x.shape[-2])) - 1
    x = dense.rotate(x, dense.wigner_d(matrix, degree))
    return dense.reflect(x) if reflected else x


def test_the_message_of_a_scalar_is_the_basis_times_it():
    x = jnp.array([1.0, 2.0, 3.0]).reshape(3, 1, 1, 1)
    b = jnp.array([[1.0, 0.5, 0.0, -0.5], [1.0, 0.0, 2.0, 0.0], [4.0, 0.0, 0.0, 1.0]])
    index = {"dst_idx": jnp.array([0, 0, 2]), "src_idx": jnp.array([1, 2, 0])}
    module, b = dense.MessagePass(), b[:, None, :, None]
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), x, b, **index))
    ones = jax.tree.map(lambda w: jnp.ones(w.shape), shapes)
    apply = jax.jit(module.apply)
    m = apply(ones, x, b, **index)[:, 0, :, 0]
    np.testing.assert_allclose(m, [[5, 1, 6, -1], [0, 0, 0, 0], [4, 0, 0, 1]], rtol=1e-6)
    weights = jnp.array([2.0, 0.0, -1.0]).reshape(3, 1, 1, 1)
    m = apply(ones, x, b, weights, **index)[:, 0, :, 0]
    np.testing.assert_allclose(m, [[4, 2, 0, -2], [0, 0, 0, 0], [-4, 0, 0, -1]], rtol=1e-6)


def test_names_and_shapes_of_parameters():
    x, b = jnp.zeros((5, 1, 1, 8)), jnp.zeros((20, 1, 9, 3))
    shapes = jax.eval_shape(lambda: dense.MessagePass().init(jax.random.key(0), x, b, **SPARSE))
    shapes = jax.tree.map(jnp.shape, shapes)["params"]
    assert shapes == {
        "filter": {l: {"kernel": (3, 8)} for l in ("0+", "1-", "2+")},
        "tensor": {"kernel": (1, 3, 1, 1, 1, 3, 8)},
    }
    x = jnp.zeros((5, 2, 4, 8))
    module = dense.MessagePass(use_basis_bias=True, use_fused_tensor=True, max_degree=1)
    output, variables = jax.eval_shape(
        lambda: module.init_with_output(jax.random.key(0), x, b, **SPARSE)
    )
    assert output.shape == (5, 2, 4, 8)
    assert variables["params"]["filter"]["0+"]["bias"].shape == (8,)
    assert "fused_tensor" in variables["params"]


@pytest.mark.parametrize("num_parity", [1, 2])
def test_messages_turn_and_permute_with_atoms_and_lists_of_both_kinds_agree(num_parity):
    module = dense.MessagePass()
    with jax.enable_x64(True):
        x, r, matrix = features(num_parity, 1), positions(), improper()
        variables = jax.eval_shape(
            lambda: module.init(jax.random.key(0), x, basis(r, **SPARSE), **SPARSE)
        )
        variables = random_like(variables)

        @jax.jit
        def step(x, r):
            return [
                module.apply(variables, x, basis(r, **index), **index) for index in (SPARSE, DENSE)
            ]

        expected, other = step(x, r)
        assert expected.shape == (5, 2, 4, 4) and jnp.std(expected) > 0.1
        np.testing.assert_allclose(other, expected, atol=1e-12)
        for sign in (1, -1):
            turned = step(transform(x, matrix, sign < 0), sign * r @ matrix)[0]
            np.testing.assert_allclose(turned, transform(expected, matrix, sign < 0), atol=1e-10)
        order = np.array([3, 0, 4, 2, 1])
        np.testing.assert_allclose(step(x[order], r[order])[0], expected[order], atol=1e-12)


def test_padding_changes_nothing_and_coincident_atoms_have_finite_gradients():
    module = dense.MessagePass()
    x, r = features(1, 0), positions().at[1].set(positions()[0])
    pad = jnp.full(3, 5)
    index = {"dst_idx": jnp.concatenate([DST_IDX, pad]), "src_idx": jnp.concatenate([SRC_IDX, pad])}
    adj_idx = jnp.concatenate([DENSE["adj_idx"], jnp.full((5, 2), 5)], axis=1)
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), x, basis(r, **SPARSE), **SPARSE))
    variables = random_like(shapes)

    @functools.partial(jax.jit, static_argnums=2)
    @functools.partial(jax.value_and_grad, argnums=(0, 1))
    def energy(variables, r, form):
        i = (SPARSE, index, {"adj_idx": adj_idx})[form]
        return jnp.sum(module.apply(variables, x, basis(r, **i), **i) ** 2)

    expected, gradients = energy(variables, r, 0)
    for form in (1, 2):
        value, padded = energy(variables, r, form)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        for a, b in zip(jax.tree.leaves(padded), jax.tree.leaves(gradients), strict=True):
            assert np.all(np.isfinite(a))
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


def test_what_does_not_fit_is_refused():
    x, b = features(1, 1), jnp.zeros((20, 1, 4, 3))

    def init(x, b, *weights, **index):
        module = message_pass.MessagePass()
        return jax.eval_shape(lambda: module.init(jax.random.key(0), x, b, *weights, **index))

    with pytest.raises(ValueError, match=r"expected a basis of shape \(20, 1.*received \(5, 4, 1"):
        init(x, jnp.zeros((5, 4, 1, 4, 3)), **SPARSE)
    for shape in ((20,), (20, 1, 4, 4), (19, 1, 1, 1)):
        with pytest.raises(
            ValueError, match=r"weights that broadcast to \(20, 1, 1, 4\), received"
        ):
            init(x, b, jnp.ones(shape), **SPARSE)
    with pytest.raises(ValueError, match="received neither"):
        init(x, b)
