import jax
import numpy as np
import pytest

from equipot import e3


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("16x0e + 16x1o", "16x0e+16x1o"),
        ("0e", "1x0e"),
        ("2y + 3y", "1x2e+1x3o"),
        ("0x2e+1o", "0x2e+1x1o"),
        ("", "Irreps()"),
    ],
)
def test_irreps_are_read_and_printed(text, printed):
    assert repr(e3.Irreps(text)) == printed
    assert e3.Irreps(text) == text


def test_irreps_are_read_from_objects():
    sources = [(2, "1o"), "0e", (1, (2, 1)), e3.Irrep("1e"), e3.MulIrrep(3, e3.Irrep("0o"))]
    assert e3.Irreps(sources) == "2x1o+1x0e+1x2e+1x1e+3x0o"
    assert e3.Irreps(e3.Irrep("1o")) == "1o"
    scalar, vector = e3.Irrep("0e"), e3.Irrep("1o")
    assert 1 * scalar + 1 * vector + 1 * vector == "0e+1o+1o"


@pytest.mark.parametrize("text", ["foo", "1", "1x", "-1o", "1o x"])
def test_bad_strings_are_refused(text):
    with pytest.raises(ValueError, match="unable to convert string"):
        e3.Irrep(text)
    with pytest.raises(ValueError, match="Unable to convert string"):
        e3.Irreps(f"{text} + 0e")


def test_bad_degrees_and_parities_are_refused():
    with pytest.raises(ValueError, match="degree"):
        e3.Irrep(-1, 1)
    with pytest.raises(ValueError, match="parity"):
        e3.Irrep(1, 2)


def test_only_even_scalars_are_invariant():
    assert e3.Irrep("0e").is_scalar()
    assert not e3.Irrep("0o").is_scalar()
    assert e3.Irreps("4x0e+0x1o").is_scalar()


def test_irreps_are_ordered_by_degree_then_natural_parity():
    ordered = [e3.Irrep(ir) for ir in ("0e", "0o", "1o", "1e", "2e", "2o")]
    assert sorted(reversed(ordered)) == ordered
    assert list(e3.Irrep.iterator(2)) == ordered


def test_the_product_of_irreps_has_every_degree_between():
    assert list(e3.Irrep("1o") * e3.Irrep("2e")) == ["1o", "2o", "3o"]
    assert list(e3.Irrep("1o") * e3.Irrep("1o")) == ["0e", "1e", "2e"]


def test_sums_join_without_merging():
    irreps = e3.Irreps("2x0e + 3x1e")
    assert irreps + irreps == "2x0e+3x1e+2x0e+3x1e"
    assert irreps + "1o" == "2x0e+3x1e+1o"
    assert "1o" + irreps == "1o+2x0e+3x1e"
    assert irreps != irreps.repeat(2)


def test_multiplicities_scale_and_products_point_to_tensor_product():
    irreps = e3.Irreps("2x0e + 4x1o")
    assert irreps * 2 == 2 * irreps == "4x0e+8x1o"
    assert irreps // 2 == "0e+2x1o"
    with pytest.raises(NotImplementedError, match="tensor_product"):
        irreps * irreps


def test_sizes():
    irreps = e3.Irreps("4x0e + 2x1o + 0x3e")
    assert (irreps.dim, irreps.num_irreps, irreps.lmax, irreps.mul_gcd) == (10, 6, 1, 2)
    assert irreps.ls == [0, 0, 0, 0, 1, 1]
    assert irreps.slices() == [slice(0, 4), slice(4, 10), slice(10, 10)]
    assert irreps.count("1o") == 2
    assert "1o" in irreps and "3e" not in irreps
    with pytest.raises(ValueError, match="lmax"):
        e3.Irreps("").lmax  # noqa: B018


def test_simplify_sort_unify_and_regroup():
    irreps = e3.Irreps("1o + 0x2e + 1o + 0e + 1o")
    assert irreps.simplify() == "2x1o+0e+1o"
    assert irreps.unify() == "1o+0x2e+1o+0e+1o"
    assert irreps.regroup() == "0e+3x1o"
    ordered, p, inv = e3.Irreps("1o+0e+1o+2e+0e").sort()
    assert ordered == "0e+0e+1o+1o+2e"
    assert inv == (1, 4, 0, 2, 3)
    assert p == (2, 0, 3, 4, 1)


def test_filter_takes_one_criterion():
    irreps = e3.Irreps("1o + 2x0e + 1o")
    assert irreps.filter(keep="0e + 2e") == "2x0e"
    assert irreps.filter(drop="0e") == "1o+1o"
    assert irreps.filter(lmax=0) == "2x0e"
    assert irreps.filter(keep=lambda item: item.mul == 2) == "2x0e"
    assert irreps.filter(keep=e3.MulIrrep(1, e3.Irrep("0e"))) == ""
    with pytest.raises(ValueError, match="expected one of"):
        irreps.filter(keep="0e", lmax=1)


def test_slices_keep_irreps_whole():
    irreps = e3.Irreps("4x0e + 2x1o")
    assert irreps.slice_by_mul[2:5] == "2x0e+1o"
    assert irreps.slice_by_mul[-1:] == "1o"
    assert irreps.slice_by_dim[2:7] == "2x0e+1o"
    assert irreps.slice_by_chunk[1:] == "2x1o"
    assert irreps[0] == e3.MulIrrep(4, e3.Irrep("0e"))
    assert irreps[1:] == "2x1o"
    with pytest.raises(ValueError, match="keeps irreps whole"):
        irreps.slice_by_dim[2:6]
    with pytest.raises(NotImplementedError, match="step"):
        irreps.slice_by_mul[::2]


def test_irreps_of_spherical_harmonics():
    assert e3.Irreps.spherical_harmonics(3) == "0e+1o+2e+3o"
    assert e3.Irreps.spherical_harmonics(2, p=1) == "0e+1e+2e"


def test_irreps_are_static_in_pytrees():
    assert jax.tree.leaves([e3.Irrep("1o"), e3.Irreps("2x1o+0e"), e3.Irreps("1o")[0]]) == []
    assert {e3.Irreps("0e + 1o"): 1}[e3.Irreps("1x0e+1x1o")] == 1


def test_representation_matrices_of_sums_are_block_diagonal():
    irreps = e3.Irreps("2x0e + 3x1e")
    matrix = (irreps + irreps).D_from_angles(1.57, 1.57, 0.0)
    assert matrix.shape == (22, 22)
    np.testing.assert_allclose(matrix[2:5, 2:5], matrix[16:19, 16:19])
    assert np.count_nonzero(matrix[:2, 2:]) == 0
    parities = e3.Irreps("0e + 0o").D_from_angles(0.0, 0.0, 0.0, k=1)
    np.testing.assert_array_equal(parities, np.diag([1.0, -1.0]))


def test_representation_matrices_take_batches():
    angles = np.linspace(0.0, 1.0, 3, dtype=np.float32)
    batch = e3.Irreps("1o + 0o + 2e").D_from_angles(angles, angles, angles, k=1)
    single = e3.Irreps("1o + 0o + 2e").D_from_angles(*([angles[2]] * 3), k=1)
    assert batch.shape == (3, 9, 9)
    np.testing.assert_allclose(batch[2], single, atol=1e-6)


def test_generators_close_under_commutation():
    for irreps in ("1o", "2e", "3o", "2x1o+0e"):
        x, y, z = e3.Irreps(irreps).generators()
        np.testing.assert_allclose(x @ y - y @ x, z, atol=1e-12)
        np.testing.assert_allclose(y @ z - z @ y, x, atol=1e-12)


def test_entries_that_would_be_misread_are_refused():
    with pytest.raises(ValueError, match=r"try \[\(2, '1o'\)\]"):
        e3.Irreps((2, "1o"))
    with pytest.raises(ValueError, match=r"received \(2\.5, '1o'\)"):
        e3.Irreps([(2.5, "1o")])


def test_a_batch_of_inversions_alone_has_a_matrix_each():
    found = e3.Irreps("0e+1o").D_from_angles(0.0, 0.0, 0.0, k=np.array([0, 1]))
    np.testing.assert_allclose(found, [np.eye(4), np.diag([1.0, -1.0, -1.0, -1.0])], atol=1e-6)
    ones = e3.IrrepsArray("0e+1o", np.ones(4))
    turned = ones.transform_by_angles(0.0, 0.0, 0.0, k=np.array([0, 1]))
    np.testing.assert_allclose(turned.array, [[1.0] * 4, [1.0, -1.0, -1.0, -1.0]], atol=1e-6)
