import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3

KEY = jax.random.key(0)


def shapes(variables):
    return jax.tree.map(jnp.shape, variables["params"])


def random_array(irreps, lead=(), seed=0):
    irreps = e3.Irreps(irreps)
    data = np.random.default_rng(seed).normal(size=(*lead, irreps.dim))
    return e3.IrrepsArray(irreps, jnp.asarray(data, jnp.float32))


def test_frozen_vector_map():
    x = e3.IrrepsArray("2x1e", jnp.array([1.0, 0.0, 0.0, 0.0, 2.0, 0.0]))
    kernel = jnp.array([[-2.033], [-1.812]])
    y = e3.nn.Linear("1e").apply({"params": {"w[0,0] 2x1e,1x1e": kernel}}, x)
    assert y.irreps == "1e"
    np.testing.assert_allclose(y.array, [-1.438, -2.562, 0], atol=1e-3)


def test_frozen_map_between_irreps():
    x = e3.IrrepsArray("2x0e + 3x1o", jnp.arange(11.0) / 10)
    params = {
        "w[0,0] 2x0e,4x0e": jnp.arange(8.0).reshape(2, 4) / 10,
        "w[1,1] 3x1o,2x1o": jnp.arange(6.0).reshape(3, 2) / 10,
    }
    y = e3.nn.Linear("4x0e + 2x1o").apply({"params": params}, x)
    expected = [0.0283, 0.0354, 0.0424, 0.0495, 0.2425, 0.2771, 0.3118, 0.3291, 0.3811, 0.433]
    np.testing.assert_allclose(y.array, expected, atol=5e-5)


def test_parameters_follow_schurs_lemma_and_the_order_asked_for():
    layer = e3.nn.Linear("1o + 3x0e + 1o")
    x = random_array("3x0e + 2x1o")
    y, variables = layer.init_with_output(KEY, x)
    assert shapes(variables) == {
        "w[0,1] 3x0e,3x0e": (3, 3),
        "w[1,0] 2x1o,1x1o": (2, 1),
        "w[1,2] 2x1o,1x1o": (2, 1),
    }
    assert y.irreps == "1o+3x0e+1o"


def test_a_network_of_harmonics_products_and_a_linear_map():
    def inputs(x, f):
        return e3.tensor_product(e3.spherical_harmonics([0, 1, 2], x, False), f)

    x = e3.IrrepsArray("1o", jnp.array([1.0, 2.0, 0.0]))
    f = random_array("4x0e + 1o + 1e", (16,))
    y, variables = e3.nn.Linear("0e + 0o + 1o").init_with_output(KEY, inputs(x, f))
    assert f.shape == (16, 10) and y.shape == (16, 5)
    assert shapes(variables) == {
        "w[0,0] 5x0e,1x0e": (5, 1),
        "w[1,1] 1x0o,1x0o": (1, 1),
        "w[2,2] 7x1o,1x1o": (7, 1),
    }


def test_the_variance_of_components_is_kept():
    x = random_array("64x0e + 64x1o", (2000,))
    for path in ("element", "path"):
        for gradient in ("element", "path"):
            layer = e3.nn.Linear("64x0e + 64x1o", None, None, False, path, gradient)
            y, _ = layer.init_with_output(KEY, x)
            np.testing.assert_allclose(jnp.mean(y.array**2), 1.0, atol=0.1)


def test_the_factor_stands_in_the_forward_pass_or_in_the_initial_weights():
    x = e3.ones("100x0e")
    for gradient, deviation in (("path", 1.0), ("element", 0.1)):
        layer = e3.nn.Linear("100x0e", gradient_normalization=gradient)
        (w,) = jax.tree.leaves(layer.init(KEY, x))
        np.testing.assert_allclose(jnp.std(w), deviation, rtol=0.05)


def test_maps_commute_with_rotations_and_inversion():
    x = random_array("3x0e + 2x0o + 2x1o + 2e", (4,))
    layer = e3.nn.Linear("2x2e + 3x1o + 0o + 5x0e", biases=True)
    variables = layer.init(KEY, x)
    for element in (e3.matrix_x(0.4), -e3.matrix_z(0.3)):
        moved = layer.apply(variables, x.transform_by_matrix(element))
        expected = layer.apply(variables, x).transform_by_matrix(element)
        np.testing.assert_allclose(moved.array, expected.array, atol=1e-5)


def test_impossible_irreps_are_dropped_or_filled_with_zeros():
    x = random_array("2x1o")
    assert e3.nn.Linear("2e + 1o").init_with_output(KEY, x)[0].irreps == "1o"
    y, variables = e3.nn.Linear("2e + 1o", force_irreps_out=True).init_with_output(KEY, x)
    assert y.irreps == "2e+1o" and y.zero_flags == (True, False)
    assert shapes(variables) == {"w[0,1] 2x1o,1x1o": (2, 1)}


def test_biases_are_for_even_scalars_and_start_at_zero():
    x = random_array("0e + 0o + 1o")
    layer = e3.nn.Linear("2x0e + 0o + 1o", biases=True)
    y, variables = layer.init_with_output(KEY, x)
    assert shapes(variables)["b[0] 2x0e"] == (2,)
    assert sum(name.startswith("b") for name in variables["params"]) == 1
    variables["params"]["b[0] 2x0e"] += 1.0
    shift = layer.apply(variables, x).array - y.array
    np.testing.assert_allclose(shift, [1, 1, 0, 0, 0, 0], atol=1e-6)


def test_species_choose_their_weights():
    x = random_array("2x0e + 3x1o", (4,))
    species = jnp.array([0, 2, 1, 0])
    layer = e3.nn.Linear("3x1o + 2x0e", num_indexed_weights=3, biases=True)
    y, variables = layer.init_with_output(KEY, species, x)
    assert shapes(variables) == {
        "b[1] 2x0e": (3, 2),
        "w[0,1] 2x0e,2x0e": (3, 2, 2),
        "w[1,0] 3x1o,3x1o": (3, 3, 3),
    }
    for atom, kind in enumerate(species):
        own = jax.tree.map(lambda w, kind=kind: w[kind], variables)
        expected = e3.nn.Linear("3x1o + 2x0e", biases=True).apply(own, x[atom])
        np.testing.assert_allclose(y[atom].array, expected.array, atol=1e-5)
    with pytest.raises(ValueError, match="num_indexed_weights"):
        layer.init(KEY, x)


def test_numbers_mix_weights():
    x = random_array("2x1o", (4,))
    mixing = jnp.asarray(np.random.default_rng(1).normal(size=(4, 6)), jnp.float32)
    layer = e3.nn.Linear("3x1o")
    y, variables = layer.init_with_output(KEY, mixing, x)
    w = variables["params"]["w[0,0] 2x1o,3x1o"]
    assert w.shape == (6, 2, 3)
    expected = jnp.einsum("nd,duv,nui->nvi", mixing, w, x.chunks[0]) / np.sqrt(6 * 2)
    np.testing.assert_allclose(y.chunks[0], expected, atol=1e-5)


def test_channels_are_mixed_with_multiplicity():
    x = random_array("0e + 2x1o", (7, 4))
    y, variables = e3.nn.Linear("1o + 0e", channel_out=5).init_with_output(KEY, x)
    assert y.shape == (7, 5, 4) and y.irreps == "1o+0e"
    assert shapes(variables) == {"w[0,1] 4x0e,5x0e": (4, 5), "w[1,0] 8x1o,5x1o": (8, 5)}


def test_instructions_choose_the_paths():
    x = random_array("1o + 0e + 1o")
    layer = e3.nn.Linear("1o + 0e", instructions=((2, 0), (1, 1)), simplify_irreps_internally=False)
    assert set(shapes(layer.init(KEY, x))) == {"w[2,0] 1x1o,1x1o", "w[1,1] 1x0e,1x0e"}


def test_inputs_of_other_irreps_are_refused():
    with pytest.raises(ValueError, match="Linear: expected irreps"):
        e3.nn.Linear("0e", irreps_in="2x0e").init(KEY, e3.ones("1o"))


def test_zero_chunks_cost_no_weights():
    x = e3.from_chunks("2x0e + 1o", [None, jnp.ones((1, 3))], ())
    assert shapes(e3.nn.Linear("0e + 1o").init(KEY, x)) == {"w[0,0] 1x1o,1x1o": (1, 1)}


def test_precision_of_the_input_is_kept():
    with jax.enable_x64(True):
        for dtype in (jnp.float32, jnp.float64):
            y, variables = e3.nn.Linear("2x0e + 1o", biases=True).init_with_output(
                KEY, e3.ones("2x0e + 1o", (2,), dtype)
            )
            assert {y.dtype, *(w.dtype for w in jax.tree.leaves(variables))} == {jnp.dtype(dtype)}


def test_channels_keep_apart_with_weights_of_their_own():
    x = random_array("2x0e + 3x1o", (4, 6))
    layer = e3.nn.Linear("3x1o + 2x0e", weights_per_channel=True, biases=True)
    y, variables = layer.init_with_output(KEY, x)
    assert shapes(variables) == {
        "b[1] 2x0e": (6, 2),
        "w[0,1] 2x0e,2x0e": (6, 2, 2),
        "w[1,0] 3x1o,3x1o": (6, 3, 3),
    }
    own = jax.tree.map(lambda w: w[5], variables)
    expected = e3.nn.Linear("3x1o + 2x0e", biases=True).apply(own, x[:, 5])
    np.testing.assert_allclose(y[:, 5].array, expected.array, atol=1e-5)


def test_species_and_numbers_choose_weights_for_each_channel():
    x, species = random_array("2x1o", (4, 6)), jnp.array([0, 2, 1, 0])
    layer = e3.nn.Linear("3x1o", weights_per_channel=True, num_indexed_weights=3)
    y, variables = layer.init_with_output(KEY, species, x)
    w = variables["params"]["w[0,0] 2x1o,3x1o"]
    assert w.shape == (3, 6, 2, 3)
    expected = jnp.einsum("ncuv,ncui->ncvi", w[species], x.chunks[0]) / np.sqrt(2)
    np.testing.assert_allclose(y.chunks[0], expected, atol=1e-5)
    layer = e3.nn.Linear("3x1o", weights_per_channel=True)
    mixing = jnp.eye(3)[species]
    np.testing.assert_allclose(
        layer.apply(variables, mixing, x).chunks[0], expected / np.sqrt(3), atol=1e-5
    )


def test_instructions_count_the_entries_that_are_asked_for():
    x = random_array("1o + 0e + 1o")
    layer = e3.nn.Linear("2e + 1o", instructions=((2, 1),), simplify_irreps_internally=False)
    y, variables = layer.init_with_output(KEY, x)
    assert set(shapes(variables)) == {"w[2,1] 1x1o,1x1o"} and y.irreps == "1o"
    with pytest.raises(ValueError, match="simplify_irreps_internally=False with instructions"):
        e3.nn.Linear("1o", instructions=((2, 0),)).init(KEY, x)
    with pytest.raises(ValueError, match="between equal irreps"):
        layer.clone(instructions=((1, 1),)).init(KEY, x)


def test_channels_must_be_there_and_either_mixed_or_apart():
    with pytest.raises(ValueError, match="expected an axis of channels before the irreps"):
        e3.nn.Linear("1o", weights_per_channel=True).init(KEY, e3.ones("1o"))
    with pytest.raises(ValueError, match="weights_per_channel or channel_out, received both"):
        e3.nn.Linear("1o", weights_per_channel=True, channel_out=2).init(KEY, e3.ones("1o", (3,)))


def test_unknown_normalisations_are_refused():
    with pytest.raises(ValueError, match="for path_normalization, received 'paths'"):
        e3.nn.Linear("1o", path_normalization="paths").init(KEY, e3.ones("1o"))
    with pytest.raises(ValueError, match="expected weights and an input, received 3"):
        e3.nn.Linear("1o").init(KEY, jnp.ones(1), jnp.ones(1), e3.ones("1o"))
