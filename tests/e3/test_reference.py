"""The algebra against e3nn-jax, in float64: coefficients, harmonics, products, functions."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3
from equipot.e3.functions import activations

e3nn = pytest.importorskip("e3nn_jax")
pytestmark = [
    pytest.mark.reference,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning"),
]
NORMALIZATIONS = ("component", "norm", "integral")


@pytest.fixture(autouse=True)
def _double_precision_and_standard_numerics():
    """The oracle relies on promotions that the rest of the tests forbid."""
    standard = (jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"))
    with jax.enable_x64(True), standard[0], standard[1]:
        yield


def pair(irreps, lead=(), seed=0):
    """The same random data for both packages."""
    irreps = e3.Irreps(irreps)
    data = np.random.default_rng(seed).normal(size=(*lead, irreps.dim))
    return e3.IrrepsArray(irreps, data), e3nn.IrrepsArray(str(irreps), jnp.asarray(data))


def random_irreps(rng, entries=3, lmax=3, mul=3):
    """A random direct sum, not sorted, entries perhaps equal."""
    return e3.Irreps(
        [
            (int(rng.integers(1, mul + 1)), (int(rng.integers(lmax + 1)), int(rng.choice([-1, 1]))))
            for _ in range(rng.integers(1, entries + 1))
        ]
    )


def compare(ours, theirs, atol=1e-10):
    """Equal irreps, and numbers equal relative to the largest."""
    assert str(ours.irreps) == str(theirs.irreps)
    same(ours.array, theirs.array, atol)


def same(ours, theirs, atol=1e-10):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape and ours.dtype == np.float64
    assert np.array_equal(np.isfinite(ours), np.isfinite(theirs))
    ours, theirs = (
        np.nan_to_num(ours, posinf=0, neginf=0),
        np.nan_to_num(theirs, posinf=0, neginf=0),
    )
    scale = max(1.0, np.max(np.abs(theirs), initial=0.0))
    np.testing.assert_allclose(ours / scale, theirs / scale, atol=atol, rtol=0)


def test_clebsch_gordan_coefficients_are_equal_with_their_signs_to_degree_6():
    for degrees in itertools.product(range(7), repeat=3):
        l1, l2, l3 = degrees
        if abs(l1 - l2) <= l3 <= l1 + l2:
            same(e3.clebsch_gordan(*degrees), e3nn.clebsch_gordan(*degrees), 1e-12)


def test_su2_coefficients_and_generators_are_equal():
    for j1, j2 in itertools.product((0, 0.5, 1, 1.5, 2), repeat=2):
        j3 = abs(j1 - j2)
        while j3 <= j1 + j2:
            same(e3.su2_clebsch_gordan(j1, j2, j3), e3nn.su2_clebsch_gordan(j1, j2, j3), 1e-12)
            j3 += 1
    for j in (0, 0.5, 1, 1.5, 3):
        ours, theirs = e3.su2_generators(j), e3nn.su2_generators(j)
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
    for l in range(7):
        same(e3.generators(l), e3nn.generators(l), 1e-12)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_spherical_harmonics_are_equal_to_degree_11(normalize, normalization):
    ours, theirs = pair("1o", (7,))
    degrees = list(range(12))
    mine = jax.jit(lambda v: e3.spherical_harmonics(degrees, v, normalize, normalization))(ours)
    other = jax.jit(lambda v: e3nn.spherical_harmonics(degrees, v, normalize, normalization))
    other = other(theirs)
    assert str(mine.irreps) == str(other.irreps)
    for a, b in zip(mine.chunks, other.chunks, strict=True):
        same(a, b)  # relative to the largest of each degree


def test_second_derivatives_of_harmonics_are_equal():
    v = np.random.default_rng(1).normal(size=(3, 3))
    for normalize in (True, False):

        def hessian(package, normalize=normalize):
            def f(v):
                vector = package.IrrepsArray("1o", v)
                return package.spherical_harmonics([1, 2, 3, 4, 5], vector, normalize).array

            return jax.jit(jax.vmap(jax.jacfwd(jax.jacrev(f))))

        same(hessian(e3)(v), hessian(e3nn)(v))


def test_harmonics_at_the_zero_vector_are_equal_with_their_first_derivatives():
    def f(package):
        def values(v):
            vector = package.IrrepsArray("1o", v)
            return package.spherical_harmonics([0, 1, 2, 3], vector, True).array

        return jax.jit(lambda v: (values(v), jax.jacrev(values)(v)))(jnp.zeros(3))

    for ours, theirs in zip(f(e3), f(e3nn), strict=True):
        same(ours, theirs)


@pytest.mark.parametrize("phase", [1.0, -1.0])
@pytest.mark.parametrize("is_normalized", [True, False])
def test_legendre_functions_are_equal(phase, is_normalized):
    x = jnp.linspace(-1.0, 1.0, 7)
    same(
        e3.legendre(6, x, phase, is_normalized), e3nn.legendre.legendre(6, x, phase, is_normalized)
    )


def test_representation_matrices_are_equal_to_degree_8():
    """Theirs are matrix exponentials, exact to 1e-10 (from log coordinates) at these degrees."""
    irreps = "2x0o+1e+2o+3e+4e+5o+6e+8e"
    mine, other = e3.Irreps(irreps), e3nn.Irreps(irreps)
    rng = np.random.default_rng(0)
    for k in (0, 1):
        angles, q = rng.uniform(-3, 3, 3), rng.normal(size=4)
        axis, angle, log = rng.normal(size=3), 1.3, rng.normal(size=3)
        q, axis = q / np.linalg.norm(q), axis / np.linalg.norm(axis)
        same(mine.D_from_angles(*angles, k=k), other.D_from_angles(*map(jnp.float64, angles), k=k))
        same(mine.D_from_quaternion(q, k), other.D_from_quaternion(jnp.asarray(q), k))
        theirs = other.D_from_axis_angle(jnp.asarray(axis), jnp.asarray(angle), k)
        same(mine.D_from_axis_angle(axis, angle, k), theirs)
        same(mine.D_from_log_coordinates(log, k), other.D_from_log_coordinates(jnp.asarray(log), k))
        matrix = e3.angles_to_matrix(*angles) * (-1) ** k
        same(mine.D_from_matrix(matrix), other.D_from_matrix(matrix))


def test_conversions_of_rotations_are_equal():
    angles = jnp.asarray([0.3, 0.5, 0.7])
    matrix = e3nn.angles_to_matrix(*angles)
    same(e3.angles_to_matrix(*angles), matrix, 1e-12)
    same(jnp.stack(e3.matrix_to_angles(matrix)), jnp.stack(e3nn.matrix_to_angles(matrix)))
    q = e3nn.matrix_to_quaternion(matrix)
    same(e3.matrix_to_quaternion(matrix), q)
    same(e3.quaternion_to_matrix(q), e3nn.quaternion_to_matrix(q))
    for ours, theirs in zip(
        e3.matrix_to_axis_angle(matrix), e3nn.matrix_to_axis_angle(matrix), strict=True
    ):
        same(ours, theirs)
    xyz = e3nn.angles_to_xyz(*angles[:2])
    same(e3.angles_to_xyz(*angles[:2]), xyz)
    same(jnp.stack(e3.xyz_to_angles(xyz)), jnp.stack(e3nn.xyz_to_angles(xyz)))


@pytest.mark.parametrize("seed", range(12))
def test_tensor_products_of_random_irreps_are_equal(seed):
    rng = np.random.default_rng(seed)
    irreps1, irreps2 = random_irreps(rng), random_irreps(rng)
    x, x_ = pair(irreps1, (2,), seed)
    y, y_ = pair(irreps2, (2,), seed + 100)
    options = {
        "irrep_normalization": ("component", "norm")[seed % 2],
        "regroup_output": seed % 3 > 0,
        "filter_ir_out": [None, "0e + 1o + 1e + 2o"][seed // 2 % 2],
    }
    theirs = dict(options)
    if options["filter_ir_out"]:
        theirs["filter_ir_out"] = [e3nn.Irrep(ir) for ir in ("0e", "1o", "1e", "2o")]
    compare(e3.tensor_product(x, y, **options), e3nn.tensor_product(x_, y_, **theirs))
    options.pop("irrep_normalization"), theirs.pop("irrep_normalization")
    names = (e3nn.Irreps(str(irreps)) for irreps in (irreps1, irreps2))
    mine = e3.tensor_product(irreps1, irreps2, **options)
    assert str(mine) == str(e3nn.tensor_product(*names, **theirs))


@pytest.mark.parametrize("normalization", ["component", "norm", "none"])
def test_elementwise_products_are_equal(normalization):
    x, x_ = pair("2x1o+0e+2e+1o", (3,))
    y, y_ = pair("1o+2x0o+1e+3o", (3,), seed=1)
    options = {"irrep_normalization": normalization}
    ours = e3.elementwise_tensor_product(x, y, **options)
    compare(ours, e3nn.elementwise_tensor_product(x_, y_, **options))


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("normalization", ["component", "norm", "none"])
def test_tensor_squares_are_equal(normalized, normalization):
    options = {"irrep_normalization": normalization, "normalized_input": normalized}
    for irreps in ("2x0e+2x1o+2e", "0o+3x1e+3o"):
        x, x_ = pair(irreps, (3,))
        compare(e3.tensor_square(x, **options), e3nn.tensor_square(x_, **options))


def test_products_about_a_direction_are_equal():
    """For sorted irreps: of others, theirs orders equal irreps in another way than its product."""
    x, x_ = pair("2x0e+1o+1e+2x2e", (4,))
    v, v_ = pair("1o", (4,), seed=1)
    ours = e3.tensor_product_with_spherical_harmonics(x, v, 3)
    compare(ours, e3nn.tensor_product_with_spherical_harmonics(x_, v_, 3), 1e-7)
    direct = e3nn.spherical_harmonics([0, 1, 2, 3], v_, True)
    compare(ours, e3nn.tensor_product(x_, direct))


def test_gradients_are_equal():
    x, x_ = pair("2x0e+1o+2e", (3,))
    ours = e3.grad(lambda x: e3.tensor_square(x))(x)
    compare(ours, e3nn.grad(lambda x: e3nn.tensor_square(x))(x_))
    ours = e3.grad(e3.norm, regroup_output=False)(x)
    compare(ours, e3nn.grad(e3nn.norm, regroup_output=False)(x_))


def test_gates_and_activations_without_constants_are_equal():
    x, x_ = pair("4x0e+3x0o+1o+2e+1e", (3,))
    compare(e3.gate(x, normalize_act=False), e3nn.gate(x_, normalize_act=False))
    acts = [jax.nn.silu, e3.soft_odd, None, None, None]
    acts_ = [jax.nn.silu, e3nn.soft_odd, None, None, None]
    ours = e3.scalar_activation(x, acts, normalize_act=False)
    compare(ours, e3nn.scalar_activation(x_, acts_, normalize_act=False))
    acts = [jnp.tanh, jnp.cos, None, jnp.tanh, None]
    for normalization in ("component", "norm"):
        ours = e3.norm_activation(x, acts, normalization=normalization)
        compare(ours, e3nn.norm_activation(x_, acts, normalization=normalization))
    for bound in (0.1, 1.0, 5.0):
        compare(e3.soft_normalization(x, bound), e3nn.soft_normalization(x_, bound))


def test_moment_constants_differ_by_the_error_of_their_sum():
    """Ours are exact; theirs are a sum over points, with errors of 1e-5 to 1e-4."""
    for act in (jax.nn.silu, jnp.tanh, jax.nn.sigmoid, jax.nn.gelu, jnp.cos):
        ours = activations.second_moment(act) ** -0.5
        theirs = float(e3nn.normalize_function(act)(1.0)) / float(act(1.0))
        assert abs(ours / theirs - 1.0) < 1e-4, act


def test_radial_functions_are_equal():
    r = jnp.array([-0.1, 0.0, 0.3, 0.7, 1.0, 1.2])
    for basis in ("gaussian", "cosine", "smooth_finite", "fourier"):
        for cutoff in (True, False):
            options = {"start": 0.0, "end": 1.0, "number": 4, "basis": basis, "cutoff": cutoff}
            ours = e3.soft_one_hot_linspace(r, **options)
            same(ours, e3nn.soft_one_hot_linspace(r, **options))
    r = r[1:]
    same(e3.bessel(r, 5, 2.0), e3nn.bessel(r, 5, 2.0))
    same(e3.sus(r), e3nn.sus(r))
    for n0, n1 in ((5, 2), (3, 4), (0, 1)):
        same(e3.poly_envelope(n0, n1, 1.1)(r), e3nn.poly_envelope(n0, n1, 1.1)(r))
    same(e3.soft_envelope(r), e3nn.soft_envelope(r))


def test_sums_over_groups_are_equal():
    x, x_ = pair("2x0e+1o", (5,))
    dst, nel = jnp.array([3, 0, 0, 3, 2]), jnp.array([2, 0, 3])
    for name in ("scatter_sum", "scatter_mean"):
        mine, other = getattr(e3, name), getattr(e3nn, name)
        compare(mine(x, dst=dst, output_size=5), other(x_, dst=dst, output_size=5))
        compare(mine(x, dst=dst, map_back=True), other(x_, dst=dst, map_back=True))
        compare(mine(x, nel=nel), other(x_, nel=nel))
    for initial in (-np.inf, 0.3):
        options = {"dst": dst, "output_size": 4, "initial": initial}
        same(e3.scatter_max(x.array, **options), e3nn.scatter_max(x_.array, **options))


BASES = [
    ("ij=ji", {"i": "0e+1o+2e"}),
    ("ij=-ji", {"i": "0e+1o+2e"}),
    ("ijk=jik=ikj", {"i": "0e+1o"}),
    ("ijk=-jik=-jki", {"i": "1o+1e"}),
    ("ijk=jki", {"i": "1o"}),
    ("ijk=ikj", {"i": "0e+1o", "j": "1o+0e"}),
    ("ijkl=-jikl=-ijlk=klij", {"i": "1o"}),
    (["1o", "0e+1o", "2e"], {}),
]


@pytest.mark.parametrize(("formula", "irreps"), BASES)
def test_reduced_bases_span_the_same_tensors(formula, irreps):
    """Which combination of equal irreps is free; the space they span is not."""
    theirs = e3nn.reduced_tensor_product_basis(
        [e3nn.Irreps(each) for each in formula] if isinstance(formula, list) else formula, **irreps
    )
    ours = e3.reduced_tensor_product_basis(formula, **irreps)
    assert str(ours.irreps) == str(theirs.irreps)
    for (mul, ir), a, b in zip(ours.irreps, ours.chunks, theirs.chunks, strict=True):
        a, b = (np.asarray(each, float).reshape(-1, mul, ir.dim) for each in (a, b))
        mixed = np.einsum("aui,avj->uivj", a, b)
        rotation = mixed[:, 0, :, 0]  # between the copies, and the same for every component
        same(mixed, np.einsum("uv,ij->uivj", rotation, np.eye(ir.dim)))
        same(rotation @ rotation.T, np.eye(mul))


def test_symmetric_bases_span_the_same_tensors():
    for name in ("symmetric", "antisymmetric"):
        function = f"reduced_{name}_tensor_product_basis"
        ours = getattr(e3, function)("0e+1o+2e", 3, keep_ir="0e+1o")
        theirs = getattr(e3nn, function)(e3nn.Irreps("0e+1o+2e"), 3, keep_ir="0e+1o")
        assert str(ours.irreps) == str(theirs.irreps)
        a, b = (np.asarray(each.array, float).reshape(9**3, -1) for each in (ours, theirs))
        same(a @ a.T, b @ b.T)


def test_layouts_and_reductions_are_equal():
    x, x_ = pair("1o+2x0e+1o+2e+2x0e", (2, 3))
    for name in ("sort", "regroup", "simplify", "axis_to_mul", "axis_to_irreps"):
        compare(getattr(x, name)(), getattr(x_, name)())
    compare(x.axis_to_mul().mul_to_axis(3), x_.axis_to_mul().mul_to_axis(3))
    compare(e3.sum(x), e3nn.sum(x_))
    compare(e3.mean(x, axis=(0, 2)), e3nn.mean(x_, axis=(0, 2)))
    for options in ({}, {"squared": True}, {"per_irrep": False}):
        compare(e3.norm(x, **options), e3nn.norm(x_, **options))
    compare(x[..., "1o+2e"], x_[..., "1o+2e"])
    compare(x * e3.ones("7x0e"), x_ * e3nn.ones("7x0e"))
    y, y_ = pair("1o+2x0e+1o+2e+2x0e", (2, 3), seed=1)
    compare(e3.dot(x, y), e3nn.dot(x_, y_))
    compare(e3.dot(x, y, per_irrep=True), e3nn.dot(x_, y_, per_irrep=True))
    compare(e3.cross(x[..., :3], y[..., :3]), e3nn.cross(x_[..., :3], y_[..., :3]))
    mask = np.array([[[True]], [[False]]])
    compare(e3.where(mask, x, y), e3nn.where(jnp.asarray(mask), x_, y_))
    matrix = e3.angles_to_matrix(0.3, 0.5, 0.7)
    compare(x.transform_by_matrix(-matrix), x_.transform_by_matrix(-matrix))
