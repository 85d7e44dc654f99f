import jax
import numpy as np
import pytest

from equipot import e3
from equipot.e3.products.functional_tensor_product import (
    FunctionalFullyConnectedTensorProduct,
    FunctionalTensorProduct,
)
from tests.e3.layers import assert_equivariant, random_array, random_weights

# mode: multiplicities, shape of the weights, number of products in a sum, and the sum itself
MODES = {
    "uvw": ((2, 3, 4), (2, 3, 4), 6, "uvw,ui,vj,ijk->wk"),
    "uvu": ((2, 3, 2), (2, 3), 3, "uv,ui,vj,ijk->uk"),
    "uvv": ((2, 3, 3), (2, 3), 2, "uv,ui,vj,ijk->vk"),
    "uuw": ((3, 3, 4), (3, 4), 3, "uw,ui,uj,ijk->wk"),
    "uuu": ((3, 3, 3), (3,), 1, "u,ui,uj,ijk->uk"),
    "uvuv": ((2, 3, 6), (2, 3), 1, "uv,ui,vj,ijk->uvk"),
    "uvu<v": ((4, 4, 6), (6,), 1, "p,pi,pj,ijk->pk"),
    "u<vw": ((4, 4, 5), (6, 5), 6, "pw,pi,pj,ijk->wk"),
}
WITHOUT_WEIGHTS = [mode for mode in MODES if "w" not in mode]


def one_path(mode, has_weight=True, **options):
    (mul1, mul2, mul3), *_ = MODES[mode]
    irreps = (f"{mul1}x1o", f"{mul2}x2e", f"{mul3}x2o")
    return FunctionalTensorProduct(*irreps, [(0, 0, 0, mode, has_weight)], **options)


def test_frozen_fully_connected_product():
    irreps = "2x0e+3x1e"
    product = FunctionalFullyConnectedTensorProduct(irreps, irreps, irreps)
    assert repr(product) == (
        "FunctionalTensorProduct(2x0e+3x1e x 2x0e+3x1e -> 2x0e+3x1e | 89 paths | 89 weights)"
    )
    shapes = [item.path_shape for item in product.instructions]
    assert shapes == [(2, 2, 2), (2, 3, 3), (3, 2, 3), (3, 3, 2), (3, 3, 3)]
    factors = [item.path_weight for item in product.instructions]
    scalar, vector = 13**-0.5, (3 / 21) ** 0.5
    np.testing.assert_allclose(factors, [scalar, vector, vector, scalar, vector])
    assert product.num_weights == 89
    ws = [np.arange(np.prod(s), dtype="f").reshape(s) / 10 for s in shapes]
    x = e3.IrrepsArray(irreps, np.arange(11.0, dtype="f") / 10)
    expected = [1.6849, 1.8437, 0.0972, 0.0609, 0.1247, 0.1037, 0.0688, 0.1338, 0.1103, 0.0767]
    for given in (ws, np.concatenate([w.ravel() for w in ws])):
        z = jax.jit(product.left_right)(given, x, x)
        assert z.irreps == irreps
        np.testing.assert_allclose(z.array, [*expected, 0.143], atol=5e-5)


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_is_the_sum_that_it_names(mode):
    (mul1, mul2, mul3), shape, number, equation = MODES[mode]
    product = one_path(mode)
    (item,) = product.instructions
    assert (item.path_shape, item.num_elements) == (shape, number)
    np.testing.assert_allclose(item.path_weight, np.sqrt(5 / number))
    x, y = random_array(product.irreps_in1), random_array(product.irreps_in2, seed=2)
    (w,) = random_weights(product.instructions)
    a, b = np.reshape(x.array, (mul1, 3)), np.reshape(y.array, (mul2, 5))
    if "<" in mode:
        u, v = np.array([(u, v) for u in range(mul1) for v in range(mul1) if u < v]).T
        a, b = a[u], b[v]
    table = e3.clebsch_gordan(1, 2, 2) * np.sqrt(5 / number)
    expected = np.einsum(equation, np.asarray(w, np.float64), a, b, table)
    z = jax.jit(product.left_right)([w], x, y).array
    np.testing.assert_allclose(z, expected.reshape(mul3 * 5), atol=1e-5)
    if mode in WITHOUT_WEIGHTS:
        expected = np.einsum(equation, np.ones(shape), a, b, table)
        z = jax.jit(one_path(mode, has_weight=False).left_right)([], x, y).array
        np.testing.assert_allclose(z, expected.reshape(mul3 * 5), atol=1e-5)


def test_products_of_all_modes_commute_with_rotations_and_inversion():
    muls = [mul for mul, *_ in MODES.values()]
    irreps = [e3.Irreps([(mul[n], ir) for mul in muls]) for n, ir in enumerate(("1o", "2e", "2o"))]
    paths = [(n, n, n, mode, True) for n, mode in enumerate(MODES)]
    product = FunctionalTensorProduct(*irreps, paths)
    with jax.enable_x64(True):
        x, y = (random_array(each, seed=n, dtype="float64") for n, each in enumerate(irreps[:2]))
        ws = random_weights(product.instructions, dtype="float64")
        assert_equivariant(lambda x, y: product.left_right(ws, x, y), x, y)


def mixed_product(**options):
    paths = [(0, 0, 0, "uvw", True), (1, 1, 0, "uvw", True, 2.0), (0, 1, 1, "uvw", True)]
    return FunctionalTensorProduct("2x0e+3x1o", "4x1o+2x0e", "5x1o+2x0e", paths, **options)


def test_factors_of_each_normalisation():
    def factors(**options):
        items = mixed_product(**options).instructions
        return [item.path_weight for item in items], [item.weight_std for item in items]

    one = [1.0, 1.0, 1.0]
    plain = np.sqrt([3 / 14, 2 * 3 / 14, 1 / 4])
    np.testing.assert_allclose(factors(), [plain, one])
    np.testing.assert_allclose(factors(gradient_normalization="element"), [one, plain])
    half = np.sqrt(plain)
    np.testing.assert_allclose(factors(gradient_normalization=0.5), [half, half])
    np.testing.assert_allclose(
        factors(path_normalization="path")[0], np.sqrt([3 / 16, 2 * 3 / 12, 1 / 4])
    )
    bare = np.sqrt([1 / 14, 2 / 14, 1 / 4])
    np.testing.assert_allclose(factors(irrep_normalization="none")[0], bare)
    np.testing.assert_allclose(factors(irrep_normalization="norm")[0], plain)
    variances = {"in1_var": [1.0, 2.0], "in2_var": [3.0, 1.0], "out_var": [1.0, 5.0]}
    np.testing.assert_allclose(factors(**variances)[0], np.sqrt([3 / 36, 6 / 36, 5 / 4]))
    mixed = factors(path_normalization=0.3, gradient_normalization=0.25, **variances)
    np.testing.assert_allclose(
        mixed, [[0.726228, 0.812812, 1.028286], [0.383018, 0.536996, 1.08728]], atol=1e-6
    )


def test_paths_without_weights_have_the_whole_factor_in_the_forward_pass():
    (item,) = one_path("uvv", False, gradient_normalization="element").instructions
    np.testing.assert_allclose((item.path_weight, item.weight_std), (np.sqrt(5 / 2), 0.0))


def test_the_variance_of_components_is_kept():
    irreps = "8x0e + 6x1o + 4x2e"
    product = FunctionalFullyConnectedTensorProduct(irreps, irreps, irreps)
    x, y = random_array(irreps, (1000,)), random_array(irreps, (1000,), seed=2)
    z = jax.jit(product.left_right)(random_weights(product.instructions), x, y)
    variances = [np.mean(np.square(z.array)[:, where]) for where in z.irreps.slices()]
    # Some 100 weights an output, whose squares deviate by sqrt(2) each: the mean over 4 to 8
    # outputs deviates by 0.05 to 0.07, that over 1000 places by less.
    np.testing.assert_allclose(variances, 1.0, atol=0.25)


def test_weights_are_shared_or_one_set_for_each_place():
    product = mixed_product()
    x, y = random_array("2x0e+3x1o", (5,)), random_array("4x1o+2x0e", (5,), seed=2)
    for lead, axis in (((), None), ((5,), 0)):
        ws = random_weights(product.instructions, lead)
        broadcast = jax.jit(product.left_right)(ws, x, y)
        mapped = jax.jit(jax.vmap(product.left_right, (axis, 0, 0)))(ws, x, y)
        np.testing.assert_allclose(broadcast.array, mapped.array, atol=1e-5)
    one = jax.jit(product.left_right)(
        [np.asarray(w)[3] for w in ws],
        e3.IrrepsArray(x.irreps, np.asarray(x.array)[3]),
        e3.IrrepsArray(y.irreps, np.asarray(y.array)[3]),
    )
    np.testing.assert_allclose(np.asarray(mapped.array)[3], one.array, atol=1e-5)


def test_channels_are_added_by_three_nested_maps():
    irreps = "2x0e+1o"
    product = FunctionalFullyConnectedTensorProduct(irreps, irreps, irreps)
    single = product.left_right
    f = jax.vmap(single, (0, None, None), 0)  # channels of the output
    f = jax.vmap(f, (0, None, 0), 0)  # of the second factor
    f = jax.vmap(f, (0, 0, None), 0)  # of the first
    ws = random_weights(product.instructions, (2, 3, 4))
    x, y = random_array(irreps, (7, 2)), random_array(irreps, (7, 3), seed=2)

    def layer(ws, x, y):
        return e3.sum(f(ws, x, y), axis=(0, 1)) / np.float32(np.sqrt(6))

    product.left_right = layer  # as the pages of the peer do
    z = jax.jit(jax.vmap(product.left_right, (None, 0, 0)))(ws, x, y)
    assert z.shape == (7, 4, 5)

    def channel(ws, x, y):
        terms = [
            single([w[i, j, 1] for w in ws], x[5, i], y[5, j]).array
            for i in range(2)
            for j in range(3)
        ]
        return sum(terms[1:], terms[0])

    expected = np.asarray(jax.jit(channel)(ws, x, y)) / np.sqrt(6)
    np.testing.assert_allclose(np.asarray(z.array)[5, 1], expected, atol=1e-5)


def test_the_matrix_of_a_second_factor_maps_the_first():
    product = mixed_product()
    x, y = random_array("2x0e+3x1o"), random_array("4x1o+2x0e")
    ws = random_weights(product.instructions)
    matrix = jax.jit(product.right)(ws, y)
    assert matrix.shape == (11, 17)
    expected = jax.jit(product.left_right)(ws, x, y).array
    np.testing.assert_allclose(np.asarray(x.array) @ np.asarray(matrix), expected, atol=1e-5)


def test_entries_without_paths_are_zero_and_masked():
    product = FunctionalFullyConnectedTensorProduct("2x1o", "1o", "2x1o + 1e + 4e")
    assert product.output_mask.tolist() == [False] * 6 + [True] * 3 + [False] * 9
    ws, y = random_weights(product.instructions), random_array("1o")
    assert product.left_right(ws, random_array("2x1o"), y).zero_flags == (True, False, True)
    assert product.left_right(ws, e3.zeros("2x1o"), y).zero_flags == (True, True, True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_precision_of_the_input_is_kept(dtype):
    with jax.enable_x64(True):
        product = one_path("uvu")
        x, y = (random_array(each, dtype=dtype) for each in ("2x1o", "3x2e"))
        ws = random_weights(product.instructions, dtype=dtype)
        assert jax.eval_shape(product.left_right, ws, x, y).dtype == dtype


@pytest.mark.parametrize(
    ("irreps", "path", "message"),
    [
        (("1o", "1o", "1o"), (0, 0, 0, "uvw", True), "expected one of .0e, 1e, 2e. as the product"),
        (("1o", "1o", "3e"), (0, 0, 0, "uvw", True), "received 3e"),
        (("2x1o", "3x1o", "3x1e"), (0, 0, 0, "uvu", True), "expected multiplicity 2 of the output"),
        (("2x1o", "3x1o", "3x1e"), (0, 0, 0, "uuw", True), "equal multiplicities of the factors"),
        (("2x1o", "3x1o", "3x1e"), (0, 0, 0, "vuw", True), "expected a mode of"),
        (("2x1o", "3x1o", "3x1e"), (0, 0, 1, "uvv", True), "expected entries of 2x1o, of 3x1o"),
        (("2x1o", "3x1o", "3x1e"), (0, 0, 0, "uvw", False), "expected weights"),
        (("2x1o", "3x1o", "3x1e"), (0, 0, 0, "uvv"), "expected a path .i_in1, i_in2"),
    ],
)
def test_impossible_paths_are_refused(irreps, path, message):
    with pytest.raises(ValueError, match=message):
        FunctionalTensorProduct(*irreps, [path])


def test_wrong_inputs_are_refused():
    product = one_path("uvu")
    x, y = random_array("2x1o"), random_array("3x2e")
    with pytest.raises(ValueError, match="expected irreps 2x1o, received 2x1e"):
        product.left_right(np.ones(6), random_array("2x1e"), y)
    with pytest.raises(ValueError, match="expected 6 weights"):
        product.left_right(np.ones(5), x, y)
    with pytest.raises(ValueError, match=r"shapes end in \[\(2, 3\)\]"):
        product.left_right([np.ones((3, 2))], x, y)
    with pytest.raises(ValueError, match="expected 1 variances"):
        one_path("uvu", in1_var=[1.0, 2.0])
    with pytest.raises(ValueError, match="expected a normalisation of"):
        one_path("uvu", irrep_normalization="other")
