"""The convolution is what its reference says, through the second derivative."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import testing
from equipot.e3.arrays.irreps import Irrep
from equipot.e3.kernels import convolution as convolutions
from equipot.e3.products.tensor_product import coupling
from equipot.e3.so3.spherical_harmonics import spherical_harmonics_components

NODES, EDGES, LMAX = 5, 14, 2
CHANNELS = {Irrep("0e"): 3, Irrep("1o"): 2, Irrep("1e"): 4, Irrep("2e"): 2}
SENDERS = np.array([1, 2, 3, 0, 2, 4, 0, 1, 3, 4, 2, 0, 1, 1], np.int32)
RECEIVERS = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 4, 4, 4], np.int32)  # none at node 3


HARMONICS = tuple(Irrep(l, (-1) ** l) for l in range(LMAX + 1))
ALL = convolutions.paths(tuple(CHANNELS), HARMONICS, (*CHANNELS, Irrep("0o"), Irrep("2o")))
# Enough for every kind: from and to scalars, a cross product, and a dense one.
FEW = tuple(
    convolutions.Path(*map(Irrep, names))
    for names in (("0e", "1o", "1o"), ("1o", "1o", "0e"), ("1e", "1o", "1o"), ("2e", "2e", "2e"))
)


def inputs(dtype="float64", edges=EDGES, seed=0, chosen=FEW):
    """Node features, edge vectors and radial weights."""
    generator = np.random.default_rng(seed)

    def normal(*shape):
        return jnp.asarray(generator.standard_normal(shape), dtype)

    feats = {irrep: normal(NODES, irrep.dim, width) for irrep, width in CHANNELS.items()}
    radial = {path: normal(edges, CHANNELS[path.node]) for path in chosen}
    return feats, normal(edges, 3), radial


def given(params, weights):
    """Weights that depend on nothing: the basis holds them, the parameters scale them."""
    return {path: params * values for path, values in weights.items()}


def apply(function, feats, vectors, radial, senders=SENDERS, receivers=RECEIVERS, scale=1.0):
    harmonics = spherical_harmonics_components(vectors, LMAX)
    edge_sh = dict(zip(HARMONICS, harmonics, strict=True))
    ends = jnp.asarray(senders), jnp.asarray(receivers)
    scale = jnp.asarray(scale, vectors.dtype)
    return function(feats, edge_sh, radial, given, scale, *ends, NODES)


def energy(function, *arguments):
    """A scalar that is nonlinear in every output."""
    outputs = apply(function, *arguments).values()
    return sum(jnp.sum(jnp.sin(z + 0.3)) for z in outputs)


def force_loss(function, feats, vectors, radial):
    forces = jax.grad(energy, argnums=2)(function, feats, vectors, radial)
    return jnp.sum(forces**2)


# Compiled, so that tests share programs.
compute = jax.jit(apply, static_argnums=0)
gradient = jax.jit(jax.grad(energy, argnums=(1, 2, 3)), static_argnums=0)
force_loss_gradient = jax.jit(jax.grad(force_loss, argnums=(1, 2, 3)), static_argnums=0)


def assert_trees_close(actual, expected, tolerance, what):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        testing.assert_close(a, b, tolerance, what)


BOTH = FAST, REFERENCE = convolutions.convolution, convolutions.convolution_reference
PAIRED = tuple(functools.partial(f, both_ways=True) for f in BOTH)


@pytest.mark.parametrize(
    ("dtype", "tolerance", "chosen"),
    [("float64", testing.F64_EXACT, ALL), ("float32", testing.F32, FEW)],
)
def test_value_is_that_of_the_reference(dtype, tolerance, chosen):
    with jax.enable_x64(dtype == "float64"):
        fast, slow = (compute(f, *inputs(dtype, chosen=chosen)) for f in BOTH)
        assert all(z.dtype == dtype for z in fast.values())
        assert_trees_close(fast, slow, tolerance, "convolution")


def test_value_is_the_sum_that_the_documentation_writes():
    with jax.enable_x64(True):
        feats, vectors, radial = inputs()
        harmonics = spherical_harmonics_components(vectors, LMAX)
        for path, found in compute(FAST, feats, vectors, radial).items():
            expected = np.zeros(found.shape)
            coefficients = coupling(*path)
            for e, (s, r) in enumerate(zip(SENDERS, RECEIVERS, strict=True)):
                y = np.array([component[e] for component in harmonics[path.edge.l]])
                message = np.einsum("abc,au,b->cu", coefficients, feats[path.node][s], y)
                expected[r] += message * np.asarray(radial[path])[e]
            testing.assert_close(found, expected, testing.F64_EXACT, f"{path}")


def test_pairs_are_edges_in_both_directions():
    with jax.enable_x64(True):
        feats, vectors, radial = inputs()
        found = compute(PAIRED[0], feats, vectors, radial)
        both_ways = jnp.concatenate([vectors, -vectors])
        twice = {path: jnp.concatenate([w, w]) for path, w in radial.items()}
        there, back = (SENDERS, RECEIVERS), (RECEIVERS, SENDERS)
        ends = [np.concatenate(pair) for pair in zip(there, back, strict=True)]
        expected = compute(FAST, feats, both_ways, twice, *ends)
        assert_trees_close(found, expected, testing.F64_EXACT, "pairs")


@pytest.mark.parametrize(
    ("dtype", "tolerance", "functions"),
    [
        ("float64", testing.F64, BOTH),
        # Gradients of a force loss are compared in both by default.
        pytest.param("float32", testing.F32, BOTH, marks=pytest.mark.slow),
        ("float64", testing.F64, PAIRED),
    ],
    ids=["float64", "float32", "pairs"],
)
def test_gradients_are_those_of_the_reference(dtype, tolerance, functions):
    with jax.enable_x64(dtype == "float64"):
        fast, slow = (gradient(f, *inputs(dtype), SENDERS) for f in functions)
        assert_trees_close(fast, slow, tolerance, "gradient")


@pytest.mark.parametrize(
    ("dtype", "tolerance", "chosen", "functions"),
    [
        ("float64", testing.F64, FEW, BOTH),
        pytest.param("float32", 10 * testing.F32, FEW[:2], BOTH, marks=pytest.mark.wide),
        pytest.param("float64", testing.F64, FEW, PAIRED, marks=pytest.mark.wide),
    ],
    ids=["float64", "float32", "pairs"],
)
def test_gradients_of_a_force_loss_are_those_of_the_reference(dtype, tolerance, chosen, functions):
    with jax.enable_x64(dtype == "float64"):
        fast, slow = (force_loss_gradient(f, *inputs(dtype, chosen=chosen)) for f in functions)
        assert_trees_close(fast, slow, tolerance, "force loss")


def test_gradient_of_a_force_loss_is_its_slope():
    with jax.enable_x64(True):
        feats, vectors, radial = inputs()
        direction = jnp.asarray(np.random.default_rng(5).standard_normal(vectors.shape))
        loss = jax.jit(lambda step: force_loss(FAST, feats, vectors + step * direction, radial))
        h = 1e-4
        slope = (8 * (loss(h) - loss(-h)) - (loss(2 * h) - loss(-2 * h))) / (12 * h)
        found = force_loss_gradient(FAST, feats, vectors, radial)[1]
        testing.assert_close(
            jnp.sum(found * direction), slope, testing.FINITE_DIFFERENCE, "force loss"
        )


@pytest.mark.parametrize("function", BOTH)
def test_node_without_neighbors_receives_zero_and_gives_no_gradient(function):
    with jax.enable_x64(True):
        feats, vectors, radial = inputs()
        for z in compute(function, feats, vectors, radial).values():
            assert np.all(z[3] == 0)
            assert np.all(np.any(z[jnp.array([0, 1, 2, 4])] != 0, axis=(1, 2)))
        alone = np.where(SENDERS == 4, 0, SENDERS)  # nobody listens to node 4
        of_feats = gradient(function, feats, vectors, radial, alone)[0]
        assert all(np.all(g[4] == 0) and np.isfinite(g).all() for g in of_feats.values())


@pytest.mark.parametrize("function", BOTH)
def test_no_edges_at_all_give_zeros_and_finite_derivatives(function):
    with jax.enable_x64(True):
        nobody = np.zeros(0, np.int32)
        feats, vectors, radial = inputs(edges=0)
        outputs = compute(function, feats, vectors, radial, nobody, nobody)
        assert set(outputs) == set(FEW)
        for path, z in outputs.items():
            assert z.shape == (NODES, path.out.dim, CHANNELS[path.node])
            assert np.all(z == 0)
        of_feats = gradient(function, feats, vectors, radial, nobody, nobody)[0]
        assert all(np.all(g == 0) for g in of_feats.values())


@pytest.mark.wide
def test_compiled_rematerialised_and_mapped_values_are_the_same():
    with jax.enable_x64(True):
        first, second = inputs(), inputs(seed=1)
        eager = apply(FAST, *first)
        assert_trees_close(compute(FAST, *first), eager, testing.F64_EXACT, "jit")
        both = jax.tree.map(lambda a, b: jnp.stack([a, b]), first, second)
        mapped = jax.jit(jax.vmap(lambda *x: apply(FAST, *x)))(*both)
        for i, one in enumerate((first, second)):
            part = jax.tree.map(lambda z, i=i: z[i], mapped)
            assert_trees_close(part, compute(FAST, *one), testing.F64_EXACT, "vmap")


@pytest.mark.wide
def test_gradients_survive_rematerialisation():
    with jax.enable_x64(True):
        remat = jax.checkpoint(FAST, static_argnums=(3, 7))
        again, plain = (gradient(f, *inputs(), SENDERS) for f in (remat, FAST))
        assert_trees_close(again, plain, testing.F64_EXACT, "remat")


@pytest.mark.parametrize("function", BOTH)
def test_messages_turn_with_features_and_edges(function):
    with jax.enable_x64(True):
        feats, vectors, radial = inputs()
        for matrix in (testing.rotation_matrix(3), -np.eye(3)):
            before = testing.transform(compute(function, feats, vectors, radial), matrix)
            turned = testing.transform(feats, matrix), vectors @ matrix.T, radial
            after = compute(function, *turned)
            assert_trees_close(after, before, testing.F64, "messages")


def test_edges_in_another_order_give_the_same_sums():
    with jax.enable_x64(True):
        feats, vectors, radial = inputs()
        order = np.random.default_rng(2).permutation(EDGES)
        shuffled = {path: weights[order] for path, weights in radial.items()}
        found = compute(FAST, feats, vectors[order], shuffled, SENDERS[order], RECEIVERS[order])
        expected = compute(FAST, feats, vectors, radial)
        assert_trees_close(found, expected, testing.F64_EXACT, "sums")


def test_paths_obey_the_selection_rules():
    for path in ALL:
        assert abs(path.node.l - path.edge.l) <= path.out.l <= path.node.l + path.edge.l
        assert path.node.p * path.edge.p == path.out.p
    names = {f"{a}x{b}={c}" for a, b, c in ALL}
    assert {"1ox1o=1e", "1ox1o=0e", "1ex1o=0o", "2ex2e=2e"} <= names
    assert "1ox1o=1o" not in names
    assert len(set(ALL)) == len(ALL)


@pytest.mark.wide
def test_messages_of_independent_inputs_have_unit_variance():
    """For each path, with harmonics normalised by component and weights of unit variance."""
    with jax.enable_x64(True):
        edges, generator = 20000, np.random.default_rng(0)
        vectors = generator.standard_normal((edges, 3))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        each = jnp.arange(edges, dtype=jnp.int32)
        harmonics = spherical_harmonics_components(jnp.asarray(vectors), LMAX)
        edge_sh = dict(zip(HARMONICS, harmonics, strict=True))
        for path in FEW:
            feats = {path.node: jnp.asarray(generator.standard_normal((edges, path.node.dim, 1)))}
            weights = {path: jnp.ones((edges, 1))}
            z = FAST(feats, edge_sh, weights, given, jnp.ones(()), each, each, edges)[path]
            assert abs(float(jnp.mean(z**2)) - 1) < 0.05, path


@pytest.mark.parametrize("function", BOTH)
def test_couplings_that_break_parity_or_the_triangle_are_refused(function):
    for names in (("1o", "1o", "1o"), ("1o", "1o", "2o"), ("0e", "1o", "2e")):
        path = convolutions.Path(*map(Irrep, names))
        with pytest.raises(ValueError, match=r"expected \w+ x 1o to one of .*, got"):
            apply(function, *inputs("float32", chosen=(path,)))


def test_features_harmonics_and_weights_that_do_not_fit_are_refused():
    feats, vectors, radial = inputs("float32", chosen=FEW[1:2])
    vector = Irrep("1o")
    with pytest.raises(ValueError, match=r"features of 1o \[nodes, 3, channels\], received"):
        apply(FAST, {vector: jnp.ones((NODES, 4, 2))}, vectors, radial)
    with pytest.raises(ValueError, match="features of 1o for path 1o_1o_0e, received those of 0e"):
        apply(FAST, {Irrep("0e"): feats[Irrep("0e")]}, vectors, radial)
    with pytest.raises(ValueError, match=r"weights of 2 channels for path .* received 1"):
        apply(FAST, feats, vectors, {FEW[1]: jnp.ones((EDGES, 1))})
    ends = jnp.asarray(SENDERS), jnp.asarray(RECEIVERS)
    harmonics = {vector: [vectors[:, 0]] * 5}
    with pytest.raises(ValueError, match="expected 3 arrays of harmonics of 1o, received 5"):
        FAST(feats, harmonics, radial, given, jnp.ones(()), *ends, NODES)
