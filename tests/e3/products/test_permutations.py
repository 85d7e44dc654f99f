import math

import pytest

from equipot.e3.products import permutations


def test_formulas_generate_groups_with_signs():
    letters, group = permutations.parse_formula("ijk = -jik = ikj")
    assert letters == "ijk" and set(group.values()) == {0}  # one sign contradicts the other
    assert permutations.parse_formula("ij=-ji")[1] == {(0, 1): 1, (1, 0): -1}
    _, cyclic = permutations.parse_formula("ijk=jki")
    assert cyclic == {(0, 1, 2): 1, (1, 2, 0): 1, (2, 0, 1): 1}
    _, riemann = permutations.parse_formula("ijkl=-jikl=-ijlk=klij")
    assert len(riemann) == 8 and riemann[1, 0, 3, 2] == 1 and riemann[1, 0, 2, 3] == -1
    assert permutations.parse_formula("ij")[1] == permutations.identity(2)


def test_generators_give_the_whole_group():
    assert permutations.parse_formula("ijkl=jikl=jkli")[1] == permutations.symmetric(4)
    assert permutations.parse_formula("ijkl=-jikl=-jkli")[1] == permutations.antisymmetric(4)
    assert len(permutations.symmetric(4)) == math.factorial(4)
    assert sum(permutations.antisymmetric(4).values()) == 0


@pytest.mark.parametrize(
    "formula", ["", "ij=jk", "ij=jij", "ii", "ij=", "ij=+ji", "ij==ji", "12=21"]
)
def test_what_is_no_formula_is_refused(formula):
    with pytest.raises(ValueError, match="expected"):
        permutations.parse_formula(formula)
