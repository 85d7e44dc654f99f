"""Clebsch-Gordan coefficients of SO(3) in the real basis.

C[l1, l2, l3] is, up to a factor, the only tensor with D(l1) ⊗ D(l2) C = C D(l3) for all rotations.
It is normalised to a sum of squares of 1; its sign follows from SU(2) coefficients in the phases of
Condon and Shortley. Components run m = -l … l about the polar axis y: degree 1 is (x, y, z).
"""

import functools
import math
from fractions import Fraction

import numpy as np


@functools.cache
def clebsch_gordan(l1: int, l2: int, l3: int) -> np.ndarray:
    """Real Clebsch-Gordan coefficients, float64 [2l1+1, 2l2+1, 2l3+1], Σ C² = 1.

    All zero where |l1-l2| <= l3 <= l1+l2 does not hold. The array is shared and read-only.

    Raises:
      ValueError: A degree is negative.
    """
    if min(l1, l2, l3) < 0:
        raise ValueError(f"expected degrees l >= 0, received {l1}, {l2}, {l3}")
    if not abs(l1 - l2) <= l3 <= l1 + l2:
        table = np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1))
    else:
        q1, q2, q3 = (_real_basis(l) for l in (l1, l2, l3))
        complex_table = np.einsum(
            "ai,bj,ck,ijk->abc", q1, q2, q3.conj(), _su2_table(l1, l2, l3), optimize=True
        )
        table = _snap(np.real(complex_table)) / math.sqrt(2 * l3 + 1)
    table.setflags(write=False)
    return table


def su2_clebsch_gordan(l1: int, m1: int, l2: int, m2: int, l3: int, m3: int) -> float:
    """⟨l1 m1 l2 m2 | l3 m3⟩ for whole degrees, by Racah's sum in exact arithmetic.

    Reference: Racah 1942, Phys. Rev. 62, 438, eq. 16'. doi:10.1103/PhysRev.62.438
    """
    if m3 != m1 + m2 or not abs(l1 - l2) <= l3 <= l1 + l2 or abs(m3) > l3:
        return 0.0
    f = math.factorial
    squared = Fraction(
        (2 * l3 + 1) * f(l3 + l1 - l2) * f(l3 - l1 + l2) * f(l1 + l2 - l3), f(l1 + l2 + l3 + 1)
    )
    squared *= f(l3 + m3) * f(l3 - m3) * f(l1 - m1) * f(l1 + m1) * f(l2 - m2) * f(l2 + m2)
    total = Fraction(0)
    for k in range(max(0, l2 - l3 - m1, l1 - l3 + m2), min(l1 + l2 - l3, l1 - m1, l2 + m2) + 1):
        denominator = f(k) * f(l1 + l2 - l3 - k) * f(l1 - m1 - k)
        denominator *= f(l2 + m2 - k) * f(l3 - l2 + m1 + k) * f(l3 - l1 - m2 + k)
        total += Fraction((-1) ** k, denominator)
    return math.copysign(math.sqrt(squared * total * total), total)


def _su2_table(l1: int, l2: int, l3: int) -> np.ndarray:
    table = np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1))
    for m1 in range(-l1, l1 + 1):
        for m2 in range(max(-l2, -l3 - m1), min(l2, l3 - m1) + 1):
            value = su2_clebsch_gordan(l1, m1, l2, m2, l3, m1 + m2)
            table[l1 + m1, l2 + m2, l3 + m1 + m2] = value
    return table


def _real_basis(l: int) -> np.ndarray:
    """Unitary [real, complex] change of basis, times iˡ so that every coupling comes out real."""
    basis = np.zeros((2 * l + 1, 2 * l + 1), dtype=np.complex128)
    basis[l, l] = 1.0
    for m in range(1, l + 1):
        basis[l + m, [l - m, l + m]] = math.sqrt(0.5), (-1) ** m * math.sqrt(0.5)
        basis[l - m, [l - m, l + m]] = 1j * math.sqrt(0.5), -1j * (-1) ** m * math.sqrt(0.5)
    return 1j**l * basis


def _snap(table: np.ndarray) -> np.ndarray:
    """Sets rounding errors to exact zero; the smallest true coefficient to l = 11 is far above."""
    return np.where(np.abs(table) < 1e-12, 0.0, table)
