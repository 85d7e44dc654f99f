import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3
from equipot.e3.products.functional_linear import FunctionalLinear
from tests.e3.layers import assert_equivariant, random_array, random_weights


def test_frozen_map_between_irreps():
    linear = FunctionalLinear("2x0e + 3x1o", "4x0e + 2x1o")
    assert linear.num_weights == 14
    assert [item[:3] for item in linear.instructions] == [(0, 0, (2, 4)), (1, 1, (3, 2))]
    factors = [item.path_weight for item in linear.instructions]
    np.testing.assert_allclose(factors, [2**-0.5, 3**-0.5])
    ws = [
        np.arange(8.0, dtype="f").reshape(2, 4) / 10,
        np.arange(6.0, dtype="f").reshape(3, 2) / 10,
    ]
    x = e3.IrrepsArray("2x0e + 3x1o", np.arange(11.0, dtype="f") / 10)
    expected = [0.0283, 0.0354, 0.0424, 0.0495, 0.2425, 0.2771, 0.3118, 0.3291, 0.3811, 0.433]
    for given in (ws, np.concatenate([w.ravel() for w in ws])):
        y = jax.jit(linear)(given, x)
        assert y.irreps == "4x0e+2x1o"
        np.testing.assert_allclose(y.array, expected, atol=5e-5)


def test_schurs_lemma_leaves_one_matrix_for_each_pair_of_equal_irreps():
    linear = FunctionalLinear("3x0e + 2x1o", "1o + 3x0e + 1o")
    assert [item[:3] for item in linear.instructions] == [
        (0, 1, (3, 3)),
        (1, 0, (2, 1)),
        (1, 2, (2, 1)),
    ]


def test_factors_of_each_normalisation():
    def factors(path, gradient):
        linear = FunctionalLinear(
            "3x0e + 2x1o + 5x0e",
            "4x0e + 1o",
            path_normalization=path,
            gradient_normalization=gradient,
        )
        return [(item.path_weight, item.weight_std) for item in linear.instructions]

    one = [1.0, 1.0, 1.0]
    element, path = [8**-0.5, 2**-0.5, 8**-0.5], [6**-0.5, 2**-0.5, 10**-0.5]
    np.testing.assert_allclose(factors("element", "path"), np.stack([element, one], -1))
    np.testing.assert_allclose(factors("element", "element"), np.stack([one, element], -1))
    np.testing.assert_allclose(factors("path", "path"), np.stack([path, one], -1))
    half = np.sqrt(path)
    np.testing.assert_allclose(factors("path", 0.5), np.stack([half, half], -1))


def test_maps_commute_with_rotations_and_inversion():
    with jax.enable_x64(True):
        linear = FunctionalLinear("3x0e + 2x0o + 2x1o + 2e", "2x2e + 3x1o + 0o + 5x0e", None, True)
        x = random_array(linear.irreps_in, (4,), dtype="float64")
        ws = random_weights(linear.instructions, dtype="float64")
        assert_equivariant(lambda x: linear(ws, x), x)


def test_the_matrix_is_the_linear_part_of_the_map():
    linear = FunctionalLinear("3x0e + 2x1o", "1o + 3x0e + 1o", biases=[False, True, False])
    x, ws = random_array("3x0e + 2x1o"), random_weights(linear.instructions)
    expected = x.array @ jax.jit(linear.matrix)(ws)
    expected = np.asarray(expected) + np.pad(ws[-1], (3, 3))
    np.testing.assert_allclose(jax.jit(linear)(ws, x).array, expected, atol=1e-5)


def test_entries_without_weights_are_zero_and_masked():
    linear = FunctionalLinear("2x1o + 0x2e", "1e + 1o + 2e + 2x0e", biases=True)
    assert linear.output_mask.tolist() == [False] * 3 + [True] * 3 + [False] * 5 + [True] * 2
    y = linear(random_weights(linear.instructions), random_array("2x1o + 0x2e"))
    assert y.zero_flags == (True, False, True, False)


def test_zero_chunks_are_skipped():
    linear = FunctionalLinear("2x0e + 1o", "0e + 1o")
    x = e3.from_chunks("2x0e + 1o", [None, np.ones((1, 3), "f")], ())
    assert linear(random_weights(linear.instructions), x).zero_flags == (True, False)


def test_weights_are_shared_or_one_set_for_each_place():
    linear = FunctionalLinear("2x0e + 3x1o", "4x0e + 2x1o", biases=True)
    x = random_array("2x0e + 3x1o", (5,))
    shared, own = (random_weights(linear.instructions, lead) for lead in ((), (5,)))
    for ws, axis in ((shared, None), (own, 0)):
        broadcast = jax.jit(linear)(ws, x)
        mapped = jax.jit(jax.vmap(linear, (axis, 0)))(ws, x)
        np.testing.assert_allclose(broadcast.array, mapped.array, atol=1e-6)
    matrix, bias = np.asarray(own[0][3]), np.asarray(own[2][3])
    expected = np.asarray(x.array)[3, :2] @ matrix / np.sqrt(2) + bias
    np.testing.assert_allclose(np.asarray(broadcast.array)[3, :4], expected, atol=1e-5)


def test_vectors_of_weights_are_split_in_order():
    linear = FunctionalLinear("2x0e + 1o", "3x0e + 1o", biases=True)
    parts = linear.split_weights(jnp.arange(10.0))
    expected = [np.arange(6.0).reshape(2, 3), [[6.0]], [7.0, 8.0, 9.0]]
    jax.tree.map(np.testing.assert_array_equal, parts, [np.array(e) for e in expected])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_precision_of_the_input_is_kept(dtype):
    with jax.enable_x64(True):
        linear = FunctionalLinear("2x0e + 1o", "3x0e + 1o", biases=True)
        ws = random_weights(linear.instructions, dtype=dtype)
        assert jax.eval_shape(linear, ws, random_array("2x0e + 1o", dtype=dtype)).dtype == dtype


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match=r"between equal irreps, received \(0, 1\) from 2x0e to"):
        FunctionalLinear("2x0e", "0e + 1o", [(0, 1)])
    with pytest.raises(ValueError, match="expected a pair of entries, received"):
        FunctionalLinear("2x0e", "0e + 1o", [(0, 2)])
    with pytest.raises(ValueError, match="biases for 0e alone, received one for 1x1o"):
        FunctionalLinear("2x0e", "0e + 1o", biases=[True, True])
    with pytest.raises(ValueError, match="expected 2 biases"):
        FunctionalLinear("2x0e", "0e + 1o", biases=[True])


def test_wrong_weights_and_inputs_are_refused():
    linear = FunctionalLinear("2x0e", "3x0e")
    x = random_array("2x0e")
    with pytest.raises(ValueError, match=r"shapes end in \[\(2, 3\)\], received \[\(3, 2\)\]"):
        linear([np.ones((3, 2))], x)
    with pytest.raises(ValueError, match="expected weights whose shapes end in"):
        linear([], x)
    with pytest.raises(ValueError, match="expected 6 weights along the last axis"):
        linear(np.ones(7), x)
    with pytest.raises(ValueError, match="expected irreps 2x0e, received 2x0o"):
        linear(np.ones(6), random_array("2x0o"))
