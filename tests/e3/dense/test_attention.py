import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.e3 import dense

DST_IDX, SRC_IDX = dense.sparse_pairwise_indices(4, mask_self=False)
SPARSE = {"dst_idx": DST_IDX, "src_idx": SRC_IDX, "indices_are_sorted": True}
DENSE = {"adj_idx": dense.dense_pairwise_indices(4, mask_self=False)}
POSITIONS = 0.5 * np.random.default_rng(0).normal(size=(4, 3))
NO_ENCODINGS = {
    "use_relative_positional_encoding_qk": False,
    "use_relative_positional_encoding_v": False,
}


def features(num_parity, max_degree, num=4, num_features=4):
    shape = (num, num_parity, (max_degree + 1) ** 2, num_features)
    return jnp.asarray(np.random.default_rng(1).normal(size=shape))


def basis(positions, **index):
    """Basis functions and cutoffs."""
    r = dense.gather_src(positions, **index) - dense.gather_dst(positions, **index)
    return dense.basis(
        r,
        max_degree=1,
        num=3,
        radial_fn=dense.sinc,
        radial_kwargs={"limit": 2.0},
        cutoff_fn=dense.smooth_cutoff,
        cutoff_kwargs={"cutoff": 2.0},
        return_cutoff=True,
    )


def random_parameters(module, x, r):
    shapes = jax.eval_shape(
        lambda: module.init(jax.random.key(0), x, *basis(r, **SPARSE), **SPARSE)
    )
    rng = np.random.default_rng(2)
    return jax.tree.map(lambda w: jnp.asarray(0.7 * rng.normal(size=w.shape), w.dtype), shapes)


@functools.partial(jax.jit, static_argnums=2)
def transform(x, matrix, reflected):
    degree = int(np.sqrt(x.shape[-2])) - 1
    x = dense.rotate(x, dense.wigner_d(matrix, degree))
    return dense.reflect(x) if reflected else x


def test_a_query_that_sees_no_difference_takes_the_mean_weighted_by_the_cutoff():
    x = jnp.arange(1.0, 4.0).reshape(3, 1, 1, 1)
    index = {"dst_idx": jnp.array([0, 0, 1, 1]), "src_idx": jnp.array([1, 2, 0, 2])}
    module = dense.SelfAttention(**NO_ENCODINGS)
    cutoff = jnp.array([0.5, 1.0, 0.0, 0.2])
    variables = module.init(jax.random.key(0), x, None, cutoff, **index)
    variables = jax.tree.map(jnp.ones_like, variables)
    variables["params"]["query"] = jax.tree.map(jnp.zeros_like, variables["params"]["query"])
    y = module.apply(variables, x, None, cutoff, **index)[:, 0, 0, 0]
    np.testing.assert_allclose(y, [(0.5 * 2 + 3) / 1.5 + 1, 3 + 1, 0 + 1], rtol=1e-6)
    # With queries, keys and values x, the exponents are those of products.
    variables = jax.tree.map(jnp.ones_like, variables)
    y = module.apply(variables, x, None, cutoff, **index)[0, 0, 0, 0]
    weights = np.array([0.5 * np.exp(2.0), np.exp(3.0)])
    np.testing.assert_allclose(y, weights @ [2, 3] / weights.sum() + 1, rtol=1e-6)


def test_frozen_shapes():
    x = jnp.ones((5, 1, 1, 8))
    dst_idx, src_idx = dense.sparse_pairwise_indices(5)
    b = jnp.ones((20, 1, 9, 3))
    index = {"dst_idx": dst_idx, "src_idx": src_idx}
    module = dense.SelfAttention(num_heads=2)
    y, variables = jax.eval_shape(
        lambda: module.init_with_output(jax.random.key(0), x, b, jnp.ones(20), **index)
    )
    assert y.shape == (5, 1, 9, 8)
    assert variables["params"]["relative_positional_encoding"]["kernel"].shape == (3, 8)
    module = dense.MultiHeadAttention(qkv_features=6, out_features=7, num_heads=3)
    inputs = (jnp.ones((5, 2, 4, 8)), jnp.ones((9, 1, 9, 2)))
    y, variables = jax.eval_shape(
        lambda: module.init_with_output(jax.random.key(0), *inputs, b, **index)
    )
    assert y.shape == (5, 2, 9, 7)
    params = variables["params"]
    assert set(params["query"]) == set(params["key"]) == {"0+", "1-"}
    assert set(params["value"]) == {"0+", "1-", "2+"}
    assert params["relative_positional_encoding"]["kernel"].shape == (3, 12)


@pytest.mark.parametrize("num_parity", [1, 2])
def test_attention_turns_and_permutes_with_atoms_and_lists_of_both_kinds_agree(num_parity):
    module = dense.SelfAttention(num_heads=2)
    matrix = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    with jax.enable_x64(True):
        x, r = features(num_parity, 1), jnp.asarray(POSITIONS)
        matrix = jnp.asarray(matrix * np.linalg.det(matrix))
        variables = random_parameters(module, x, r)

        @jax.jit
        def attend(x, r):
            return [module.apply(variables, x, *basis(r, **i), **i) for i in (SPARSE, DENSE)]

        expected, other = attend(x, r)
        assert expected.shape == (4, 2, 4, 4) and jnp.std(expected) > 0.1
        np.testing.assert_allclose(other, expected, atol=1e-12)
        for sign in (1, -1):
            turned = attend(transform(x, matrix, sign < 0), sign * r @ matrix)[0]
            np.testing.assert_allclose(turned, transform(expected, matrix, sign < 0), atol=1e-10)
        order = np.array([3, 0, 2, 1])
        np.testing.assert_allclose(attend(x[order], r[order])[0], expected[order], atol=1e-12)


def test_a_neighbor_leaves_smoothly_and_gradients_are_finite_everywhere():
    module = dense.SelfAttention(num_heads=2)
    with jax.enable_x64(True):
        x = features(1, 0)
        positions = jnp.asarray(POSITIONS).at[1].set(POSITIONS[0])  # two coincide
        positions = positions.at[3].set(jnp.zeros(3))
        variables = random_parameters(module, x, positions)
        pad = jnp.array([4, 4], jnp.int32)
        index = {
            "dst_idx": jnp.concatenate([DST_IDX, jnp.array([2, 4], jnp.int32)]),
            "src_idx": jnp.concatenate([SRC_IDX, pad]),
        }

        @functools.partial(jax.value_and_grad, argnums=(0, 1))
        def energy(variables, shift):
            r = positions.at[3].add(shift * jnp.array([1.0, 0.0, 0.0]))
            y = module.apply(variables, x, *basis(r, **index), **index)
            return jnp.sum(jnp.sin(y[:3]))  # of those that stay

        shifts = jnp.linspace(0.5, 2.5 + np.max(POSITIONS[:3, 0]), 300)
        values, (of_parameters, slopes) = jax.jit(jax.vmap(energy, (None, 0)))(variables, shifts)
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(of_parameters))
        assert np.max(np.abs(slopes)) > 1e-2 and np.all(slopes[-5:] == 0.0)
        trapezoids = 0.5 * np.diff(shifts) * (slopes[1:] + slopes[:-1])
        np.testing.assert_allclose(np.diff(values), trapezoids, atol=1e-5)


def test_padding_is_no_neighbor():
    module = dense.SelfAttention(use_relative_positional_encoding_v=False)
    x, r = features(1, 0), jnp.asarray(POSITIONS, jnp.float32)
    b, _ = jax.jit(lambda r: basis(r, **SPARSE))(r)
    variables = random_parameters(module, x, r)
    apply = jax.jit(module.apply)
    sparse = {"dst_idx": DST_IDX, "src_idx": SRC_IDX}
    expected = apply(variables, x, b, **sparse)
    index = {"dst_idx": jnp.concatenate([DST_IDX, jnp.array([0, 4])])}
    index["src_idx"] = jnp.concatenate([SRC_IDX, jnp.array([4, 0])])
    padded = apply(variables, x, jnp.concatenate([b, b[:2]]), **index)
    np.testing.assert_allclose(padded, expected, rtol=1e-5, atol=1e-5)


def test_what_does_not_fit_is_refused():
    x = features(1, 1)
    b, cutoff = jnp.zeros((16, 1, 4, 3)), jnp.zeros(16)

    def init(module, *inputs, **index):
        return jax.eval_shape(functools.partial(module.init, jax.random.key(0)), *inputs, **index)

    with pytest.raises(ValueError, match="divides the 4 channels of queries, received 3"):
        init(dense.SelfAttention(num_heads=3), x, b, **SPARSE)
    with pytest.raises(ValueError, match="channels of queries, received 0"):
        init(dense.SelfAttention(num_heads=0), x, b, **SPARSE)
    with pytest.raises(ValueError, match="expected a basis for relative positional encodings"):
        init(dense.SelfAttention(), x, **SPARSE)
    with pytest.raises(ValueError, match=r"each entry of the list, \(16,\), received \(16, 1\)"):
        init(dense.SelfAttention(), x, b, cutoff[:, None], **SPARSE)
    with pytest.raises(ValueError, match=r"expected inputs_kv of shape .* leading axes"):
        init(dense.MultiHeadAttention(), x, x[None], b, **SPARSE)
