"""Which structures of a store must train: they hold all of an element, or repeat one another."""

import numpy as np

from equipot.data.stored import overlap, packing
from equipot.data.stored.structures import StoredStructures

Element = tuple[int, str]
"""Atomic number and level of theory."""


def find(structures: StoredStructures, order: np.ndarray) -> tuple[frozenset[Element], set[int]]:
    """A small set of structures that has every element at its level of theory, rare ones first.

    Args:
      structures: All.
      order: Their places in the order in which they are looked at, [structures].

    Returns:
      The elements at their levels of theory, and places of structures.
    """
    bits = structures.column("elements")
    places, heads = structures.texts("head")
    present: dict[Element, int] = {}
    for number in structures.elements():
        with_it = packing.has_element(bits, number)
        counts = np.bincount(places[with_it], minlength=len(heads)).tolist()
        present |= {(number, heads[i]): count for i, count in enumerate(counts) if count}
    chosen: set[int] = set()
    covered: set[Element] = set()
    for number, head in sorted(present, key=lambda one: (present[one], one)):
        if (number, head) not in covered:
            own = packing.has_element(bits, number) & (places == heads.index(head))
            index = int(order[np.argmax(own[order])])
            chosen.add(index)
            covered |= {(z, head) for z in packing.elements(bits[index])}
    return frozenset(present), chosen


def repeated(structures: StoredStructures) -> set[int]:
    """Places of structures whose configuration occurs more than once at one level of theory."""
    if structures.folder.firsts is None:
        return set()
    heads, _ = structures.texts("head")
    first = overlap.firsts(structures.column("digest"), heads)
    counts = np.bincount(first, minlength=len(first))
    return set(np.flatnonzero(counts[first] > 1).tolist())
