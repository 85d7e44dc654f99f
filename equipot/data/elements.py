"""Tables of the elements, indexed by atomic number, and how much elements are alike."""

from collections.abc import Sequence

import numpy as np
from ase import data
from ase.data import colors

COVALENT_RADII = np.asarray(data.covalent_radii, np.float64)
"""Covalent radius of each element in Å, [119]; a round value where none is measured (Z > 96).

Reference: Cordero et al. 2008, Dalton Transactions, 2832. DOI 10.1039/B801115J
"""

COLORS = np.asarray(colors.jmol_colors, np.float64)
"""Red, green and blue from 0 to 1 that Jmol draws each element in, [110, 3]."""

_NOBLE = (0, 2, 10, 18, 36, 54, 86, 118)
_SCALES = (1.5, 2.5, 5.0, 0.4)  # periods, groups, f electrons and Å that tell elements apart
_OF_BLOCKS = 1.5  # in such units: s, d and p elements are √2 times this apart
_IN_COMMON = 0.9  # of an element's nature; the rest is its own


def similarity(numbers: Sequence[int]) -> np.ndarray:
    """How much elements are alike, from 0 to 1: positive definite, [species, species], diagonal 1.

    0.9 exp(-d²/2) for different elements, with d the distance of their places in the periodic
    table: period, group, number of f electrons, block and covalent radius.

    Args:
      numbers: Atomic numbers from 1 to 118.

    Reference: of such kernels, Faber et al. 2018, Journal of Chemical Physics 148, 241717.
      DOI 10.1063/1.5020710
    """
    places = np.array([_place(number) for number in numbers])
    distances = np.sum((places[:, None] - places[None]) ** 2, axis=-1)
    common = _IN_COMMON * np.exp(-0.5 * distances)
    return np.asarray(common + (1 - _IN_COMMON) * np.eye(len(places)))


def _place(number: int) -> list[float]:
    """Coordinates in the periodic table, in units of what tells elements apart."""
    period = next(i for i, last in enumerate(_NOBLE) if number <= last)
    column, length = number - _NOBLE[period - 1], _NOBLE[period] - _NOBLE[period - 1]
    group, f_electrons = column, 0
    if length == 32 and column > 2:  # lanthanides and actinides stand in group 3
        f_electrons = column - 3 if column < 17 else 0
        group = max(3, column - 14)
    elif column > (2 if length > 2 else 1):
        group += 18 - length
    coordinates = (period, group, f_electrons, float(COVALENT_RADII[number]))
    block = [_OF_BLOCKS * (low < group <= high) for low, high in ((0, 2), (2, 12), (12, 18))]
    return [value / scale for value, scale in zip(coordinates, _SCALES, strict=True)] + block
