import itertools
import time

import numpy as np
import pytest

from equipot import e3
from equipot.e3.products import permutations


def gram(basis):
    flat = basis.array.reshape(np.prod(basis.shape[:-1], dtype=int), basis.irreps.dim)
    return flat.T @ flat


def moved(basis, indices, element):
    """Applies a rotation or reflection to every axis but the last, and its inverse to that."""
    array = basis.array
    for axis, irreps in enumerate(indices):
        d = np.asarray(e3.Irreps(irreps).D_from_matrix(element), float)
        array = np.moveaxis(np.tensordot(d, array, axes=(1, axis)), 0, axis)
    return array @ np.asarray(basis.irreps.D_from_matrix(element), float).T


CASES = [
    ("ij=ji", {"i": "1o"}, "0e+2e"),
    ("ij=-ji", {"i": "1o"}, "1e"),
    ("ij", {"i": "1o", "j": "0e+1o"}, "0e+1o+1e+2e"),
    ("ijk=jik=ikj", {"k": "1o"}, "1o+3o"),
    ("ijk=-jik=-ikj", {"i": "1o"}, "0o"),
    ("ijk=jki", {"i": "1o"}, "0o+1o+3o"),
    ("ijk=ikj", {"i": "0e+1o", "j": "1o+0e", "k": "1o+0e"}, "3x0e+4x1o+1e+2x2e+2o+3o"),
    ("ijkl=-jikl=-ijlk=klij", {"i": "1o"}, "0e+2e"),
    ("ijk=-jik=ikj", {"i": "1o"}, ""),
    ("ij=ji", {"i": "2x0e+1o+0x2e"}, "4x0e+2x1o+2e"),
]


@pytest.mark.parametrize(("formula", "irreps", "expected"), CASES)
def test_bases_are_orthonormal_symmetric_and_equivariant(formula, irreps, expected):
    basis = e3.reduced_tensor_product_basis(formula, **irreps)
    assert basis.irreps == expected and basis.array.dtype == np.float64
    np.testing.assert_allclose(gram(basis), np.eye(basis.irreps.dim), atol=1e-13)
    letters, group = permutations.parse_formula(formula)
    for permutation, sign in group.items():
        image = sign * basis.array.transpose(*permutation, len(letters))
        np.testing.assert_allclose(image, basis.array, atol=1e-13)
    indices = [irreps.get(letter, next(iter(irreps.values()))) for letter in letters]
    element = -np.asarray(e3.angles_to_matrix(0.3, 0.5, 0.7))
    np.testing.assert_allclose(moved(basis, indices, element), basis.array, atol=1e-5)


def test_known_tensors():
    trace = e3.reduced_tensor_product_basis("ij=ji", i="1o").array[..., 0]
    np.testing.assert_allclose(trace, np.eye(3) / 3**0.5, atol=1e-15)
    cross = e3.reduced_tensor_product_basis("ij=-ji", i="1o")
    assert cross.irreps == "1e"
    np.testing.assert_allclose(cross.array[1, 2], [0.5**0.5, 0, 0], atol=1e-15)
    np.testing.assert_allclose(cross.array[2, 1], [-(0.5**0.5), 0, 0], atol=1e-15)
    determinant = e3.reduced_antisymmetric_tensor_product_basis("1o", 3).array[..., 0]
    assert abs(abs(determinant[0, 1, 2]) - 6**-0.5) < 1e-15


def test_bases_are_complete():
    """As many tensors as the symmetry leaves independent numbers."""
    for irreps, degree in itertools.product(("1o", "0e+1o", "2x0e+1o+2e"), (1, 2, 3)):
        d = e3.Irreps(irreps).dim
        symmetric = e3.reduced_symmetric_tensor_product_basis(irreps, degree)
        antisymmetric = e3.reduced_antisymmetric_tensor_product_basis(irreps, degree)
        numbers = [sum(1 for _ in f(range(d), degree)) for f in (
            itertools.combinations_with_replacement, itertools.combinations)]  # fmt: skip
        assert [symmetric.irreps.dim, antisymmetric.irreps.dim] == numbers
        if degree > 1:
            product = np.tensordot(symmetric.array, antisymmetric.array, [range(degree)] * 2)
            np.testing.assert_allclose(product, 0.0, atol=1e-13)
    assert e3.reduced_antisymmetric_tensor_product_basis("1o", 4).irreps == ""
    assert e3.reduced_tensor_product_basis(["1o", "2e"]).irreps == "1o+2o+3o"


def test_only_the_irreps_asked_for_are_made():
    every = e3.reduced_symmetric_tensor_product_basis("0e+1o+2e", 3)
    some = e3.reduced_symmetric_tensor_product_basis("0e+1o+2e", 3, keep_ir="0e+1o")
    assert some.irreps == every.irreps.filter("0e+1o")
    np.testing.assert_array_equal(some.array, every.array[..., : some.irreps.dim])


def test_degree_three_of_four_irreps_takes_less_than_a_second():
    start = time.process_time()
    basis = e3.reduced_symmetric_tensor_product_basis("0e+1o+2e+3o", 3)
    again = e3.reduced_symmetric_tensor_product_basis("0e+1o+2e+3o", 3)
    assert time.process_time() - start < 2.0
    assert basis.shape == (16, 16, 16, 816)
    np.testing.assert_array_equal(basis.array, again.array)
    np.testing.assert_allclose(gram(basis), np.eye(816), atol=1e-12)


def test_formulas_that_do_not_fit_the_irreps_are_refused():
    with pytest.raises(ValueError, match="expected irreps of index i"):
        e3.reduced_tensor_product_basis("ij=ji")
    with pytest.raises(ValueError, match="the same irreps"):
        e3.reduced_tensor_product_basis("ij=ji", i="1o", j="0e+1o")
    with pytest.raises(ValueError, match="indices ij"):
        e3.reduced_tensor_product_basis("ij=ji", i="1o", k="1o")
    with pytest.raises(ValueError, match="irreps by letter"):
        e3.reduced_tensor_product_basis(["1o"], i="1o")
    with pytest.raises(ValueError, match="at least one index"):
        e3.reduced_tensor_product_basis([])
    with pytest.raises(ValueError, match="degree of at least 1"):
        e3.reduced_symmetric_tensor_product_basis("1o", 0)
