import jax
import numpy as np
import pytest

from equipot import e3
from tests.e3.layers import assert_equivariant, random_array, random_variables, shapes

KEY = jax.random.key(0)
SPECIES = np.array([0, 2, 1, 0], "int32")


def apply(layer, *inputs):
    """Random parameters as NumPy arrays, and the output with them."""
    variables = random_variables(layer, *inputs)
    y = jax.jit(layer.apply)(variables, *inputs)
    return y, jax.tree.map(np.asarray, variables["params"])


def chunks(x):
    """The data of each entry: [..., mul, 2l+1]."""
    array, lead = np.asarray(x.array), x.shape[:-1]
    entries = zip(x.irreps, x.irreps.slices(), strict=True)
    return [array[..., where].reshape(*lead, mul, ir.dim) for (mul, ir), where in entries]


def test_frozen_vector_map():
    x = e3.IrrepsArray("2x1e", np.array([1, 0, 0, 0, 2, 0], "f"))
    params = {"w[0,0] 2x1e,1x1e": np.array([[-2.033], [-1.812]], "f")}
    y = jax.jit(e3.nn.Linear("1e").apply)({"params": params}, x)
    assert y.irreps == "1e"
    np.testing.assert_allclose(y.array, [-1.438, -2.562, 0], atol=1e-3)


def test_frozen_map_between_irreps():
    x = e3.IrrepsArray("2x0e + 3x1o", np.arange(11, dtype="f") / 10)
    params = {
        "w[0,0] 2x0e,4x0e": np.arange(8, dtype="f").reshape(2, 4) / 10,
        "w[1,1] 3x1o,2x1o": np.arange(6, dtype="f").reshape(3, 2) / 10,
    }
    y = jax.jit(e3.nn.Linear("4x0e + 2x1o").apply)({"params": params}, x)
    expected = [0.0283, 0.0354, 0.0424, 0.0495, 0.2425, 0.2771, 0.3118, 0.3291, 0.3811, 0.433]
    np.testing.assert_allclose(y.array, expected, atol=5e-5)


def test_parameters_follow_schurs_lemma_and_the_order_asked_for():
    layer, x = e3.nn.Linear("1o + 3x0e + 1o"), random_array("3x0e + 2x1o")
    assert shapes(layer, x) == {
        "w[0,1] 3x0e,3x0e": (3, 3),
        "w[1,0] 2x1o,1x1o": (2, 1),
        "w[1,2] 2x1o,1x1o": (2, 1),
    }
    assert jax.eval_shape(layer.init_with_output, KEY, x)[0].irreps == "1o+3x0e+1o"


def test_a_network_of_harmonics_products_and_a_linear_map():
    def network(x, f):
        harmonics = e3.spherical_harmonics([0, 1, 2], x, False)
        layer = e3.nn.Linear("0e + 0o + 1o")
        return layer.init_with_output(KEY, e3.tensor_product(harmonics, f))

    x, f = random_array("1o"), random_array("4x0e + 1o + 1e", (16,))
    y, variables = jax.eval_shape(network, x, f)
    assert f.shape == (16, 10) and y.shape == (16, 5)
    assert jax.tree.map(np.shape, variables["params"]) == {
        "w[0,0] 5x0e,1x0e": (5, 1),
        "w[1,1] 1x0o,1x0o": (1, 1),
        "w[2,2] 7x1o,1x1o": (7, 1),
    }


@pytest.mark.parametrize(("path", "gradient"), [("element", "path"), ("path", "element")])
def test_the_variance_of_components_is_kept(path, gradient):
    x = random_array("64x0e + 32x1o + 16x0e", (1000,))
    layer = e3.nn.Linear("64x0e + 64x1o", None, None, False, path, gradient)
    y, variables = jax.jit(layer.init_with_output)(KEY, x)
    variances = [np.mean(np.square(y.array)[:, where]) for where in y.irreps.slices()]
    # 32 to 80 weights an output: means over 64 of them deviate by 0.02 to 0.03.
    np.testing.assert_allclose(variances, 1.0, atol=0.1)
    deviation = {"path": 1.0, "element": 80**-0.5}[gradient]
    w = variables["params"]["w[0,0] 80x0e,64x0e"]
    np.testing.assert_allclose(np.std(w), deviation, rtol=0.05)


def test_maps_commute_with_rotations_and_inversion():
    with jax.enable_x64(True):
        x = random_array("3x0e + 2x0o + 2x1o + 2e", (4,), dtype="float64")
        layer = e3.nn.Linear("2x2e + 3x1o + 0o + 5x0e", biases=True)
        variables = random_variables(layer, x)
        assert_equivariant(lambda x: layer.apply(variables, x), x)


def test_impossible_irreps_are_dropped_or_filled_with_zeros():
    x = random_array("2x1o")
    assert jax.eval_shape(e3.nn.Linear("2e + 1o").init_with_output, KEY, x)[0].irreps == "1o"
    layer = e3.nn.Linear("2e + 1o", force_irreps_out=True)
    y = layer.apply(random_variables(layer, x), x)
    assert y.irreps == "2e+1o" and y.zero_flags == (True, False)
    assert shapes(layer, x) == {"w[0,1] 2x1o,1x1o": (2, 1)}


def test_biases_are_for_even_scalars_and_start_at_zero():
    x = e3.IrrepsArray("0e + 0o + 1o", np.zeros(5, "f"))
    layer = e3.nn.Linear("2x0e + 0o + 1o", biases=True)
    y, params = apply(layer, x)
    assert [name for name in params if name.startswith("b")] == ["b[0] 2x0e"]
    np.testing.assert_array_equal(y.array, [*params["b[0] 2x0e"], 0, 0, 0, 0])
    initial = jax.jit(layer.init)(KEY, x)["params"]
    np.testing.assert_array_equal(initial["b[0] 2x0e"], [0, 0])


def test_species_choose_their_weights():
    x = random_array("2x0e + 3x1o", (4,))
    layer = e3.nn.Linear("3x1o + 2x0e", num_indexed_weights=3, biases=True)
    assert shapes(layer, SPECIES, x) == {
        "b[1] 2x0e": (3, 2),
        "w[0,1] 2x0e,2x0e": (3, 2, 2),
        "w[1,0] 3x1o,3x1o": (3, 3, 3),
    }
    y, params = apply(layer, SPECIES, x)
    (scalars, vectors), (made_vectors, made_scalars) = chunks(x), chunks(y)
    w, v, b = (params[name][SPECIES] for name in sorted(params, key=lambda n: (n[0] == "b", n)))
    expected = np.einsum("nui,nuv->nvi", scalars, w) / np.sqrt(2) + b[..., None]
    np.testing.assert_allclose(made_scalars, expected, atol=1e-5)
    expected = np.einsum("nui,nuv->nvi", vectors, v) / np.sqrt(3)
    np.testing.assert_allclose(made_vectors, expected, atol=1e-5)
    with pytest.raises(ValueError, match="num_indexed_weights"):
        shapes(layer, x)


def test_numbers_mix_weights():
    x = random_array("2x1o", (4,))
    mixing = np.random.default_rng(1).normal(size=(4, 6)).astype("f")
    y, params = apply(e3.nn.Linear("3x1o"), mixing, x)
    w = params["w[0,0] 2x1o,3x1o"]
    assert w.shape == (6, 2, 3)
    expected = np.einsum("nd,duv,nui->nvi", mixing, w, chunks(x)[0]) / np.sqrt(6 * 2)
    np.testing.assert_allclose(chunks(y)[0], expected, atol=1e-5)


def test_channels_are_mixed_with_multiplicity():
    x = random_array("0e + 2x1o", (7, 4))
    y, params = apply(e3.nn.Linear("1o + 0e", channel_out=5), x)
    assert y.shape == (7, 5, 4) and y.irreps == "1o+0e"
    found = {name: w.shape for name, w in params.items()}
    assert found == {"w[0,1] 4x0e,5x0e": (4, 5), "w[1,0] 8x1o,5x1o": (8, 5)}
    expected = np.asarray(x.array)[..., 0] @ params["w[0,1] 4x0e,5x0e"] / 2
    np.testing.assert_allclose(np.asarray(y.array)[..., 3], expected, atol=1e-5)


def test_instructions_choose_the_paths():
    x = random_array("1o + 0e + 1o")
    layer = e3.nn.Linear("1o + 0e", instructions=((2, 0), (1, 1)), simplify_irreps_internally=False)
    assert set(shapes(layer, x)) == {"w[2,0] 1x1o,1x1o", "w[1,1] 1x0e,1x0e"}


def test_instructions_count_the_entries_that_are_asked_for():
    x = random_array("1o + 0e + 1o")
    layer = e3.nn.Linear("2e + 1o", instructions=((2, 1),), simplify_irreps_internally=False)
    y, params = apply(layer, x)
    assert set(params) == {"w[2,1] 1x1o,1x1o"} and y.irreps == "1o"
    np.testing.assert_allclose(chunks(y)[0], chunks(x)[2] * params["w[2,1] 1x1o,1x1o"], rtol=1e-6)
    with pytest.raises(ValueError, match="simplify_irreps_internally=False with instructions"):
        shapes(e3.nn.Linear("1o", instructions=((2, 0),)), x)
    with pytest.raises(ValueError, match="between equal irreps"):
        shapes(layer.clone(instructions=((1, 1),)), x)


def test_inputs_of_other_irreps_are_refused():
    with pytest.raises(ValueError, match="Linear: expected irreps 2x0e, received 1x1o"):
        shapes(e3.nn.Linear("0e", irreps_in="2x0e"), random_array("1o"))


def test_zero_chunks_cost_no_weights():
    x = e3.from_chunks("2x0e + 1o", [None, np.ones((1, 3), "f")], ())
    variables = jax.eval_shape(lambda key: e3.nn.Linear("0e + 1o").init(key, x), KEY)
    assert set(variables["params"]) == {"w[0,0] 1x1o,1x1o"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_precision_of_the_input_is_kept(dtype):
    with jax.enable_x64(True):
        layer = e3.nn.Linear("2x0e + 1o", biases=True)
        x = random_array("2x0e + 1o", (2,), dtype=dtype)
        outputs = jax.eval_shape(layer.init_with_output, KEY, x)
        assert {leaf.dtype for leaf in jax.tree.leaves(outputs)} == {np.dtype(dtype)}


def test_channels_keep_apart_with_weights_of_their_own():
    x = random_array("2x0e + 3x1o", (4, 6))
    layer = e3.nn.Linear("3x1o + 2x0e", weights_per_channel=True, biases=True)
    y, params = apply(layer, x)
    assert shapes(layer, x) == {
        "b[1] 2x0e": (6, 2),
        "w[0,1] 2x0e,2x0e": (6, 2, 2),
        "w[1,0] 3x1o,3x1o": (6, 3, 3),
    }
    expected = np.einsum("ncui,cuv->ncvi", chunks(x)[0], params["w[0,1] 2x0e,2x0e"]) / np.sqrt(2)
    expected = expected + params["b[1] 2x0e"][..., None]
    np.testing.assert_allclose(chunks(y)[1], expected, atol=1e-5)


def test_species_and_numbers_choose_weights_for_each_channel():
    x = random_array("2x1o", (4, 6))
    layer = e3.nn.Linear("3x1o", weights_per_channel=True, num_indexed_weights=3)
    y, params = apply(layer, SPECIES, x)
    w = params["w[0,0] 2x1o,3x1o"]
    assert w.shape == (3, 6, 2, 3)
    expected = np.einsum("ncuv,ncui->ncvi", w[SPECIES], chunks(x)[0]) / np.sqrt(2)
    np.testing.assert_allclose(chunks(y)[0], expected, atol=1e-5)
    layer = e3.nn.Linear("3x1o", weights_per_channel=True)
    y = jax.jit(layer.apply)({"params": params}, np.eye(3, dtype="f")[SPECIES], x)
    np.testing.assert_allclose(chunks(y)[0], expected / np.sqrt(3), atol=1e-5)


def test_channels_must_be_there_and_either_mixed_or_apart():
    for options in ({"weights_per_channel": True}, {"channel_out": 2}):
        with pytest.raises(ValueError, match="expected an axis of channels before the irreps"):
            shapes(e3.nn.Linear("1o", **options), random_array("1o"))
    with pytest.raises(ValueError, match="weights_per_channel or channel_out, received both"):
        layer = e3.nn.Linear("1o", weights_per_channel=True, channel_out=2)
        shapes(layer, random_array("1o", (3,)))


def test_unknown_normalisations_and_too_many_inputs_are_refused():
    x = random_array("1o")
    with pytest.raises(ValueError, match="for path_normalization, received 'paths'"):
        shapes(e3.nn.Linear("1o", path_normalization="paths"), x)
    with pytest.raises(ValueError, match="expected weights and an input, received 3"):
        shapes(e3.nn.Linear("1o"), np.ones(1), np.ones(1), x)


@pytest.mark.parametrize("channel_out", [None, 2])
def test_forced_irreps_are_those_asked_for_to_the_letter(channel_out):
    irreps = "0e + 2x0e + 0x3e + 1o + 2e"
    x = e3.ones("3x0e + 1o", (4,))
    forced = e3.nn.Linear(irreps, channel_out=channel_out, force_irreps_out=True)
    free = e3.nn.Linear(irreps, channel_out=channel_out)
    params = free.init(jax.random.key(0), x)
    y = forced.apply(forced.init(jax.random.key(0), x), x)
    assert tuple(y.irreps) == tuple(e3.Irreps(irreps))
    assert y.zero_flags == (False, False, True, False, True)
    np.testing.assert_allclose(y[..., :6].array, free.apply(params, x).array, atol=1e-6)
