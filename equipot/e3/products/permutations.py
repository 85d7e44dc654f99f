"""Groups of signed permutations of the indices of a tensor.

A permutation g is a tuple: place n receives index g[n]. A group maps each of its permutations to a
sign, and a tensor has its symmetry if T = sign · transpose(T, g) for each of them.
"""

import itertools
import re
from typing import TypeAlias

Permutation: TypeAlias = tuple[int, ...]
Group: TypeAlias = dict[Permutation, int]

_FORMULA = re.compile(r"[a-zA-Z]+(=-?[a-zA-Z]+)*")


def identity(number: int) -> Group:
    """The group of the identity alone."""
    return {tuple(range(number)): 1}


def symmetric(number: int) -> Group:
    """All permutations, with sign 1."""
    return dict.fromkeys(itertools.permutations(range(number)), 1)


def antisymmetric(number: int) -> Group:
    """All permutations; the odd ones have sign -1."""
    return {g: parity(g) for g in itertools.permutations(range(number))}


def parity(permutation: Permutation) -> int:
    """1 for an even permutation, -1 for an odd one."""
    pairs = itertools.combinations(permutation, 2)
    return (-1) ** sum(a > b for a, b in pairs)


def parse_formula(formula: str) -> tuple[str, Group]:
    """Reads the letters and the group of a formula such as ``"ijk=jik=-ikj"``.

    Raises:
      ValueError: The formula is no list of signed permutations of different letters.
    """
    text = formula.replace(" ", "")
    if not _FORMULA.fullmatch(text):
        raise ValueError(f"expected a formula such as 'ij=ji' or 'ij=-ji', received {formula!r}")
    letters, *others = text.split("=")
    if len(set(letters)) != len(letters):
        raise ValueError(f"expected a different letter for each index, received {letters!r}")
    generators = []
    for other in others:
        sign, word = (-1, other[1:]) if other.startswith("-") else (1, other)
        if sorted(word) != sorted(letters):
            raise ValueError(f"expected permutations of {letters!r}, received {word!r}")
        generators.append((tuple(letters.index(letter) for letter in word), sign))
    return letters, _closure(generators, len(letters))


def _closure(generators: list[tuple[Permutation, int]], number: int) -> Group:
    """The group that some signed permutations generate.

    A permutation that comes with both signs leaves only the zero tensor: it is marked by sign 0,
    and so is every other then.
    """
    group = identity(number)
    reached = list(group)
    while reached:
        following = []
        for g, (h, sign) in itertools.product(reached, generators):
            product = tuple(g[n] for n in h)
            if product not in group:
                group[product] = sign * group[g]
                following.append(product)
            elif group[product] != sign * group[g]:
                return dict.fromkeys(group, 0)
        reached = following
    return group
