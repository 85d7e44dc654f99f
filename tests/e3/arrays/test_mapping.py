import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3


def test_known_zeros_stay_known_inside_and_outside():
    x = e3.from_chunks("0e + 1o", [jnp.ones((4, 1, 1)), None], (4,))
    seen = []

    def square(x, factor):
        seen.append(x.zero_flags)
        return {"square": e3.tensor_product(x, x), "scaled": factor * x}

    result = e3.vmap(square, (0, None))(x, 2.0)
    assert seen == [(False, True)]
    assert result["scaled"].zero_flags == (False, True)
    assert result["square"].irreps == "2x0e+2x1o+1e+2e"
    assert result["square"].zero_flags == (False, True, True, True)
    np.testing.assert_array_equal(result["scaled"].array[:, 0], 2.0)


def test_other_arrays_and_keyword_arguments_are_mapped_as_usual():
    def f(x, y):
        return e3.sum(x, axis=-1) * y, y

    z, y = e3.vmap(f)(e3.ones("3x1o", (2,)), y=jnp.array([1.0, 2.0]))
    assert z.irreps == "1o"
    np.testing.assert_array_equal(z.array, [[3.0] * 3, [6.0] * 3])
    np.testing.assert_array_equal(y, [1.0, 2.0])


def test_the_irreps_axis_cannot_be_moved_by_mapping():
    with pytest.raises(ValueError, match="expected a last axis"):
        e3.vmap(lambda x: x, out_axes=1)(e3.ones("1o", (2,)))
