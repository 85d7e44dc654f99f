"""Layers and functional products against e3nn-jax, with the same weights, in float64."""

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3
from equipot.e3.products.functional_linear import FunctionalLinear
from equipot.e3.products.functional_tensor_product import (
    FunctionalFullyConnectedTensorProduct,
    FunctionalTensorProduct,
)

e3nn = pytest.importorskip("e3nn_jax")
legacy = pytest.importorskip("e3nn_jax.legacy")
pytestmark = [
    pytest.mark.reference,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning"),
]
SEEDS = range(4)
IRREPS = ["0e", "0o", "1e", "1o", "2e", "2o", "3o"]


@pytest.fixture(autouse=True)
def _float64_and_standard_promotion():
    """The oracle relies on promotions that the rest of the tests forbid."""
    with (
        jax.enable_x64(True),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield


def random_irreps(rng, number=4, kinds=IRREPS):
    return "+".join(f"{rng.integers(1, 5)}x{rng.choice(kinds)}" for _ in range(number))


def pair(irreps, lead=(), seed=0):
    """The same random data for both packages."""
    irreps = e3.Irreps(irreps)
    data = np.random.default_rng(seed).normal(size=(*lead, irreps.dim))
    return e3.IrrepsArray(irreps, data), e3nn.IrrepsArray(str(irreps), jnp.asarray(data))


def random_weights(instructions, seed=1, weighted=lambda item: True):
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.normal(size=i.path_shape)) for i in instructions if weighted(i)]


def close(ours, theirs):
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours, theirs, atol=1e-11, rtol=1e-11)


def compare(ours, theirs):
    assert str(ours.irreps) == str(theirs.irreps)
    close(ours.array, theirs.array)


def normalised(seed):
    """The normalisations of a seed: the names, and numbers between them."""
    path, gradient = [("element", "path"), ("path", "element"), (0.3, 0.75), (1.0, 0.0)][seed]
    return {"path_normalization": path, "gradient_normalization": gradient}


@pytest.mark.parametrize("seed", SEEDS)
def test_functional_linear_maps_are_equal(seed):
    rng = np.random.default_rng(seed)
    irreps = random_irreps(rng), random_irreps(rng)
    ours = FunctionalLinear(*irreps, biases=True, **normalised(seed))
    theirs = e3nn.FunctionalLinear(*irreps, biases=True, **normalised(seed))
    assert [tuple(i)[:3] for i in ours.instructions] == [
        (i.i_in, i.i_out, i.path_shape) for i in theirs.instructions
    ]
    close(
        np.array([tuple(i)[3:] for i in ours.instructions]).reshape(-1, 2),
        np.reshape([(i.path_weight, i.weight_std) for i in theirs.instructions], (-1, 2)),
    )
    np.testing.assert_array_equal(ours.output_mask, theirs.output_mask)
    assert ours.num_weights == theirs.num_weights
    x, x_ = pair(irreps[0])
    ws = random_weights(ours.instructions)
    compare(ours(ws, x), theirs(ws, x_))
    flat = jnp.concatenate([jnp.zeros(0), *(w.ravel() for w in ws)])
    compare(ours(flat, x), theirs(ws, x_))


@pytest.mark.parametrize("seed", SEEDS)
def test_matrices_of_linear_maps_are_equal(seed):
    rng = np.random.default_rng(seed)
    irreps = random_irreps(rng), random_irreps(rng)
    ours, theirs = FunctionalLinear(*irreps), e3nn.FunctionalLinear(*irreps)
    ws = random_weights(ours.instructions)
    close(ours.matrix(ws), theirs.matrix(ws))


LINEAR = [
    ("3x0e+2x1o", "1o+3x0e+1o", {}, None),
    ("1o+0e+2x1o+2e", "2x1o+3e+0e", {"biases": True}, None),
    ("1o+0e+1o", "1o+1o+0e", {"simplify_irreps_internally": False}, None),
    ("1o+2x0e+1o", "2e+1o", {"force_irreps_out": True}, None),
    ("1o+2x0e+3x1o", "2x1o+1o+0e", {"path_normalization": "path"}, None),
    ("1o+2x0e+3x1o", "2x1o+0e", {"gradient_normalization": 0.3}, None),
    (
        "1o+2x0e+3x1o",
        "2x1o+2e+1o",
        {
            "instructions": [(0, 2), (2, 0)],
            "simplify_irreps_internally": False,
            "force_irreps_out": True,
        },
        None,
    ),
    ("2x0e+3x1o", "4x0e+2x1o", {"num_indexed_weights": 3, "biases": True}, np.array([0, 2, 1, 1])),
    ("2x0e+3x1o", "4x0e+2x1o", {"biases": True}, np.linspace(-1, 1, 20).reshape(4, 5)),
    ("2x0e+3x1o", "4x0e+2x1o", {"channel_out": 3}, None),
    (
        "2x0e+3x1o",
        "4x0e+2x1o",
        {"weights_per_channel": True, "biases": True},
        np.linspace(-1, 1, 10).reshape(2, 5),
    ),
]


@pytest.mark.parametrize(("irreps_in", "irreps_out", "options", "weights"), LINEAR)
def test_linear_layers_are_equal(irreps_in, irreps_out, options, weights):
    lead = (2, 4) if "weights_per_channel" in options else (4,)
    x, x_ = pair(irreps_in, lead)
    inputs = () if weights is None else (jnp.asarray(weights),)
    needed = {"irreps_in": x_.irreps} if "instructions" in options else {}
    theirs = e3nn.flax.Linear(irreps_out, **needed, **options)
    variables = theirs.init(jax.random.key(0), *inputs, x_)
    variables = jax.tree.map(lambda w: w + 0.1, variables)
    ours = e3.nn.Linear(irreps_out, **options)
    own = ours.init(jax.random.key(0), *inputs, x)
    assert jax.tree.map(jnp.shape, own) == jax.tree.map(jnp.shape, variables)
    compare(ours.apply(variables, *inputs, x), theirs.apply(variables, *inputs, x_))


@pytest.mark.parametrize("normalization", ["component", "norm", "none"])
@pytest.mark.parametrize("seed", SEEDS)
def test_fully_connected_products_are_equal(seed, normalization):
    rng = np.random.default_rng(10 + seed)
    irreps = [random_irreps(rng, 3) for _ in range(3)]
    variances = {name: list(rng.uniform(0.5, 2.0, 3)) for name in ("in1_var", "in2_var", "out_var")}
    options = {"irrep_normalization": normalization, **variances, **normalised(seed)}
    ours = FunctionalFullyConnectedTensorProduct(*irreps, **options)
    theirs = legacy.FunctionalFullyConnectedTensorProduct(*irreps, **options)
    compare_products(ours, theirs)


MODES = {
    "uvw": (2, 3, 4),
    "uvu": (2, 3, 2),
    "uvv": (2, 3, 3),
    "uuw": (3, 3, 4),
    "uuu": (3, 3, 3),
    "uvuv": (2, 3, 6),
    "uvu<v": (4, 4, 6),
    "u<vw": (4, 4, 5),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("mode", MODES)
def test_products_of_each_mode_are_equal(mode, seed):
    rng = np.random.default_rng(seed)
    irreps, paths = [[], [], []], []
    for n in range(3):
        first, second = (e3.Irrep(str(ir)) for ir in rng.choice(IRREPS, 2))
        out = list(first * second)[rng.integers(0, 2 * min(first.l, second.l) + 1)]
        for entries, mul, ir in zip(irreps, MODES[mode], (first, second, out), strict=True):
            entries.append(f"{mul}x{ir}")
        has_weight = "w" in mode or n != 1
        paths.append((n, n, n, mode, has_weight, float(rng.uniform(0.5, 2.0))))
    irreps = ["+".join(entries) for entries in irreps]
    ours = FunctionalTensorProduct(*irreps, paths, **normalised(seed))
    theirs = legacy.FunctionalTensorProduct(*irreps, paths, **normalised(seed))
    compare_products(ours, theirs)


def compare_products(ours, theirs):
    assert repr(ours) == repr(theirs)
    assert [i.path_shape for i in ours.instructions] == [i.path_shape for i in theirs.instructions]
    close(
        np.array([i.path_weight for i in ours.instructions]),
        [i.path_weight for i in theirs.instructions],
    )
    close(
        np.array([i.weight_std for i in ours.instructions if i.has_weight], np.float64),
        [i.weight_std for i in theirs.instructions if i.has_weight],
    )
    np.testing.assert_array_equal(ours.output_mask, theirs.output_mask)
    x, x_ = pair(ours.irreps_in1)
    y, y_ = pair(ours.irreps_in2, seed=2)
    ws = random_weights(ours.instructions, weighted=lambda item: item.has_weight)
    compare(ours.left_right(ws, x, y), theirs.left_right(ws, x_, y_))
    if not any("<" in item.connection_mode for item in ours.instructions):  # theirs fails
        close(ours.right(ws, y), theirs.right(ws, y_))


@pytest.mark.parametrize("seed", SEEDS)
def test_perceptrons_are_equal(seed):
    gradient, with_bias = normalised(seed)["gradient_normalization"], bool(seed % 2)
    act = [None, jnp.square, jnp.tanh, jax.nn.silu][seed]
    x = jnp.asarray(np.random.default_rng(seed).normal(size=(3, 4)))
    options = {"gradient_normalization": gradient, "with_bias": with_bias}
    theirs = e3nn.flax.MultiLayerPerceptron((5, 6, 2), act, output_activation=False, **options)
    variables = jax.tree.map(lambda w: w + 0.1, theirs.init(jax.random.key(0), x))
    ours = e3.nn.MultiLayerPerceptron((5, 6, 2), act, output_activation=False, **options)
    assert jax.tree.map(jnp.shape, ours.init(jax.random.key(0), x)) == jax.tree.map(
        jnp.shape, variables
    )
    # Their constant that normalises an activation is a coarser quadrature than ours; the ratio of
    # the two is given to the weights that follow the activation.
    ratio = 1.0
    if act is not None:
        z = jnp.asarray(0.7)
        ratio = e3nn.normalize_function(act)(z) / e3.normalize_function(act)(z)
    adapted = {
        name: {
            "kernel": layer["kernel"] * (1.0 if name == "Dense_0" else ratio),
            **({"bias": layer["bias"]} if with_bias else {}),
        }
        for name, layer in variables["params"].items()
    }
    close(ours.apply({"params": adapted}, x), theirs.apply(variables, x))


@pytest.mark.parametrize(
    ("irreps", "orders", "keep"),
    [("0e+1o", (1, 2, 3), "0e+1o+2e"), ("2x0e+1o+2e", (2,), None), ("0e+0o+1o+2e", (3,), "1o+1e")],
)
def test_symmetric_products_span_the_same_space(irreps, orders, keep):
    """The bases of the two differ, the polynomials that they span do not."""
    hk = pytest.importorskip("haiku")
    x, x_ = pair(irreps, (60, 1))
    keep_ = None if keep is None else {e3nn.Irrep(str(ir)) for _, ir in e3.Irreps(keep)}
    module = hk.without_apply_rng(
        hk.transform(lambda x: e3nn.haiku.SymmetricTensorProduct(orders, keep_)(x))
    )
    params = module.init(jax.random.key(0), x_)
    ours = e3.nn.SymmetricTensorProduct(orders, keep)
    variables = ours.init(jax.random.key(0), x)
    (params_,) = params.values()
    assert jax.tree.map(jnp.shape, dict(params_)) == jax.tree.map(jnp.shape, variables["params"])

    def span(apply, weights):
        """Outputs for each weight alone, by irrep: [weights, places and components]."""
        flat, unravel = jax.flatten_util.ravel_pytree(weights)
        one_by_one = jax.vmap(lambda w: apply(unravel(w)))(jnp.eye(flat.size))
        return [np.asarray(c).reshape(flat.size, -1) for c in one_by_one.chunks]

    mine = span(lambda w: ours.apply(w, x), variables)
    theirs = span(lambda w: module.apply(w, x_), params)
    for a, b in zip(mine, theirs, strict=True):
        rank = np.linalg.matrix_rank(a, tol=1e-8)
        assert rank == np.linalg.matrix_rank(b, tol=1e-8) > 0
        basis = np.linalg.svd(a, full_matrices=False)[2][:rank]
        np.testing.assert_allclose(b @ basis.T @ basis, b, atol=1e-10 * np.abs(b).max())
