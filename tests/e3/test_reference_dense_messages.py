"""Radial functions, index lists, messages and attention of dense features against e3x."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.e3.dense import attention, bases, cutoffs, indexed, indices, message_pass, ops, radial

e3x = pytest.importorskip("e3x")
pytestmark = pytest.mark.reference

functions = types.SimpleNamespace(
    reciprocal_gaussian=radial.reciprocal_gaussian,
    smooth_cutoff=cutoffs.smooth_cutoff,
    smooth_damping=cutoffs.smooth_damping,
)
FUNCTIONS = ["smooth_cutoff", "cosine_cutoff", "smooth_switch", "smooth_damping"]
BASES = ["bernstein", "chebyshev", "fourier", "gaussian"]
WINDOWS = ["rectangular_window", "triangular_window", "smooth_window"]


@pytest.fixture(autouse=True)
def _double_precision():
    """The oracle relies on promotions that the rest of the tests forbid."""
    with (
        jax.enable_x64(True),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield


def close(ours, theirs, atol=1e-10):
    assert jnp.shape(ours) == jnp.shape(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=atol)


def compare_functions(ours, theirs, x, slope_from=0, atol=1e-10):
    """Values and first derivatives, these from an entry of x on."""
    values, slopes = with_slope(ours)(x)
    other_values, other_slopes = with_slope(theirs)(x)
    close(values, other_values, atol)
    close(slopes[slope_from:], other_slopes[slope_from:], atol)


def with_slope(f):
    return jax.jit(lambda x: jax.jvp(f, (x,), (jnp.ones_like(x),)))


def distances(stop=3.1):
    """From zero on, without the kinks at fractions of the limits."""
    return jnp.concatenate([jnp.zeros(1), jnp.linspace(0.013, stop, 29)])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_cutoffs_are_equal(name):
    ours, theirs = getattr(cutoffs, name), getattr(e3x.nn, name)
    compare_functions(ours, theirs, distances())
    for args in ((0.2, 1.4), (-0.5,)) if name == "smooth_switch" else ((1.7,), (0.3,)):
        compare_functions(lambda x: ours(x, *args), lambda x: theirs(x, *args), distances())  # noqa: B023


@pytest.mark.parametrize("name", [*WINDOWS, *(f"basic_{basis}" for basis in BASES), "sinc"])
@pytest.mark.parametrize(("num", "limit"), [(1, 1.0), (7, 2.0), (32, 0.9)])
def test_basic_functions_are_equal(name, num, limit):
    module = cutoffs if name in WINDOWS else radial
    ours, theirs = getattr(module, name), getattr(e3x.nn, name)
    # Theirs takes logarithms for Bernstein polynomials, whose errors grow with their degree.
    atol = 1e-6 if (name, num) == ("basic_bernstein", 32) else 1e-10
    compare_functions(
        lambda x: ours(x, num, limit),
        lambda x: theirs(x, num, limit),
        distances(0.97 * limit),
        slope_from=int(name == "triangular_window"),  # there is a kink at zero
        atol=atol,
    )
    beyond = limit * jnp.array([1.0, 1.01, 4.0])
    close(ours(beyond, num, limit), theirs(beyond, num, limit), atol)


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("weighted", [True, False])
def test_mapped_functions_are_equal(basis, weighted):
    x = distances(9.0)
    for kind in ("shifted", "damped", "cuspless"):
        name, args = f"reciprocal_{basis}", (5, kind, weighted)
        ours, theirs = getattr(radial, name), getattr(e3x.nn, name)
        compare_functions(lambda x: ours(x, *args), lambda x: theirs(x, *args), x)  # noqa: B023
    for cuspless in (True, False):
        name, args = f"exponential_{basis}", (6, 1.3, cuspless, weighted)
        ours, theirs = getattr(radial, name), getattr(e3x.nn, name)
        compare_functions(lambda x: ours(x, *args), lambda x: theirs(x, *args), x)  # noqa: B023


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (2, 1)])
def test_norms_are_equal(axis):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4)))
    for keepdims in (True, False):
        close(ops.norm(x, axis, keepdims), e3x.ops.norm(x, axis, keepdims))
        for ours, theirs in zip(
            ops.normalize_and_return_norm(x, axis, keepdims),
            e3x.ops.normalize_and_return_norm(x, axis, keepdims),
            strict=True,
        ):
            close(ours, theirs)
    close(ops.normalize(x, axis), e3x.ops.normalize(x, axis))
    jacobians = [
        jax.jacobian(functools.partial(f, axis=axis))(x) for f in (ops.normalize, e3x.ops.normalize)
    ]
    close(*jacobians)


def test_inverse_softplus_is_equal():
    x = jnp.array([1e-6, 1e-2, 1.0, 30.0])
    close(ops.inverse_softplus(x), e3x.ops.inverse_softplus(x))


def test_derivatives_are_equal():
    x = jnp.linspace(0.0, 2.0, 5)
    for a, b in zip(
        ops.evaluate_derivatives(jnp.sin, x, 3),
        e3x.ops.evaluate_derivatives(jnp.sin, x, 3),
        strict=True,
    ):
        close(a, b)
    for a, b in zip(
        ops.evaluate_derivatives(lambda x: radial.sinc(x, 3), x, 2),
        e3x.ops.evaluate_derivatives(lambda x: e3x.nn.sinc(x, 3), x, 2),
        strict=True,
    ):
        close(a[:-2], b[:-2], 1e-9)


def vectors(num=6, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(scale=0.4, size=(num, 3)))


@pytest.mark.parametrize("damping", ["smooth_damping", None])
@pytest.mark.parametrize("cartesian", [True, False])
def test_bases_are_equal(damping, cartesian):
    def make(nn, module):
        return module.basis(
            vectors(),
            max_degree=3,
            num=4,
            radial_fn=nn.reciprocal_gaussian,
            cutoff_fn=nn.smooth_cutoff,
            damping_fn=damping and nn.smooth_damping,
            return_cutoff=True,
            return_norm=True,
            cartesian_order=cartesian,
        )

    for a, b in zip(make(functions, bases), make(e3x.nn, e3x.nn), strict=True):
        close(a, b)


def test_learned_bases_are_equal():
    options = {"max_degree": 2, "num": 5}
    ours, theirs = (m.ExponentialBasis(0.7) for m in (bases, e3x.nn))
    variables = theirs.init(
        jax.random.key(0), r=vectors(), radial_fn=e3x.nn.exponential_bernstein, **options
    )
    assert jax.tree.structure(variables) == jax.tree.structure(
        ours.init(jax.random.key(0), r=vectors(), radial_fn=radial.exponential_bernstein, **options)
    )
    variables = jax.tree.map(lambda w: w.astype(jnp.float64) + 0.1, variables)
    close(
        ours.apply(variables, vectors(), radial_fn=radial.exponential_bernstein, **options),
        theirs.apply(variables, r=vectors(), radial_fn=e3x.nn.exponential_bernstein, **options),
    )


ADJ_IDX = np.array([[1, 2, 3], [4, 4, 4], [0, 1, 4], [1, 4, 4]])
DST_IDX, SRC_IDX = np.array([0, 0, 2, 2, 2, 3, 4]), np.array([1, 2, 0, 3, 2, 3, 4])
SPARSE = {"dst_idx": DST_IDX, "num_segments": 4, "indices_are_sorted": True}


def test_lists_are_equal():
    for num, mask_self in ((5, True), (3, False), (1, True)):
        for name in ("dense_pairwise_indices", "sparse_pairwise_indices"):
            ours, theirs = getattr(indices, name), getattr(e3x.ops, name)
            for a, b in zip(ours(num, mask_self), theirs(num, mask_self), strict=True):
                close(a, b)
    adj_idx, dst_idx, src_idx = jnp.asarray(ADJ_IDX), jnp.asarray(DST_IDX), jnp.asarray(SRC_IDX)
    batch = jnp.stack([adj_idx, adj_idx[::-1]])
    for pad_idx in (4, None):
        for table in (adj_idx, batch):
            for a, b in zip(
                indices.dense_to_sparse_indices(table, pad_idx),
                e3x.ops.dense_to_sparse_indices(table, pad_idx),
                strict=True,
            ):
                close(a, b)
        for pair in ((dst_idx, src_idx), (jnp.stack([dst_idx] * 2), jnp.stack([src_idx] * 2))):
            ours = indices.sparse_to_dense_indices(*pair, pad_idx)
            close(ours, e3x.ops.sparse_to_dense_indices(*pair, pad_idx))


def test_gathered_values_are_equal_but_at_padding():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2)))
    real = ADJ_IDX < 4
    for index, here in (
        ({"adj_idx": ADJ_IDX}, real),
        ({"dst_idx": DST_IDX, "src_idx": SRC_IDX}, SRC_IDX < 4),
    ):
        index = {k: jnp.asarray(v) for k, v in index.items()}
        ours, theirs = indices.gather_src(x, **index), e3x.ops.gather_src(x, **index)
        close(ours[here], theirs[here])
        ours, theirs = indices.gather_dst(x, **index), e3x.ops.gather_dst(x, **index)
        close(ours, theirs) if "adj_idx" in index else close(ours[here], theirs[here])


@pytest.mark.parametrize("name", ["sum", "min", "max"])
@pytest.mark.parametrize("keepdims", [True, False])
def test_reductions_are_equal_where_there_are_neighbors(name, keepdims):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3, 2)))
    ours, theirs = getattr(indexed, f"indexed_{name}"), getattr(e3x.ops, f"indexed_{name}")
    dense = {"adj_idx": jnp.asarray(ADJ_IDX), "where": jnp.asarray(ADJ_IDX < 4)}
    rows = np.arange(4) if name == "sum" else np.array([0, 2, 3])
    close(ours(x, keepdims, **dense)[rows], theirs(x, keepdims, **dense)[rows])
    flat = x.reshape(12, 2)[:7]
    sparse = {k: jnp.asarray(v) if k == "dst_idx" else v for k, v in SPARSE.items()}
    rows = np.arange(6) if keepdims else np.array([0, 2, 3])
    close(ours(flat, keepdims, **sparse)[rows], theirs(flat, keepdims, **sparse)[rows])


@pytest.mark.parametrize("masked", [True, False])
def test_softmax_is_equal_where_there_are_neighbors(masked):
    rng = np.random.default_rng(0)
    x, mask = jnp.asarray(rng.normal(size=(4, 3))), jnp.asarray(rng.uniform(size=(4, 3)))
    mask = mask.at[0, 1].set(0.0)
    dense = {"adj_idx": jnp.asarray(ADJ_IDX), "where": jnp.asarray(ADJ_IDX < 4)}
    real = ADJ_IDX < 4
    args = (mask,) if masked else ()
    ours, theirs = (
        f(x, *args, **dense) for f in (indexed.indexed_softmax, e3x.ops.indexed_softmax)
    )
    close(ours[real], theirs[real])
    sparse = {k: jnp.asarray(v) if k == "dst_idx" else v for k, v in SPARSE.items()}
    args = (mask.reshape(-1)[:7],) if masked else ()
    ours, theirs = (
        f(x.reshape(-1)[:7], *args, **sparse)
        for f in (indexed.indexed_softmax, e3x.ops.indexed_softmax)
    )
    close(ours[:6], theirs[:6])


def molecule(num_parity, max_degree, num_features=4, num=5, seed=0):
    """Features of atoms, and a basis and cutoff of their pairs in sparse and dense form."""
    rng = np.random.default_rng(seed)
    x = jnp.asarray(rng.normal(size=(num, num_parity, (max_degree + 1) ** 2, num_features)))
    positions = jnp.asarray(rng.normal(scale=0.35, size=(num, 3)))
    forms = []
    dst_idx, src_idx = indices.sparse_pairwise_indices(num)
    for index in (
        {"dst_idx": dst_idx, "src_idx": src_idx},
        {"adj_idx": indices.dense_pairwise_indices(num)},
    ):
        r = indices.gather_src(positions, **index) - indices.gather_dst(positions, **index)
        b, cutoff = bases.basis(
            r,
            max_degree=2,
            num=3,
            radial_fn=radial.sinc,
            cutoff_fn=cutoffs.smooth_cutoff,
            return_cutoff=True,
        )
        forms.append((b, cutoff, index))
    return x, forms


def compare_modules(name, options, inputs, index):
    """The same output from the same parameters; the parameters have the same names and shapes."""
    module = message_pass if name == "MessagePass" else attention
    ours = getattr(module, name)(**options)
    theirs = getattr(e3x.nn, name)(**options, param_dtype=jnp.float64)
    variables = theirs.init(jax.random.key(0), *inputs, **index)
    shapes = jax.eval_shape(lambda: ours.init(jax.random.key(0), *inputs, **index))
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, shapes)
    leaves, tree = jax.tree.flatten(variables)
    rng = np.random.default_rng(0)
    variables = tree.unflatten([w + 0.1 * rng.normal(size=w.shape) for w in leaves])
    expected = jax.jit(lambda v: theirs.apply(v, *inputs, **index))(variables)
    close(jax.jit(lambda v: ours.apply(v, *inputs, **index))(variables), expected)


MESSAGES = [
    (1, 0, {}),
    (1, 1, {}),
    (2, 1, {"max_degree": 3}),
    (2, 2, {"include_pseudotensors": False, "use_basis_bias": True}),
    (1, 1, {"cartesian_order": False, "max_degree": 1}),
    (1, 1, {"use_fused_tensor": True}),
    (2, 1, {"use_fused_tensor": True, "include_pseudotensors": False}),
]


@pytest.mark.parametrize(("num_parity", "max_degree", "options"), MESSAGES)
def test_messages_are_equal_given_the_same_parameters(num_parity, max_degree, options):
    x, forms = molecule(num_parity, max_degree)
    for b, cutoff, index in forms:
        compare_modules("MessagePass", options, (x, b), index)
        weights = cutoff[..., None, None, None]
    compare_modules("MessagePass", options, (x, b, weights), index)


ENCODINGS = [
    {"use_relative_positional_encoding_qk": qk, "use_relative_positional_encoding_v": v}
    for qk in (True, False)
    for v in (True, False)
]
BIASES = {f"{role}_use_bias": True for role in ("query", "key", "value")}


@pytest.mark.parametrize("encodings", ENCODINGS)
@pytest.mark.parametrize(
    ("num_parity", "max_degree", "options"),
    [
        (1, 1, {"num_heads": 2}),
        (2, 1, {"num_heads": 3, "qkv_features": 6, "out_features": 5, "use_basis_bias": True}),
        (2, 0, {"max_degree": 1, "include_pseudotensors": False, **BIASES}),
        (1, 1, {"num_heads": 2, "use_fused_tensor": True}),
    ],
)
def test_self_attention_is_equal_given_the_same_parameters(
    num_parity, max_degree, options, encodings
):
    x, forms = molecule(num_parity, max_degree)
    for b, cutoff, index in forms if all(encodings.values()) else forms[:1]:
        compare_modules("SelfAttention", options | encodings, (x, b, cutoff), index)


@pytest.mark.parametrize("encodings", ENCODINGS)
@pytest.mark.parametrize(("of_queries", "of_values"), [((1, 2), (2, 1)), ((2, 1), (1, 2))])
def test_multi_head_attention_is_equal_given_the_same_parameters(of_queries, of_values, encodings):
    x, forms = molecule(*of_queries)
    y, _ = molecule(*of_values, num_features=6, seed=1)
    for b, cutoff, index in forms:
        compare_modules(
            "MultiHeadAttention", {"num_heads": 2} | encodings, (x, y, b, cutoff), index
        )
