"""Bases of tensors with a permutation symmetry, reduced to irreps.

A tensor T[i, j, …] whose indices transform like irreps and that obeys, say, T[i, j] = T[j, i] is a
sum of irreps. A basis Q[i, j, …, z] takes it there: the tensors Q[…, z] are orthonormal, obey the
symmetry, and the last axis transforms like ``Q.irreps``. All is NumPy, in float64.

Blocks of single irreps are coupled one index after the other; a permutation acts within the copies
of each resulting irrep alone (Schur's lemma), so that its invariants are found from one component.
Blocks that permutations turn into one another are found once.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from equipot.e3.arrays.irreps import Irrep, Irreps, IrrepsLike
from equipot.e3.arrays.irreps_array import IrrepsArray
from equipot.e3.keywords import also_named
from equipot.e3.products import permutations
from equipot.e3.so3.clebsch_gordan import clebsch_gordan


class Block(NamedTuple):
    """A single irrep of each index: which, and where its components lie."""

    irreps: tuple[Irrep, ...]
    starts: tuple[int, ...]


@also_named(formula_or_irreps_list="formula")
def reduced_tensor_product_basis(
    formula: str | Sequence[IrrepsLike],
    *,
    keep_ir: IrrepsLike | None = None,
    **irreps: IrrepsLike,
) -> IrrepsArray:
    """Basis of the tensors with the symmetry of a formula, ``[d1, …, dn, irreps.dim]``.

    Args:
      formula: A letter for each index and signed permutations of them, as in ``"ij=ji"`` or
        ``"ijk=-jik=ikj"``; or the irreps of each index, if there is no symmetry.
      keep_ir: Irreps of the result to keep; all by default.
      irreps: The irreps of each index, ``i="1o"``; one is enough of those that are exchanged.

    Raises:
      ValueError: The formula cannot be read, or irreps are missing, unknown or in conflict.

    Examples:
      >>> reduced_tensor_product_basis("ij=-ji", i="1o").irreps
      1x1e
    """
    if isinstance(formula, str):
        letters, group = permutations.parse_formula(formula)
        indices = _irreps_of(letters, group, irreps)
    elif irreps:
        raise ValueError(f"expected a formula with irreps by letter, received {formula!r}")
    else:
        indices = [Irreps(index) for index in formula]
        group = permutations.identity(len(indices))
    if not indices:
        raise ValueError("expected at least one index, received none")
    return _basis(indices, group, keep_ir)


def reduced_symmetric_tensor_product_basis(
    irreps: IrrepsLike, degree: int, *, keep_ir: IrrepsLike | None = None
) -> IrrepsArray:
    """Basis of the tensors with ``degree`` indices that no permutation of them changes.

    Args:
      irreps: Irreps of each index.
      degree: Number of indices, at least 1.
      keep_ir: Irreps of the result to keep; all by default.

    Raises:
      ValueError: The degree is below 1.
    """
    return _power(irreps, degree, permutations.symmetric(degree), keep_ir)


def reduced_antisymmetric_tensor_product_basis(
    irreps: IrrepsLike, degree: int, *, keep_ir: IrrepsLike | None = None
) -> IrrepsArray:
    """Basis of the tensors with ``degree`` indices that change sign if two are exchanged.

    Args:
      irreps: Irreps of each index.
      degree: Number of indices, at least 1.
      keep_ir: Irreps of the result to keep; all by default.

    Raises:
      ValueError: The degree is below 1.
    """
    return _power(irreps, degree, permutations.antisymmetric(degree), keep_ir)


def _power(
    irreps: IrrepsLike, degree: int, group: permutations.Group, keep_ir: IrrepsLike | None
) -> IrrepsArray:
    if degree < 1:
        raise ValueError(f"expected a degree of at least 1, received {degree}")
    return _basis([Irreps(irreps)] * degree, group, keep_ir)


def _irreps_of(
    letters: str, group: permutations.Group, given: dict[str, IrrepsLike]
) -> list[Irreps]:
    """The irreps of each index, from any index that permutations put in its place."""
    unknown = sorted(set(given) - set(letters))
    if unknown:
        raise ValueError(f"expected irreps of the indices {letters}, received some of {unknown}")
    result = []
    for position, letter in enumerate(letters):
        related = sorted({letters[permutation[position]] for permutation in group})
        found = {Irreps(given[other]) for other in related if other in given}
        if not found:
            raise ValueError(f'expected irreps of index {letter}, such as {letter}="1o"')
        if len(found) > 1:
            raise ValueError(f"expected the same irreps of {related}, received {sorted(found)}")
        result.append(found.pop())
    return result


def _basis(
    indices: Sequence[Irreps], group: permutations.Group, keep_ir: IrrepsLike | None
) -> IrrepsArray:
    """Collects the invariant tensors of every orbit of blocks."""
    kept = None if keep_ir is None else {item.ir for item in Irreps(keep_ir)}
    shape = tuple(index.dim for index in indices)
    tensors: dict[Irrep, list[np.ndarray]] = {}
    coupled: dict[tuple[Irrep, ...], dict[Irrep, list[np.ndarray]]] = {}
    for block, stabilizer, cosets in _orbits(indices, group):
        if block.irreps not in coupled:
            coupled[block.irreps] = _couple(block.irreps, kept)
        for ir, paths in coupled[block.irreps].items():
            for tensor in _invariants(np.stack(paths), stabilizer):
                spread = _spread(tensor, block, cosets, shape)
                tensors.setdefault(ir, []).append(spread)
    ordered = sorted(tensors)
    flat = [tensor for ir in ordered for tensor in tensors[ir]]
    array = np.concatenate(flat, axis=-1) if flat else np.zeros((*shape, 0))
    irreps = Irreps([(len(tensors[ir]), ir) for ir in ordered])
    return IrrepsArray.from_table(irreps, array)


def _orbits(
    indices: Sequence[Irreps], group: permutations.Group
) -> Iterator[tuple[Block, permutations.Group, permutations.Group]]:
    """One block of each orbit, the permutations that keep it, and one for each block of the orbit.

    A permutation g moves index g[n] to place n.
    """
    copies = []
    for index in indices:
        dims = [ir.dim for mul, ir in index for _ in range(mul)]
        starts = np.cumsum([0, *dims])
        irreps = [ir for mul, ir in index for _ in range(mul)]
        copies.append([(ir, int(start)) for ir, start in zip(irreps, starts, strict=False)])
    for labels in itertools.product(*(range(len(each)) for each in copies)):
        images: dict[tuple[int, ...], permutations.Group] = {}
        for permutation, sign in group.items():
            image = tuple(labels[n] for n in permutation)
            images.setdefault(image, {})[permutation] = sign
        if min(images) == labels:
            chosen = [each[label] for each, label in zip(copies, labels, strict=True)]
            block = Block(tuple(ir for ir, _ in chosen), tuple(start for _, start in chosen))
            first = [next(iter(same.items())) for same in images.values()]
            yield block, images[labels], dict(first)


def _couple(irreps: tuple[Irrep, ...], kept: set[Irrep] | None) -> dict[Irrep, list[np.ndarray]]:
    """Orthonormal tensors ``[d1, …, dn, 2l+1]`` by the irrep they make, one for each path to it."""
    first, *rest = irreps
    partial = {first: [np.eye(first.dim)]}
    for other in rest:
        following: dict[Irrep, list[np.ndarray]] = {}
        for ir, tensors in partial.items():
            for l in range(abs(ir.l - other.l), ir.l + other.l + 1):
                c = math.sqrt(2 * l + 1) * clebsch_gordan(ir.l, other.l, l)
                products = [np.tensordot(tensor, c, axes=1) for tensor in tensors]
                following.setdefault(Irrep(l, ir.p * other.p), []).extend(products)
        partial = following
    return {ir: tensors for ir, tensors in partial.items() if kept is None or ir in kept}


def _invariants(paths: np.ndarray, stabilizer: permutations.Group) -> list[np.ndarray]:
    """Orthonormal combinations of ``[path, d1, …, dn, 2l+1]`` that the permutations leave alone."""
    if 0 in stabilizer.values():
        return []
    if len(stabilizer) == 1:
        return list(paths)
    component = paths[..., 0]
    symmetric = np.zeros_like(component)
    for permutation, sign in stabilizer.items():
        symmetric += sign * component.transpose(0, *(1 + n for n in permutation))
    number = len(paths)
    projector = symmetric.reshape(number, -1) @ component.reshape(number, -1).T / len(stabilizer)
    combinations: list[np.ndarray] = []
    for column in projector.T:  # Gram-Schmidt in the order of the paths: the same on every machine
        for _ in range(2):
            for known in combinations:
                column = column - known * (known @ column)
        length = np.linalg.norm(column)
        if length > 1e-6:
            combinations.append(column / length)
    return [np.tensordot(weights, paths, axes=1) for weights in combinations]


def _spread(
    tensor: np.ndarray, block: Block, cosets: permutations.Group, shape: tuple[int, ...]
) -> np.ndarray:
    """Puts a tensor of one block, and its images in the others of the orbit, into a whole one."""
    whole = np.zeros((*shape, tensor.shape[-1]))
    for permutation, sign in cosets.items():
        image = tensor.transpose(*permutation, tensor.ndim - 1)
        starts = [block.starts[n] for n in permutation]
        where = tuple(slice(a, a + d) for a, d in zip(starts, image.shape, strict=False))
        whole[where] = sign * image
    return whole / math.sqrt(len(cosets))
