"""Irreducible representations of O(3), and direct sums of them.

An irrep is a degree l >= 0 and a parity p = ±1 ("e" even, "o" odd); a direct sum such as
``"16x0e + 8x1o"`` is an immutable list of (multiplicity, irrep). Its vectors are laid out one irrep
after the other, the 2l+1 components of a copy standing together: (multiplicity, component).
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, SupportsIndex, TypeAlias, no_type_check, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from equipot.e3.arrays import notation, slicing
from equipot.e3.so3 import wigner
from equipot.typing import Array


@jax.tree_util.register_static
@functools.total_ordering
@dataclass(frozen=True, init=False, eq=False, repr=False)
class Irrep(wigner.Representation):
    """One irreducible representation of O(3): ``Irrep("1o")``, ``Irrep(1, -1)``, ``Irrep("1y")``.

    The letter ``y`` stands for the parity (-1)ˡ of the spherical harmonics. Irreps are ordered by
    degree, and within a degree that parity comes first: 0e < 0o < 1o < 1e < 2e < 2o.
    """

    l: int
    p: int

    def __init__(self, l: "IrrepLike", p: int | None = None) -> None:
        """Builds an irrep from a string, another irrep, a pair (l, p), or l and p.

        Raises:
          ValueError: The string is no irrep, the degree is negative or the parity is not ±1.
        """
        degree, parity = _read_irrep(l) if p is None else (l, p)
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
        """Yields 0e, 0o, 1o, 1e, 2e, 2o, … up to and including degree ``lmax``, or without end."""
        for l in itertools.count() if lmax is None else range(lmax + 1):
            yield cls(l, (-1) ** l)
            yield cls(l, -((-1) ** l))

    def generators(self) -> np.ndarray:
        """The generators of rotations about x, y and z, real and antisymmetric: [3, 2l+1, 2l+1]."""
        return wigner.generators(self.l)

    def D_from_rotation(self, matrix: Array, k: ArrayLike = 0) -> Array:
        """Representation matrix of a proper rotation, which is not checked, and of k inversions."""
        return wigner.with_inversions(wigner.wigner_D(self.l, matrix), self.p, k)

    def __mul__(self, other: "Irrep | int") -> "Iterator[Irrep] | Irreps":
        """Irreps of a product: each degree from |l1-l2| to l1+l2 once, with parity p1 p2."""
        if isinstance(other, Irrep):
            degrees = range(abs(self.l - other.l), self.l + other.l + 1)
            return iter([Irrep(l, self.p * other.p) for l in degrees])
        return Irreps([(other, self)])

    def __rmul__(self, other: int) -> "Irreps":
        """``3 * Irrep("1o")`` is the direct sum 3x1o."""
        return Irreps([(other, self)])

    def __add__(self, other: "IrrepsLike") -> "Irreps":
        return Irreps(self) + Irreps(other)

    def __iter__(self) -> Iterator[int]:
        return iter((self.l, self.p))

    # Irreps are keys of tables: tracing a model hashes them thousands of times. Nothing has a shape
    # here, so tests that run annotations need not check these.
    @no_type_check
    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            other = Irrep(other)
        if not isinstance(other, Irrep):
            return NotImplemented
        return (self.l, self.p) == (other.l, other.p)

    def __lt__(self, other: "Irrep") -> bool:
        return (self.l, -self.p * (-1) ** self.l) < (other.l, -other.p * (-1) ** other.l)

    @no_type_check
    def __hash__(self) -> int:
        return hash((self.l, self.p))

    @no_type_check
    def __repr__(self) -> str:
        return f"{self.l}{'e' if self.p == 1 else 'o'}"


@jax.tree_util.register_static
@functools.total_ordering
@dataclass(frozen=True, repr=False)
class MulIrrep:
    """A multiplicity and an irrep, printed as 2x1o."""

    mul: int
    ir: Irrep

    @property
    def dim(self) -> int:
        """Number of components of all copies."""
        return self.mul * self.ir.dim

    def __iter__(self) -> Iterator[Any]:  # (mul, ir): a type checker cannot tell the two apart
        return iter((self.mul, self.ir))

    def __lt__(self, other: "MulIrrep") -> bool:
        return (self.ir, self.mul) < (other.ir, other.mul)

    def __repr__(self) -> str:
        return f"{self.mul}x{self.ir}"


class SortedIrreps(NamedTuple):
    """Sorted irreps; position i went to ``p[i]`` and came from ``inv[i]``."""

    irreps: "Irreps"
    p: tuple[int, ...]
    inv: tuple[int, ...]


@jax.tree_util.register_static
class Irreps(tuple[MulIrrep, ...], wigner.Representation, slicing.Sliceable):
    """A direct sum of irreps: ``Irreps("2x0e + 1o")``; immutable, hashable, equal to its string.

    Accepts a string, an Irrep, a MulIrrep, or a sequence of those and of pairs (mul, irrep). Zero
    multiplicities are kept. A bare degree in a sequence means that degree with even parity.
    """

    __slots__ = ()

    def __new__(cls, irreps: "IrrepsLike" = ()) -> "Irreps":
        """Reads irreps from any of the accepted forms.

        Raises:
          ValueError: A string or an item cannot be read as irreps, or a multiplicity is negative.
        """
        if isinstance(irreps, cls):
            return irreps
        return super().__new__(cls, _read_irreps(irreps))

    @classmethod
    def spherical_harmonics(cls, lmax: int, p: int = -1) -> "Irreps":
        """1x0e + … up to degree ``lmax``, for vectors of parity ``p``."""
        return cls([(1, (l, p**l)) for l in range(lmax + 1)])

    @property
    def dim(self) -> int:
        """Length of a vector of this representation."""
        return sum(item.dim for item in self)

    @property
    def num_irreps(self) -> int:
        """Number of irreps, copies counted."""
        return sum(item.mul for item in self)

    @property
    def ls(self) -> list[int]:
        """Degree of each copy."""
        return [ir.l for mul, ir in self for _ in range(mul)]

    @property
    def lmax(self) -> int:
        """Highest degree that occurs; irreps of multiplicity zero do not count.

        Raises:
          ValueError: There are no irreps.
        """
        if not self.ls:
            raise ValueError(f"expected at least one irrep, received {self!r}: it has no lmax")
        return max(self.ls)

    @property
    def mul_gcd(self) -> int:
        """Greatest common divisor of the multiplicities."""
        return math.gcd(*(item.mul for item in self))

    def count(self, ir: "IrrepLike") -> int:
        """Number of copies of an irrep."""
        ir = Irrep(ir)
        return sum(item.mul for item in self if item.ir == ir)

    def is_scalar(self) -> bool:
        """Whether every irrep that occurs is 0e."""
        return all(item.ir.is_scalar() for item in self if item.mul)

    def slices(self) -> list[slice]:
        """Where each entry lies in a vector of this representation."""
        ends = list(itertools.accumulate((item.dim for item in self), initial=0))
        return [slice(start, stop) for start, stop in itertools.pairwise(ends)]

    def repeat(self, n: int) -> "Irreps":
        """The whole list n times over."""
        return Irreps(tuple(self) * n)

    def remove_zero_multiplicities(self) -> "Irreps":
        """Drops the entries of multiplicity zero."""
        return Irreps([item for item in self if item.mul])

    def unify(self) -> "Irreps":
        """Merges equal neighbors; empty entries stay."""
        groups = itertools.groupby(self, key=lambda item: item.ir)
        return Irreps([(sum(item.mul for item in items), ir) for ir, items in groups])

    def simplify(self) -> "Irreps":
        """Drops empty entries and merges equal neighbors; the data need not be moved."""
        return self.remove_zero_multiplicities().unify()

    def sort(self) -> SortedIrreps:
        """Sorts entries by irrep, equal ones in their present order."""
        inv = tuple(sorted(range(len(self)), key=lambda i: (self[i].ir, i)))
        p = tuple(sorted(range(len(self)), key=inv.__getitem__))
        return SortedIrreps(Irreps([self[i] for i in inv]), p, inv)

    def regroup(self) -> "Irreps":
        """Sorts, then merges equal irreps: the canonical form."""
        return self.sort().irreps.simplify()

    def set_mul(self, mul: int) -> "Irreps":
        """The same irreps, each with this multiplicity."""
        return Irreps([(mul, item.ir) for item in self])

    def filter(
        self, keep: "Rule | None" = None, *, drop: "Rule | None" = None, lmax: int | None = None
    ) -> "Irreps":
        """Keeps what one of ``keep``, ``drop`` (irreps, or a function) and ``lmax`` chooses."""
        return Irreps([self[i] for i in self.positions(keep, drop=drop, lmax=lmax)])

    def positions(
        self, keep: "Rule | None" = None, *, drop: "Rule | None" = None, lmax: int | None = None
    ) -> list[int]:
        """Positions of the entries that ``filter`` keeps.

        Raises:
          ValueError: More than one criterion is given.
        """
        if sum(criterion is not None for criterion in (keep, drop, lmax)) > 1:
            raise ValueError("expected one of keep, drop, lmax, received more: filter in steps")
        if keep is not None:
            return [i for i, item in enumerate(self) if _matches(item, keep)]
        if drop is not None:
            return [i for i, item in enumerate(self) if not _matches(item, drop)]
        return [i for i, item in enumerate(self) if lmax is None or item.ir.l <= lmax]

    def _entries(self) -> "Irreps":
        return self

    def take(self, pieces: Sequence[slicing.Piece]) -> "Irreps":
        """The irreps of some pieces of the entries."""
        return Irreps([(piece.last - piece.first, self[piece.position].ir) for piece in pieces])

    def generators(self) -> np.ndarray:
        """The generators of rotations about x, y and z, block diagonal: [3, dim, dim]."""
        result = np.zeros((3, self.dim, self.dim))
        start = 0
        for ir in (ir for mul, ir in self for _ in range(mul)):
            stop = start + ir.dim
            result[:, start:stop, start:stop] = ir.generators()
            start = stop
        return result

    def D_from_rotation(self, matrix: Array, k: ArrayLike = 0) -> Array:
        """Representation matrix of a proper rotation, which is not checked, and of k inversions."""
        matrices = wigner.wigner_matrices(max(self.ls, default=0), matrix)
        by_irrep = {ir: wigner.with_inversions(matrices[ir.l], ir.p, k) for mul, ir in self if mul}
        blocks = [by_irrep[ir] for mul, ir in self for _ in range(mul)]
        lead = jnp.broadcast_shapes(matrix.shape[:-2], jnp.shape(k))
        return wigner.block_diagonal(blocks, lead, matrix.dtype)

    @overload
    def __getitem__(self, index: SupportsIndex) -> MulIrrep: ...
    @overload
    def __getitem__(self, index: slice) -> "Irreps": ...
    def __getitem__(self, index: SupportsIndex | slice) -> "MulIrrep | Irreps":
        item: Any = super().__getitem__(index)
        return Irreps(item) if isinstance(index, slice) else item

    def __contains__(self, ir: Any) -> bool:
        """Whether an irrep occurs, whatever its multiplicity (if not zero)."""
        return self.count(ir) > 0

    def __add__(self, other: "IrrepsLike") -> "Irreps":
        """Direct sum: the lists joined, nothing merged."""
        return Irreps(super().__add__(Irreps(other)))

    def __radd__(self, other: "IrrepsLike") -> "Irreps":
        return Irreps(other) + self

    def __mul__(self, other: Any) -> "Irreps":
        """Scales every multiplicity.

        Raises:
          NotImplementedError: The factor is a representation too.
        """
        if not isinstance(other, int | np.integer):
            raise NotImplementedError(
                f"expected a whole number to multiply {self} by, received {other!r}: use "
                "tensor_product for the product of two representations"
            )
        return Irreps([(item.mul * int(other), item.ir) for item in self])

    __rmul__ = __mul__

    def __floordiv__(self, other: int) -> "Irreps":
        """Divides every multiplicity, rounding down."""
        return Irreps([(item.mul // other, item.ir) for item in self])

    def __eq__(self, other: object) -> bool:
        """Equality of the lists, entry by entry, nothing merged; a string is read first."""
        if isinstance(other, str):
            other = Irreps(other)
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return super().__hash__()

    def __repr__(self) -> str:
        return "+".join(map(repr, self)) if self else "Irreps()"


IrrepLike: TypeAlias = Irrep | MulIrrep | str | int | tuple[int, int]
IrrepsLike: TypeAlias = Irreps | Irrep | MulIrrep | str | Sequence
Rule: TypeAlias = IrrepsLike | Callable[[MulIrrep], bool]


def _read_irrep(source: IrrepLike) -> tuple[int, int]:
    """Reads l and p from anything that names one irrep."""
    if isinstance(source, Irrep):
        return source.l, source.p
    if isinstance(source, MulIrrep) and source.mul == 1:
        return source.ir.l, source.ir.p
    if isinstance(source, str):
        return notation.parse_irrep(source)
    if isinstance(source, tuple) and len(source) == 2:
        return source
    raise ValueError(f'expected an irrep such as "1o", received {source!r}')


def _read_irreps(source: IrrepsLike) -> list[MulIrrep]:
    """Reads (multiplicity, irrep) entries from anything that names a direct sum."""
    if isinstance(source, str):
        return [MulIrrep(mul, Irrep(*ir)) for mul, ir in notation.parse_irreps(source)]
    if isinstance(source, Irrep):
        return [MulIrrep(1, source)]
    if isinstance(source, MulIrrep):
        return [source]
    items = list(source)
    if isinstance(source, tuple) and list(map(type, items)) in ([int, str], [int, Irrep]):
        raise ValueError(f"expected a list of entries, received a single one: try [{source!r}]")
    return [_read_entry(item) for item in items]


def _read_entry(item: object) -> MulIrrep:
    """Reads one entry of a sequence: an irrep, a degree, or a pair (multiplicity, irrep)."""
    if isinstance(item, MulIrrep):
        return item
    if isinstance(item, Irrep):
        return MulIrrep(1, item)
    if isinstance(item, int):
        return MulIrrep(1, Irrep(item, 1))
    if isinstance(item, str):
        entries = _read_irreps(item)
        if len(entries) == 1:
            return entries[0]
    if isinstance(item, tuple) and len(item) == 2:
        mul, ir = item
        if isinstance(mul, int | np.integer) and mul >= 0:
            return MulIrrep(int(mul), Irrep(ir))
    raise ValueError(f'expected "2x1o" or (2, "1o") in a list of irreps, received {item!r}')


def _matches(item: MulIrrep, rule: Rule) -> bool:
    """Whether an entry is chosen: by a function, by an exact MulIrrep, or by its irrep."""
    if isinstance(rule, MulIrrep):
        return item == rule
    if callable(rule):
        return bool(rule(item))
    return item.ir in {kept.ir for kept in Irreps(rule)}
