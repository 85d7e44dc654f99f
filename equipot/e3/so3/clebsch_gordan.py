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
            "ai,bj,ck,ijk->abc",
            q1,
            q2,
            q3.conj(),
            _su2_table(2 * l1, 2 * l2, 2 * l3),
            optimize=True,
        )
        table = _snap(np.real(complex_table)) / math.sqrt(2 * l3 + 1)
    table.setflags(write=False)
    return table


def su2_clebsch_gordan(j1: int | float, j2: int | float, j3: int | float) -> np.ndarray:
    """⟨j1 m1 j2 m2 | j3 m3⟩/√(2j3+1), m = -j … j: float64 [2j1+1, 2j2+1, 2j3+1], Σ C² = 1.

    The coefficients of SU(2) in the complex basis, with the phases of Condon and Shortley. All zero
    where j3 is none of |j1-j2|, |j1-j2| + 1, …, j1+j2.

    Raises:
      ValueError: A spin is negative or no multiple of 1/2.
    """
    doubled = _doubled(j1), _doubled(j2), _doubled(j3)
    return _su2_table(*doubled) / math.sqrt(doubled[2] + 1)


def su2_generators(j: int | float) -> np.ndarray:
    """Generators of SU(2), antihermitian, [Xᵢ, Xⱼ] = Σ ε[i, j, k] Xₖ: complex128 [3, 2j+1, 2j+1].

    Raises:
      ValueError: The spin is negative or no multiple of 1/2.
    """
    j = _doubled(j) / 2
    m = np.arange(-j, j)
    raising = np.diag(-np.sqrt(j * (j + 1) - m * (m + 1)), k=-1)
    lowering = np.diag(np.sqrt(j * (j + 1) - m * (m + 1)), k=1)
    diagonal = np.diag(1j * np.arange(-j, j + 1))
    return np.stack([(raising + lowering) / 2, diagonal, -0.5j * (raising - lowering)])


def _doubled(j: int | float) -> int:
    if j < 0 or 2 * j != int(2 * j):
        raise ValueError(f"expected a spin of 0, 1/2, 1, …, received {j}")
    return int(2 * j)


def _su2_table(j1: int, j2: int, j3: int) -> np.ndarray:
    """⟨j1 m1 j2 m2 | j3 m3⟩ for spins given twice over."""
    table = np.zeros((j1 + 1, j2 + 1, j3 + 1))
    if not abs(j1 - j2) <= j3 <= j1 + j2 or (j1 + j2 + j3) % 2:
        return table
    for m1 in range(-j1, j1 + 1, 2):
        for m2 in range(-j2, j2 + 1, 2):
            if abs(m1 + m2) <= j3:
                value = _racah(j1, m1, j2, m2, j3)
                table[(j1 + m1) // 2, (j2 + m2) // 2, (j3 + m1 + m2) // 2] = value
    return table


def _racah(j1: int, m1: int, j2: int, m2: int, j3: int) -> float:
    """⟨j1 m1 j2 m2 | j3 m1+m2⟩, all of them given twice over, by Racah's sum over whole numbers.

    Reference: Racah 1942, Phys. Rev. 62, 438, eq. 16'. doi:10.1103/PhysRev.62.438
    """
    n3, n2, n1 = (j1 + j2 - j3) // 2, (j1 - j2 + j3) // 2, (j2 + j3 - j1) // 2
    u1, u2 = (j1 - m1) // 2, (j2 + m2) // 2
    total = sum(
        (-1) ** k * math.comb(n3, k) * math.comb(n2, u1 - k) * math.comb(n1, u2 - k)
        for k in range(min(n3, u1, u2) + 1)
    )
    f = math.factorial
    above = (j3 + 1) * f((j3 + m1 + m2) // 2) * f((j3 - m1 - m2) // 2)
    above *= f(u1) * f((j1 + m1) // 2) * f((j2 - m2) // 2) * f(u2)
    below = f((j1 + j2 + j3) // 2 + 1) * f(n1) * f(n2) * f(n3)
    return math.copysign(math.sqrt(Fraction(above * total**2, below)), total)


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
