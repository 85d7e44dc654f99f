"""The algebra against e3nn-jax: coefficients, harmonics, products, layers, functions."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3

e3nn = pytest.importorskip("e3nn_jax")
pytestmark = [
    pytest.mark.reference,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning"),
]


@pytest.fixture(autouse=True)
def _standard_numerics():
    """The oracle relies on promotions that the rest of the tests forbid."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def pair(irreps, lead=(), seed=0):
    """The same random data for both packages."""
    irreps = e3.Irreps(irreps)
    data = np.random.default_rng(seed).normal(size=(*lead, irreps.dim)).astype(np.float32)
    return e3.IrrepsArray(irreps, data), e3nn.IrrepsArray(str(irreps), jnp.asarray(data))


def compare(ours, theirs, atol=1e-5):
    assert str(ours.irreps) == str(theirs.irreps)
    np.testing.assert_allclose(ours.array, theirs.array, atol=atol, rtol=1e-4)


def test_clebsch_gordan_coefficients_are_equal_with_their_signs():
    for l1, l2 in itertools.product(range(6), repeat=2):
        for l3 in range(abs(l1 - l2), min(l1 + l2, 6) + 1):
            theirs = e3nn.clebsch_gordan(l1, l2, l3)
            np.testing.assert_allclose(e3.clebsch_gordan(l1, l2, l3), theirs, atol=1e-12)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("normalization", ["component", "norm", "integral"])
def test_spherical_harmonics_are_equal(normalize, normalization):
    ours, theirs = pair("1o", (5,))
    compare(
        e3.spherical_harmonics(range(9), ours / 2, normalize, normalization),
        e3nn.spherical_harmonics(list(range(9)), theirs / 2, normalize, normalization),
        atol=1e-4,
    )


def test_representation_matrices_are_equal():
    irreps = "2x0o+1e+2o+3e+5o"
    angles = (0.3, 0.5, 0.7)
    ours = e3.Irreps(irreps).D_from_angles(*angles, k=1)
    theirs = e3nn.Irreps(irreps).D_from_angles(*angles, k=1)
    np.testing.assert_allclose(ours, theirs, atol=2e-6)
    v = np.array([0.3, -0.4, 1.2], np.float32)
    ours = e3.Irreps(irreps).D_from_log_coordinates(v)
    np.testing.assert_allclose(ours, e3nn.Irreps(irreps).D_from_log_coordinates(v), atol=1e-5)
    for l in range(5):
        np.testing.assert_allclose(
            e3.Irrep(l, 1).generators(), e3nn.Irrep(l, 1).generators(), atol=1e-12
        )


@pytest.mark.parametrize("regroup", [True, False])
@pytest.mark.parametrize("normalization", ["component", "norm", "none"])
def test_tensor_products_are_equal(regroup, normalization):
    x, x_ = pair("2x1o+0e+2e", (3,))
    y, y_ = pair("1o+2x0o+1e", (3,), seed=1)
    if normalization != "none":
        options = {"irrep_normalization": normalization, "regroup_output": regroup}
        compare(e3.tensor_product(x, y, **options), e3nn.tensor_product(x_, y_, **options))
    options = {"irrep_normalization": normalization}
    compare(
        e3.elementwise_tensor_product(x, y, **options),
        e3nn.elementwise_tensor_product(x_, y_, **options),
    )


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("normalization", ["component", "norm", "none"])
def test_tensor_squares_are_equal(normalized, normalization):
    x, x_ = pair("2x0e+2x1o+2e", (3,))
    options = {"irrep_normalization": normalization, "normalized_input": normalized}
    compare(e3.tensor_square(x, **options), e3nn.tensor_square(x_, **options), atol=1e-4)


def test_gradients_are_equal():
    x, x_ = pair("2x0e+1o+2e", (3,))
    ours = e3.grad(lambda x: e3.tensor_square(x))(x)
    compare(ours, e3nn.grad(lambda x: e3nn.tensor_square(x))(x_), atol=1e-4)


LAYERS = [
    ("3x0e+2x1o", "1o+3x0e+1o", {}, None),
    ("1o+0e+2x1o+2e", "2x1o+3e+0e", {"biases": True}, None),
    ("1o+0e+1o", "1o+2e+1o", {}, None),
    ("1o+0e+1o", "1o+1o+0e", {"simplify_irreps_internally": False}, None),
    ("1o+2x0e+1o", "2e+1o", {"force_irreps_out": True}, None),
    ("1o+2x0e+3x1o", "2x1o+1o+0e", {"path_normalization": "path"}, None),
    (
        "1o+2x0e+3x1o",
        "2x1o+0e",
        {"path_normalization": "path", "simplify_irreps_internally": False},
        None,
    ),
    ("1o+2x0e+3x1o", "2x1o+0e", {"gradient_normalization": "element"}, None),
    ("2x0e+3x1o", "4x0e+2x1o", {"num_indexed_weights": 3}, np.array([0, 2, 1, 1])),
    ("2x0e+3x1o", "4x0e+2x1o", {}, np.linspace(-1, 1, 20, dtype=np.float32).reshape(4, 5)),
    ("2x0e+3x1o", "4x0e+2x1o", {"channel_out": 3}, None),
]


@pytest.mark.parametrize(("irreps_in", "irreps_out", "options", "weights"), LAYERS)
def test_linear_layers_are_equal_given_the_same_parameters(irreps_in, irreps_out, options, weights):
    x, x_ = pair(irreps_in, (4,))
    inputs = () if weights is None else (jnp.asarray(weights),)
    theirs = e3nn.flax.Linear(irreps_out, **options)
    variables = theirs.init(jax.random.key(0), *inputs, x_)
    variables = jax.tree.map(lambda w: w + 0.1, variables)
    ours = e3.nn.Linear(irreps_out, **options)
    assert jax.tree.map(jnp.shape, ours.init(jax.random.key(0), *inputs, x)) == jax.tree.map(
        jnp.shape, variables
    )
    compare(ours.apply(variables, *inputs, x), theirs.apply(variables, *inputs, x_))


def test_gates_and_activations_are_equal_up_to_their_moment_constants():
    x, x_ = pair("4x0e+3x0o+1o+2e+1e", (3,))
    compare(e3.gate(x), e3nn.gate(x_), atol=1e-4)
    compare(e3.gate(x, normalize_act=False), e3nn.gate(x_, normalize_act=False))
    acts = [jnp.tanh, jnp.cos, None, jnp.tanh, None]
    compare(e3.norm_activation(x, acts), e3nn.norm_activation(x_, acts))


def test_radial_functions_are_equal():
    r = jnp.array([-0.1, 0.0, 0.3, 0.7, 1.0, 1.2])
    for basis in ("gaussian", "cosine", "smooth_finite", "fourier"):
        for cutoff in (True, False):
            options = {"start": 0.0, "end": 1.0, "number": 4, "basis": basis, "cutoff": cutoff}
            np.testing.assert_allclose(
                e3.soft_one_hot_linspace(r, **options),
                e3nn.soft_one_hot_linspace(r, **options),
                atol=1e-5,
            )
    r = r[1:]
    np.testing.assert_allclose(e3.bessel(r, 5, 2.0), e3nn.bessel(r, 5, 2.0), atol=1e-5)
    for n0, n1 in ((5, 2), (3, 4), (0, 1)):
        ours, theirs = e3.poly_envelope(r, n0, n1, 1.1), e3nn.poly_envelope(n0, n1, 1.1)(r)
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    np.testing.assert_allclose(e3.soft_envelope(r), e3nn.soft_envelope(r), atol=1e-6)


def test_layouts_are_equal():
    x, x_ = pair("1o+2x0e+1o+2e+2x0e", (2, 3))
    for name in ("sort", "regroup", "simplify", "axis_to_mul", "axis_to_irreps"):
        compare(getattr(x, name)(), getattr(x_, name)())
    compare(e3.sum(x), e3nn.sum(x_))
    compare(e3.mean(x, axis=(0, 2)), e3nn.mean(x_, axis=(0, 2)))
    compare(e3.norm(x), e3nn.norm(x_))
    compare(x[..., "1o+2e"], x_[..., "1o+2e"])
    compare(x * e3.ones("7x0e"), x_ * e3nn.ones("7x0e"))
