"""Irreducible representations of O(3), and direct sums of them.

An irrep is a degree l >= 0 and a parity p = ±1 ("e" even, "o" odd); a direct sum such as ``"16x0e + 8x1o"`` is
an immutable list of (multiplicity, irrep). Its vectors are laid out one irrep after the other, the 2l+1
components of a copy standing together: (multiplicity, component).
"""

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, SupportsIndex, overload

import jax
import numpy as np

from equipot.e3 import rotations, wigner
from equipot.typing import Array, Float

_IRREP = re.compile(r"(\d+)\s*([eoy])")
_MUL_IRREP = re.compile(r"(?:(\d+)\s*x\s*)?(\d+\s*[eoy])")


@jax.tree_util.register_static
@functools.total_ordering
@dataclass(frozen=True, init=False, eq=False)
class Irrep:
    """One irreducible representation of O(3): ``Irrep("1o")``, ``Irrep(1, -1)``, ``Irrep("1y")``.

    The letter ``y`` stands for the parity (-1)ˡ of the spherical harmonics. Irreps are ordered by degree, and
    within a degree that parity comes first: 0e < 0o < 1o < 1e < 2e < 2o.
    """

    l: int  # noqa: E741 - the field's letter for the degree
    p: int

    def __init__(self, l: "IrrepLike | int", p: int | None = None) -> None:  # noqa: E741
        """Builds an irrep from a string, another irrep, a pair (l, p), or l and p.

        Raises:
          ValueError: The string is no irrep, the degree is negative or the parity is not ±1.
        """
        degree, parity = _parse_irrep(l) if p is None else (l, p)
        if not isinstance(degree, int | np.integer) or degree < 0:
            raise ValueError(f"expected a degree l >= 0, received {degree!r}")
        if parity not in (-1, 1):
            raise ValueError(f"expected a parity of 1 or -1, received {parity!r}")
        object.__setattr__(self, "l", int(degree))
        object.__setattr__(self, "p", int(parity))

    @property
    def dim(self) -> int:
        """Number of components, 2l+1."""
        return 2 * self.l + 1

    def is_scalar(self) -> bool:
        """Whether this is 0e, the trivial representation (0o changes sign under inversion)."""
        return self.l == 0 and self.p == 1

    @classmethod
    def iterator(cls, lmax: int | None = None) -> Iterator["Irrep"]:
        """Yields 0e, 0o, 1o, 1e, 2e, 2o, … up to and including degree ``lmax``."""
        l = 0  # noqa: E741
        while lmax is None or l <= lmax:
            yield Irrep(l, (-1) ** l)
            yield Irrep(l, -((-1) ** l))
            l += 1  # noqa: E741

    def D_from_matrix(self, matrix: Float[Array | np.ndarray, "*batch 3 3"]) -> Array:  # noqa: N802
        """Representation matrix of a rotation or of a rotation times the inversion (determinant -1)."""
        return wigner.wigner_D_o3(self.l, self.p, matrix)

    def D_from_angles(self, alpha: Any, beta: Any, gamma: Any, k: Any = 0) -> Array:  # noqa: N802, ANN401
        """Representation matrix of R_y(alpha) R_x(beta) R_y(gamma) times the inversion to the power k."""
        return self._D(rotations.angles_to_matrix(alpha, beta, gamma), k)

    def D_from_quaternion(self, quaternion: Any, k: Any = 0) -> Array:  # noqa: N802, ANN401
        """Representation matrix of a unit quaternion (w, x, y, z) times the inversion to the power k."""
        return self._D(rotations.quaternion_to_matrix(quaternion), k)

    def D_from_axis_angle(self, axis: Any, angle: Any, k: Any = 0) -> Array:  # noqa: N802, ANN401
        """Representation matrix of a rotation about an axis times the inversion to the power k."""
        return self._D(rotations.axis_angle_to_matrix(axis, angle), k)

    def D_from_log_coordinates(self, log_coordinates: Any, k: Any = 0) -> Array:  # noqa: N802, ANN401
        """Representation matrix of the rotation exp(log_coordinates · L) times the inversion to the power k."""
        return self._D(rotations.log_coordinates_to_matrix(log_coordinates), k)

    def generators(self) -> np.ndarray:
        """The three generators of rotations about x, y and z, real and antisymmetric: [3, 2l+1, 2l+1]."""
        return wigner.generators(self.l)

    def _D(self, matrix: Array, k: Any) -> Array:  # noqa: N802, ANN401
        """Representation of a proper rotation times the inversion to the power k."""
        return wigner.wigner_D(self.l, matrix) * wigner.parity_sign(self.p, k, matrix.dtype)

    def __mul__(self, other: object) -> Any:  # noqa: ANN401
        """Irreps of the product of two irreps: every degree from |l1-l2| to l1+l2 with parity p1 p2."""
        if isinstance(other, Irrep):
            degrees = range(abs(self.l - other.l), self.l + other.l + 1)
            return (Irrep(l, self.p * other.p) for l in degrees)  # noqa: E741
        if isinstance(other, int | np.integer):
            return Irreps([(int(other), self)])
        return NotImplemented

    def __rmul__(self, other: int) -> "Irreps":
        """``3 * Irrep("1o")`` is the direct sum 3x1o."""
        return Irreps([(int(other), self)])

    def __add__(self, other: "IrrepsLike") -> "Irreps":
        """Direct sum of two irreps."""
        return Irreps(self) + Irreps(other)

    def __iter__(self) -> Iterator[int]:
        """Unpacks into l and p."""
        yield self.l
        yield self.p

    def __eq__(self, other: object) -> bool:
        """Equality with an irrep or a string such as "1o"."""
        if isinstance(other, str):
            other = Irrep(other)
        if not isinstance(other, Irrep):
            return NotImplemented
        return (self.l, self.p) == (other.l, other.p)

    def __lt__(self, other: "Irrep") -> bool:
        """Order by degree, the parity of the spherical harmonics first."""
        return (self.l, -self.p * (-1) ** self.l) < (other.l, -other.p * (-1) ** other.l)

    def __hash__(self) -> int:
        """Hash of (l, p)."""
        return hash((self.l, self.p))

    def __repr__(self) -> str:
        """The irrep as it is written: 1o."""
        return f"{self.l}{'e' if self.p == 1 else 'o'}"


class MulIrrep(NamedTuple):
    """A multiplicity and an irrep, printed as 2x1o."""

    mul: int
    ir: Irrep

    @property
    def dim(self) -> int:
        """Number of components of all copies."""
        return self.mul * self.ir.dim

    def __lt__(self, other: "MulIrrep") -> bool:  # ty: ignore
        """Order by irrep, then by multiplicity."""
        return (self.ir, self.mul) < (other.ir, other.mul)

    def __repr__(self) -> str:
        """The pair as it is written: 2x1o."""
        return f"{self.mul}x{self.ir}"
