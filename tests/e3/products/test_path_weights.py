import numpy as np
import pytest

from equipot.e3.products import path_weights


def test_shares_follow_the_named_and_the_mixed_normalisations():
    sizes, outputs = [3, 5, 2], [0, 0, 1]
    shares = path_weights.variances(sizes, outputs, "element")
    np.testing.assert_allclose(shares, [1 / 8, 1 / 8, 1 / 2])
    shares = path_weights.variances(sizes, outputs, "path")
    np.testing.assert_allclose(shares, [1 / 6, 1 / 10, 1 / 2])
    shares = path_weights.variances(sizes, outputs, 0.3)
    np.testing.assert_allclose(np.sqrt(shares), [0.370381, 0.343061, 0.707107], atol=1e-6)


@pytest.mark.parametrize("normalization", ["element", "path", 0.3, 0.8])
def test_variances_of_paths_into_one_output_sum_to_one(normalization):
    sizes = [1, 4, 9, 30]
    shares = path_weights.variances(sizes, [0] * 4, normalization)
    np.testing.assert_allclose(np.dot(sizes, shares), 1.0)


def test_paths_without_products_take_no_share():
    assert path_weights.variances([0, 4], [0, 0], "path") == [1.0, 0.25]


def test_a_factor_is_split_between_forward_pass_and_initial_weights():
    assert path_weights.split_factor(0.25, "path") == (0.25, 1.0)
    assert path_weights.split_factor(0.25, "element") == (1.0, 0.25)
    np.testing.assert_allclose(path_weights.split_factor(0.25, 0.5), (0.5, 0.5))


@pytest.mark.parametrize("normalization", ["sum", -0.1, 2])
def test_unknown_normalisations_are_refused(normalization):
    with pytest.raises(ValueError, match="'element', 'path' or a number from 0 to 1 for path_norm"):
        path_weights.variances([1], [0], normalization)
    with pytest.raises(ValueError, match="for gradient_normalization, received"):
        path_weights.split_factor(1.0, normalization)
