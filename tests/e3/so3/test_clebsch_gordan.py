import itertools

import numpy as np
import pytest

from equipot import e3


def test_frozen_coefficients():
    half, tenth = 6**-0.5, 10**-0.5
    np.testing.assert_allclose(e3.clebsch_gordan(1, 1, 1)[0, 1], [0, 0, half], atol=1e-15)
    np.testing.assert_allclose(e3.clebsch_gordan(1, 1, 2)[0, 1], [0, tenth, 0, 0, 0], atol=1e-15)
    expected = [0, 0, 2 * 30**-0.5, 0, 0]
    np.testing.assert_allclose(e3.clebsch_gordan(1, 1, 2)[1, 1], expected, atol=1e-15)
    np.testing.assert_allclose(e3.clebsch_gordan(1, 1, 0)[..., 0], np.eye(3) / 3**0.5, atol=1e-15)


def test_squares_sum_to_one_and_slices_are_orthogonal():
    for l1, l2 in itertools.product(range(5), repeat=2):
        for l3 in range(abs(l1 - l2), l1 + l2 + 1):
            c = e3.clebsch_gordan(l1, l2, l3)
            gram = np.einsum("ijk,ijl->kl", c, c) * (2 * l3 + 1)
            np.testing.assert_allclose(gram, np.eye(2 * l3 + 1), atol=1e-13)


@pytest.mark.parametrize("degrees", [(11, 11, 11), (11, 10, 1), (11, 11, 22)])
def test_high_degrees_keep_full_precision(degrees):
    c = e3.clebsch_gordan(*degrees)
    gram = np.einsum("ijk,ijl->kl", c, c) * (2 * degrees[2] + 1)
    np.testing.assert_allclose(gram, np.eye(2 * degrees[2] + 1), atol=1e-12)


def test_coefficients_commute_with_rotations():
    for l1, l2, l3 in [(1, 1, 1), (2, 1, 3), (2, 2, 1), (3, 2, 2)]:
        c = e3.clebsch_gordan(l1, l2, l3)
        for g1, g2, g3 in zip(*(e3.Irrep(l, 1).generators() for l in (l1, l2, l3)), strict=True):
            moved = [("ia,ajk->ijk", g1), ("ja,iak->ijk", g2), ("ka,ija->ijk", g3)]
            total = sum(np.einsum(spec, g, c) for spec, g in moved)
            np.testing.assert_allclose(total, 0.0, atol=1e-13)


def test_forbidden_triples_are_zero_and_shapes_are_right():
    assert e3.clebsch_gordan(1, 1, 3).shape == (3, 3, 7)
    assert not e3.clebsch_gordan(1, 1, 3).any()
    with pytest.raises(ValueError, match="l >= 0"):
        e3.clebsch_gordan(-1, 0, 1)


def test_the_shared_table_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        e3.clebsch_gordan(1, 1, 1)[0, 0, 0] = 1.0


def test_half_spins_couple_to_singlet_and_triplet():
    triplet = e3.su2_clebsch_gordan(0.5, 0.5, 1)
    np.testing.assert_allclose(triplet[0], [[3**-0.5, 0, 0], [0, 6**-0.5, 0]], atol=1e-15)
    singlet = e3.su2_clebsch_gordan(0.5, 0.5, 0)[..., 0]
    np.testing.assert_allclose(singlet, [[0, -(0.5**0.5)], [0.5**0.5, 0]], atol=1e-15)
    assert not e3.su2_clebsch_gordan(0.5, 1, 1).any()
    assert abs(np.sum(e3.su2_clebsch_gordan(2.5, 1, 1.5) ** 2) - 1.0) < 1e-14
    for j in (-1, 0.3):
        with pytest.raises(ValueError, match="a spin of 0, 1/2"):
            e3.su2_generators(j)


@pytest.mark.parametrize("j", [0, 0.5, 1, 2.5])
def test_generators_of_su2_close_under_commutation(j):
    x, y, z = e3.su2_generators(j)
    np.testing.assert_allclose(x @ y - y @ x, z, atol=1e-13)
    np.testing.assert_allclose(y @ z - z @ y, x, atol=1e-13)
    casimir = -j * (j + 1) * np.eye(int(2 * j + 1))
    np.testing.assert_allclose(x @ x + y @ y + z @ z, casimir, atol=1e-13)
    np.testing.assert_allclose(x.conj().T, -x)
