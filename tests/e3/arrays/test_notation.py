import pytest

from equipot.e3.arrays import notation


def test_terms_are_read_with_their_spaces():
    assert notation.parse_irreps(" 2 x 0e+3y + 0x1o") == [(2, (0, 1)), (1, (3, -1)), (0, (1, -1))]
    assert notation.parse_irreps(" ") == []
    assert notation.parse_irrep("4y") == (4, 1)


def test_what_is_no_irrep_is_refused_with_the_term():
    with pytest.raises(ValueError, match=r'into an Irreps.*received "1x"'):
        notation.parse_irreps("0e+1x")
    with pytest.raises(ValueError, match="into an Irrep: write"):
        notation.parse_irrep("e0")
