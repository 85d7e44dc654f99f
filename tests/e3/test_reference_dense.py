"""Dense features against e3x with the same weights, in float64."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.e3 import dense
from equipot.e3.dense import coupling, initializers, so3

e3x = pytest.importorskip("e3x")
pytestmark = [
    pytest.mark.reference,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning"),
]
KEY = jax.random.PRNGKey(0)


@pytest.fixture(autouse=True)
def _double_precision():
    """The oracle relies on promotions that the rest of the tests forbid."""
    with (
        jax.enable_x64(True),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def agree(ours, theirs, atol=1e-11):
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype == jnp.float64
    np.testing.assert_allclose(ours, theirs, atol=atol, rtol=1e-11)


@pytest.mark.parametrize("cartesian_order", [True, False])
@pytest.mark.parametrize("normalization", ["racah", "schmidt", "4pi", "orthonormal"])
def test_harmonics_are_equal_to_degree_11(normalization, cartesian_order):
    r = normal(6, 3).at[0].set(0.0)
    settings = {"cartesian_order": cartesian_order, "normalization": normalization}
    ours = so3.spherical_harmonics(r, 11, **settings)
    agree(ours, e3x.so3.spherical_harmonics(r, 11, **settings))
    unit = r[1:] / jnp.linalg.norm(r[1:], axis=-1, keepdims=True)
    ours = so3.spherical_harmonics(unit, 3, r_is_normalized=True, **settings)
    agree(ours, e3x.so3.spherical_harmonics(unit, 3, r_is_normalized=True, **settings))


@pytest.mark.parametrize("cartesian_order", [True, False])
def test_solid_harmonics_and_their_derivatives_are_equal(cartesian_order):
    r = normal(3, 3).at[0].set(0.0)
    values, slopes = [], []
    for package in (so3, e3x.so3):
        harmonics = functools.partial(
            package.solid_harmonics, max_degree=6, cartesian_order=cartesian_order
        )
        values.append(harmonics(r))
        slopes.append(jax.vmap(jax.jacobian(harmonics))(r))
    agree(*values)
    agree(*slopes, atol=1e-9)


@pytest.mark.parametrize("cartesian_order", [True, False])
def test_couplings_are_equal_with_their_signs(cartesian_order):
    for degrees in ((3, 3, 6), (4, 2, 5), (6, 6, 6)):
        ours = so3.clebsch_gordan(*degrees, cartesian_order=cartesian_order)
        theirs = e3x.so3.clebsch_gordan(*degrees, cartesian_order=cartesian_order)
        np.testing.assert_allclose(ours, theirs, atol=1e-13)


@pytest.mark.parametrize("cartesian_order", [True, False])
def test_wigner_matrices_are_equal(cartesian_order):
    rot = so3.random_rotation(KEY, num=3)
    agree(so3.wigner_d(rot, 6, cartesian_order), e3x.so3.wigner_d(rot, 6, cartesian_order))


def test_rotations_are_equal():
    u, v, angle = normal(5, 3), normal(5, 3, seed=1), normal(5)
    agree(so3.rotation(u, angle), e3x.so3.rotation(u, angle))
    agree(so3.alignment_rotation(u, v), e3x.so3.alignment_rotation(u, v))
    a, b, c = normal(3, 5, seed=2)
    rot = so3.rotation_euler(a, b, c)
    agree(rot, e3x.so3.rotation_euler(a, b, c))
    ours, theirs = so3.euler_angles_from_rotation(rot), e3x.so3.euler_angles_from_rotation(rot)
    agree(jnp.stack(ours), jnp.stack(theirs))


@pytest.mark.parametrize("degree", range(5))
@pytest.mark.parametrize("cartesian_order", [True, False])
@pytest.mark.parametrize("normalization", ["racah", "4pi", "orthonormal"])
def test_cartesian_tensors_are_equal(degree, cartesian_order, normalization):
    x = normal(4, 2 * degree + 1)
    arguments = (degree, cartesian_order, normalization)
    tensor = dense.irreps_to_tensor(x, *arguments)
    agree(tensor, e3x.so3.irreps_to_tensor(x, *arguments))
    agree(dense.tensor_to_irreps(tensor, *arguments), x)
    agree(e3x.so3.tensor_to_irreps(tensor, *arguments), x)
    for some in (tensor, tensor.at[..., -1].add(1.0)):
        ours = dense.is_traceless_symmetric(some, degree)
        assert ours == e3x.so3.is_traceless_symmetric(some, degree)


def test_additions_changes_rotations_and_reflections_are_equal():
    one, two = normal(5, 1, 9, 4), normal(5, 2, 16, 4, seed=1)
    agree(dense.add(one, two, one), e3x.nn.add(one, two, one))
    for x, degree, kind in itertools.product((one, two), (None, 0, 1, 4), (None, True, False)):
        ours = dense.change_max_degree_or_type(x, degree, kind)
        agree(ours, e3x.nn.change_max_degree_or_type(x, degree, kind))
    d = so3.wigner_d(so3.random_rotation(KEY, num=5), 3)
    agree(dense.rotate(two, d), e3x.nn.rotate(two, d))
    agree(dense.rotate(two, d[0]), e3x.nn.rotate(two, d[0]))
    for x in (one, two):
        agree(dense.reflect(x), e3x.nn.reflect(x))
    for degree in range(4):
        np.testing.assert_array_equal(
            dense.even_degree_mask(degree), e3x.nn.even_degree_mask(degree)
        )
        np.testing.assert_array_equal(dense.odd_degree_mask(degree), e3x.nn.odd_degree_mask(degree))


@pytest.mark.parametrize("num_parity", [1, 2])
@pytest.mark.parametrize("max_degree", [0, 1, 3])
def test_dense_is_equal(num_parity, max_degree):
    x = normal(5, num_parity, (max_degree + 1) ** 2, 4)
    same_weights(dense.Dense(6), e3x.nn.Dense(6, param_dtype=jnp.float64), x)


def test_embed_is_equal():
    settings = {"num_embeddings": 7, "features": 4, "param_dtype": jnp.float64}
    same_weights(dense.Embed(**settings), e3x.nn.Embed(**settings), jnp.arange(5).reshape(5, 1))


@pytest.mark.parametrize("include_pseudotensors", [True, False])
@pytest.mark.parametrize("parities", [(1, 1), (1, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize("degrees", [(0, 0, 0), (0, 2, 1), (1, 1, 0), (2, 1, 3), (3, 3, 3)])
@pytest.mark.parametrize("cartesian_order", [True, False])
def test_tensor_is_equal(include_pseudotensors, parities, degrees, cartesian_order):
    if not cartesian_order and degrees != (2, 1, 3):
        pytest.skip("one choice of degrees is enough for the other order")
    x, y = (normal(3, p, (l + 1) ** 2, 2, seed=p) for p, l in zip(parities, degrees, strict=False))
    settings = {"include_pseudotensors": include_pseudotensors, "max_degree": degrees[2]}
    settings["cartesian_order"] = cartesian_order
    theirs = e3x.nn.Tensor(param_dtype=jnp.float64, **settings)
    same_weights(dense.Tensor(**settings), theirs, x, y)


@pytest.mark.parametrize("written_out", [0, 10**6])
def test_both_forms_of_the_tensor_product_are_equal_to_theirs(written_out, monkeypatch):
    monkeypatch.setattr(coupling, "_WRITTEN_OUT", written_out)
    x, y = normal(3, 2, 9, 2), normal(1, 2, 9, 2, seed=1)
    same_weights(dense.Tensor(), e3x.nn.Tensor(param_dtype=jnp.float64), x, y)


@pytest.mark.parametrize("use_fused_tensor", [True, False])
@pytest.mark.parametrize("include_pseudotensors", [True, False])
@pytest.mark.parametrize("num_parity", [1, 2])
def test_tensor_dense_is_equal(use_fused_tensor, include_pseudotensors, num_parity):
    x = normal(3, num_parity, 9, 4)
    settings = {"features": 3, "include_pseudotensors": include_pseudotensors}
    settings |= {"use_fused_tensor": use_fused_tensor, "max_degree": 3}
    theirs = e3x.nn.TensorDense(param_dtype=jnp.float64, **settings)
    same_weights(dense.TensorDense(**settings), theirs, x)


@pytest.mark.parametrize("include_pseudotensors", [True, False])
@pytest.mark.parametrize("parities", [(1, 1), (1, 2), (2, 2)])
@pytest.mark.parametrize("degrees", [(0, 0, 0), (2, 1, 3), (3, 2, 2)])
def test_fused_tensor_is_equal(include_pseudotensors, parities, degrees):
    x, y = (normal(3, p, (l + 1) ** 2, 2, seed=p) for p, l in zip(parities, degrees, strict=False))
    settings = {"include_pseudotensors": include_pseudotensors, "max_degree": degrees[2]}
    theirs = e3x.nn.FusedTensor(param_dtype=jnp.float64, **settings)
    same_weights(dense.FusedTensor(**settings), theirs, x, y)


@pytest.mark.parametrize(
    "name",
    "relu leaky_relu relu6 elu selu celu gelu silu swish hard_silu hard_swish hard_tanh mish serf "
    "shifted_softplus soft_sign bent_identity".split(),
)
def test_activations_are_equal(name):
    values = np.concatenate([np.linspace(-9.0, 9.0, 73), [0.05, -0.05, 1e-3, -1e-3]])
    for num_parity, components in ((1, 1), (2, 4)):
        x = normal(num_parity, components, len(values)).at[0, 0].set(values)
        agree(getattr(dense, name)(x), getattr(e3x.nn, name)(x))
    if name in ("elu", "celu"):
        agree(getattr(dense, name)(x, alpha=0.5), getattr(e3x.nn, name)(x, alpha=0.5))
    if name == "gelu":
        agree(dense.gelu(x, approximate=False), e3x.nn.gelu(x, approximate=False))


@pytest.mark.parametrize("kind", ["lecun", "glorot", "he", "xavier", "kaiming"])
@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_initial_weights_have_the_same_deviations(kind, distribution):
    shape = (1, 3, 2, 2, 2, 3, 4000)
    name = f"tensor_{kind}_{distribution}"
    ours = getattr(initializers, name)()(KEY, shape, jnp.float64)
    theirs = getattr(e3x.nn.initializers, name)()(KEY, shape, jnp.float64)
    np.testing.assert_allclose(ours.std(-1), theirs.std(-1), rtol=0.05)
    np.testing.assert_array_equal(ours == 0, theirs == 0)


def same_weights(ours, theirs, *inputs):
    """Their parameters, drawn anew, have the names and shapes of ours and give equal results."""
    variables = jax.jit(theirs.init)(KEY, *inputs)
    shapes = jax.eval_shape(ours.init, KEY, *inputs)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(lambda leaf: leaf.shape, shapes)
    leaves, tree = jax.tree.flatten(variables)
    leaves = [normal(*leaf.shape, seed=i) * (leaf != 0) for i, leaf in enumerate(leaves)]
    variables = jax.tree.unflatten(tree, leaves)
    agree(jax.jit(ours.apply)(variables, *inputs), jax.jit(theirs.apply)(variables, *inputs))
