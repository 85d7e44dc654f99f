"""The symmetric contraction is what its reference says, through the second derivative."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import testing
from equipot.e3.arrays.irreps import Irrep, Irreps
from equipot.e3.checks.compiled import jit_code
from equipot.e3.kernels import contraction, couplings
from equipot.e3.kernels.couplings import Power

NODES, SPECIES, CHANNELS = 6, 3, 2
OF_NODES = np.array([2, 0, 1, 0, 2, 2], np.int32)  # unsorted
BOTH = FAST, REFERENCE = (
    contraction.symmetric_contraction,
    contraction.symmetric_contraction_reference,
)
SCALAR, VECTOR, AXIAL, TENSOR = map(Irrep, ("0e", "1o", "1e", "2e"))
FEW = "0e+1o", "0e+1o", 3
CASES = [
    ("0e+1o+2e", "0e+1o", 3),
    ("1o", "0e+1o", 4),  # no scalars
    ("0e", "0e", 4),  # nothing but scalars
    ("1e+0o+1o", "0e+0o+1e", 2),  # both parities
    ("2e+0e", "2e", 1),
]


def irreps_of(names):
    return tuple(item.ir for item in Irreps(names))


def inputs(case=FEW, dtype="float64", nodes=NODES, seed=0):
    """Features, weights and species."""
    generator = np.random.default_rng(seed)
    irreps_in, irreps_out, correlation = irreps_of(case[0]), irreps_of(case[1]), case[2]

    def normal(*shape):
        return jnp.asarray(generator.standard_normal(shape), dtype)

    features = {irrep: normal(nodes, irrep.dim, CHANNELS) for irrep in irreps_in}
    paths = couplings.powers(irreps_in, irreps_out, correlation)
    weights = {power: normal(SPECIES, number, CHANNELS) for power, number in paths.items()}
    return features, weights, jnp.asarray(np.resize(OF_NODES, nodes))


def apply(function, features, weights, species, case=FEW):
    return function(features, weights, species, irreps_of(case[1]), case[2])


def energy(function, *arguments):
    """A scalar that is nonlinear in every output."""
    return sum(jnp.sum(jnp.sin(b + 0.3)) for b in apply(function, *arguments).values())


def force_loss(function, *arguments):
    forces = jax.grad(energy, argnums=1)(function, *arguments)
    return sum(jnp.sum(jnp.cos(f)) for f in forces.values())


compute = jax.jit(apply, static_argnums=(0, 4))  # so that tests share programs


def assert_trees_close(actual, expected, tolerance, what):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        testing.assert_close(a, b, tolerance, what)


@pytest.mark.parametrize("case", CASES)
def test_value_is_that_of_the_reference(case):
    with jax.enable_x64(True):
        fast, slow = (compute(f, *inputs(case), case) for f in BOTH)
        assert tuple(fast) == irreps_of(case[1])
        assert_trees_close(fast, slow, testing.F64_EXACT, "contraction")


def test_value_in_single_precision_is_that_of_the_reference():
    fast, slow = (compute(function, *inputs(dtype="float32")) for function in BOTH)
    assert all(b.dtype == "float32" for b in fast.values())
    assert_trees_close(fast, slow, testing.F32, "contraction")


def test_derivatives_are_those_of_the_reference_through_the_second():
    with jax.enable_x64(True):
        case = ("1o+2e", "0e+1o", 3)

        def derivatives(function, features, weights, species):
            return [
                jax.grad(lambda *x, f=f: f(function, *x, species, case), argnums=(0, 1))(
                    features, weights
                )
                for f in (energy, force_loss)
            ]

        compiled = jax.jit(derivatives, static_argnums=0)
        fast, slow = (compiled(function, *inputs(case)) for function in BOTH)
        for order, (actual, expected) in enumerate(zip(fast, slow, strict=True), 1):
            assert_trees_close(actual, expected, testing.F64, f"derivative {order}")


def test_gradient_in_single_precision_is_that_of_the_reference():
    compiled = jax.jit(jax.grad(energy, argnums=(1, 2)), static_argnums=0)
    fast, slow = (compiled(function, *inputs(dtype="float32")) for function in BOTH)
    assert_trees_close(fast, slow, testing.F32, "gradient")


def test_value_is_the_sum_that_the_documentation_writes():
    with jax.enable_x64(True):
        case = ("0e+1o", "1o", 2)
        features, weights, species = inputs(case)
        joined = np.concatenate([features[SCALAR], features[VECTOR]], axis=1)
        expected = np.zeros((NODES, 3, CHANNELS))
        for power, w in weights.items():
            u = couplings.symmetric_coupling((SCALAR, VECTOR), power)
            for n, k, c in itertools.product(range(NODES), range(w.shape[1]), range(CHANNELS)):
                for indices in itertools.product(range(4), repeat=power.order):
                    product = np.prod([joined[n, i, c] for i in indices])
                    expected[n, :, c] += w[species[n], k, c] * u[indices][k] * product
        found = compute(FAST, features, weights, species, case)[VECTOR]
        testing.assert_close(found, expected, testing.F64_EXACT, "written out")


@pytest.mark.parametrize(("out", "paths", "products"), [("0e", 8, 77), ("1o", 12, 278)])
def test_couplings_of_three_factors_to_degree_three_are_few(out, paths, products):
    irreps, power = irreps_of("0e+1o+2e+3o"), Power(3, Irrep(out))
    assert couplings.powers(irreps, (power.out,), 3)[power] == paths
    u = couplings.symmetric_coupling(irreps, power)
    used = np.argwhere(np.any(np.abs(u) > 1e-10, axis=-2))
    assert len({(*sorted(indices), m) for *indices, m in used.tolist()}) == products
    assert u[..., 0, 0].size == 4096


@pytest.mark.parametrize("power", [Power(2, AXIAL), Power(3, TENSOR)])
def test_couplings_are_orthonormal_and_symmetric(power):
    u = couplings.symmetric_coupling(irreps_of("0e+1o+1e"), power)
    indices = list(range(power.order))
    gram = np.tensordot(u, u, (indices, indices)).transpose(0, 2, 1, 3)
    expected = np.einsum("kl,mn->klmn", np.eye(u.shape[-2]), np.eye(u.shape[-1]))
    testing.assert_close(gram, expected, testing.F64_EXACT, "orthonormal")
    testing.assert_close(u, u.swapaxes(0, 1), testing.F64_EXACT, "symmetric")


def test_order_in_which_irreps_are_given_does_not_matter():
    features, weights, species = inputs(dtype="float32")
    backwards = dict(reversed(features.items()))
    assert couplings.powers(backwards, (SCALAR, VECTOR), 3) == {
        power: w.shape[1] for power, w in weights.items()
    }
    one, other = (compute(FAST, f, weights, species) for f in (features, backwards))
    assert_trees_close(one, other, 0.0, "order of irreps")


@pytest.mark.parametrize("case", [FEW, ("1e+0o+1o", "0e+0o+1e", 2)])
def test_contraction_commutes_with_rotations_and_inversion(case):
    with jax.enable_x64(True):
        features, weights, species = inputs(case)
        testing.assert_equivariant(lambda x: compute(FAST, x, weights, species, case), features)


def test_nodes_are_contracted_one_by_one_with_the_weights_of_their_species():
    with jax.enable_x64(True):
        features, weights, species = inputs()
        together = compute(FAST, features, weights, species)
        order = jnp.argsort(species)
        in_order = {irrep: x[order] for irrep, x in features.items()}
        by_species = compute(FAST, in_order, weights, species[order])
        renamed = {power: w[::-1] for power, w in weights.items()}
        other_names = compute(FAST, features, renamed, SPECIES - 1 - species)
        for irrep, b in together.items():
            testing.assert_close(by_species[irrep], b[order], testing.F64_EXACT, "sorted")
            testing.assert_close(other_names[irrep], b, testing.F64_EXACT, "species renamed")
            assert not np.allclose(b, compute(FAST, features, renamed, species)[irrep])


def test_channels_do_not_mix():
    with jax.enable_x64(True):
        features, weights, species = inputs()
        changed = {irrep: x.at[..., 1].set(7.0) for irrep, x in features.items()}
        before = compute(FAST, features, weights, species)
        after = compute(FAST, changed, weights, species)
        for irrep, b in before.items():
            assert np.array_equal(after[irrep][..., 0], b[..., 0])
            assert np.all(after[irrep][..., 1] != b[..., 1])


def test_a_power_of_order_n_grows_like_the_power_n_of_the_features():
    with jax.enable_x64(True):
        features, weights, species = inputs()
        for order in (1, 2, 3):
            only = {power: w * float(power.order == order) for power, w in weights.items()}
            doubled = {irrep: 2 * x for irrep, x in features.items()}
            b = compute(FAST, features, only, species)
            grown = compute(FAST, doubled, only, species)
            for irrep in b:
                testing.assert_close(
                    grown[irrep], 2**order * b[irrep], testing.F64_EXACT, f"order {order}"
                )


def test_second_order_of_a_vector_is_its_square_over_root_three():
    with jax.enable_x64(True):
        features, _, species = inputs(("1o", "0e", 2))
        weights = {Power(2, SCALAR): jnp.ones((SPECIES, 1, CHANNELS))}
        b = compute(FAST, features, weights, species, ("1o", "0e", 2))[SCALAR]
        square = jnp.sum(features[VECTOR] ** 2, axis=1, keepdims=True)
        testing.assert_close(jnp.abs(b), square / np.sqrt(3), testing.F64_EXACT, "square")


def test_outputs_without_couplings_are_left_out():
    features, weights, species = inputs(("2e", "0o+0e+1o", 3), "float32")
    assert set(weights) == {Power(2, SCALAR), Power(3, SCALAR)}
    assert set(compute(FAST, features, weights, species, ("2e", "0o+0e+1o", 3))) == {SCALAR}
    assert couplings.powers((TENSOR,), (VECTOR,), 3) == {}
    for function in BOTH:
        assert function(features, {}, species, (VECTOR,), 3) == {}


@pytest.mark.wide
def test_compiled_rematerialised_and_mapped_values_are_the_same():
    with jax.enable_x64(True):
        (first, weights, species), (second, _, _) = inputs(), inputs(seed=1)
        both = jax.tree.map(lambda a, b: jnp.stack([a, b]), first, second)
        gradient = jax.grad(energy, argnums=1)
        remat = jax.checkpoint(FAST, static_argnums=(3, 4))
        mapped = jax.jit(jax.vmap(gradient, (None, 0, None, None)), static_argnums=0)
        result = mapped(FAST, both, weights, species)
        for i, features in enumerate((first, second)):
            alone = gradient(FAST, features, weights, species)
            again = jax.jit(gradient, static_argnums=0)(remat, features, weights, species)
            assert_trees_close(again, alone, testing.F64_EXACT, "jit and remat")
            part = jax.tree.map(lambda b, i=i: b[i], result)
            assert_trees_close(part, alone, testing.F64_EXACT, "vmap")


def test_nodes_that_are_spread_over_devices_stay_there():
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    features, weights, species = inputs(dtype="float32", nodes=8)
    rows = jax.NamedSharding(mesh, jax.P("data"))
    spread, types = jax.device_put((features, species), rows)
    function = jax.jit(lambda *x: apply(FAST, *x))
    result = function(spread, weights, types)
    assert all(b.sharding.is_equivalent_to(rows, 3) for b in result.values())
    assert_trees_close(result, apply(FAST, features, weights, species), testing.F32, "sharded")
    assert "all-gather" not in function.lower(spread, weights, types).compile().as_text()


def test_what_stands_around_it_is_not_copied_into_its_loops():
    features, weights, species = inputs(dtype="float32")

    def wrapped(features, weights):
        bent = {irrep: jnp.tanh(x) for irrep, x in features.items()}
        return energy(FAST, bent, weights, species)

    code = jit_code(jax.grad(wrapped, argnums=(0, 1)), features, weights)
    assert code.count(" tanh(") <= 2 * len(features)
    assert code.count(" cosine(") <= 2


@pytest.mark.parametrize("function", BOTH)
def test_zero_features_and_no_nodes_give_zeros_and_finite_gradients(function):
    with jax.enable_x64(True):
        features, weights, species = inputs()
        nothing = {irrep: 0 * x for irrep, x in features.items()}
        assert all(np.all(b == 0) for b in compute(function, nothing, weights, species).values())
        slope = jax.jit(jax.grad(energy, argnums=1), static_argnums=0)
        gradient = slope(function, nothing, weights, species)
        assert all(np.isfinite(g).all() for g in gradient.values())
        nobody = {irrep: x[:0] for irrep, x in features.items()}
        found = compute(function, nobody, weights, species[:0])
        assert {irrep: b.shape for irrep, b in found.items()} == {
            SCALAR: (0, 1, CHANNELS),
            VECTOR: (0, 3, CHANNELS),
        }


def test_weights_upon_other_couplings_are_taken_over_exactly():
    with jax.enable_x64(True):
        features, weights, species = inputs()
        generator, irreps = np.random.default_rng(3), irreps_of(FEW[0])
        expected, taken = {}, {}
        for power, w in weights.items():
            u = couplings.symmetric_coupling(irreps, power)
            mixing = generator.standard_normal((w.shape[1], w.shape[1] + 2))  # with redundant ones
            other = np.einsum("...km,kp->...pm", u, mixing)
            if power.order > 1:  # a part that no product of features sees
                noise = generator.standard_normal(other.shape)
                other = other + noise - noise.swapaxes(0, 1) if power.order == 2 else other
            foreign = generator.standard_normal((SPECIES, mixing.shape[1], CHANNELS))
            change = couplings.change_of_basis(irreps, power, other)
            testing.assert_close(change, mixing, testing.F64_EXACT, "change of basis")
            taken[power] = jnp.asarray(np.einsum("kp,spc->skc", change, foreign))
            expected[power] = jnp.asarray(np.einsum("kp,spc->skc", mixing, foreign))
        fast, slow = (compute(FAST, features, w, species) for w in (taken, expected))
        assert_trees_close(fast, slow, testing.F64_EXACT, "weights of other couplings")


def test_couplings_in_other_conventions_are_refused():
    irreps, power = irreps_of("0e+1o"), Power(2, VECTOR)
    u = couplings.symmetric_coupling(irreps, power)
    with pytest.raises(ValueError, match="compare the order of components and irreps"):
        couplings.change_of_basis(irreps, power, np.roll(u, 1, axis=-1))
    with pytest.raises(ValueError, match=r"expected couplings \(4, 4\) × paths × 3, received"):
        couplings.change_of_basis(irreps, power, u[:3])


def test_correlation_below_one_and_no_features_are_refused():
    with pytest.raises(ValueError, match="expected a correlation of at least 1, received 0"):
        couplings.powers((SCALAR,), (SCALAR,), 0)
    with pytest.raises(ValueError, match="expected features of at least one irrep"):
        couplings.powers((), (SCALAR,), 2)


@pytest.mark.parametrize("function", BOTH)
def test_features_and_weights_that_do_not_fit_are_refused(function):
    features, weights, species = inputs(dtype="float32")
    power = Power(3, VECTOR)
    uneven = {**features, SCALAR: jnp.ones((NODES, 1, 5))}
    with pytest.raises(ValueError, match=r"same channels for all irreps, received \[2, 5\]"):
        apply(function, uneven, weights, species)
    turned = {**features, VECTOR: features[VECTOR].swapaxes(1, 2)}
    with pytest.raises(ValueError, match="same channels"):
        apply(function, turned, weights, species)
    wrong = {**features, VECTOR: jnp.ones((NODES, 4, CHANNELS))}
    with pytest.raises(ValueError, match=r"features of 1o \[nodes, 3, channels\], received"):
        apply(function, wrong, weights, species)
    # A single one would be taken for all nodes.
    with pytest.raises(ValueError, match=r"species for each of the 6 nodes of 0e, .* \(1,\)"):
        apply(function, features, weights, species[:1])
    others = {**weights, power: weights[power][:1]}
    with pytest.raises(ValueError, match=r"same species for all powers, received \[1, 3\]"):
        apply(function, features, others, species)
    fewer = {p: w for p, w in weights.items() if p != power}
    with pytest.raises(ValueError, match=r"expected weights of .*order=3, out=1o.*received"):
        apply(function, features, fewer, species)
    short = {**weights, power: weights[power][:, :1]}
    with pytest.raises(ValueError, match=r"order 3 to 1o \[species, 2, 2\], received \(3, 1, 2\)"):
        apply(function, features, short, species)
