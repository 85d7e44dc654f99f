"""Atoms alone have the energies that the potential states for them, feel and exert nothing."""

import numpy as np

from equipot.audit.audited import Audited
from equipot.audit.samples import Samples
from equipot.audit.verdict import Verdict, judged
from equipot.data.structure import symbol
from equipot.testing import structures

LIMIT, LIMIT_SINGLE = 1e-10, 1e-4
_MOST = 12  # elements


def check(audited: Audited, samples: Samples) -> list[Verdict]:
    """Lines in float64 and in the potential's own precision."""
    table = audited.species_table
    some = range(0, len(table), max(1, len(table) // _MOST))
    alone = [structures.atom(table[i]) for i in some]
    boxed = [structures.boxed_atom(audited.cutoff, table[i], edge=3.0) for i in some]
    stated = np.tile(audited.stated[list(some)], 2)
    sizes = np.maximum(1.0, np.abs(stated))
    lines = []
    for name, evaluate, limit in (
        ("isolated atoms", audited.exact, LIMIT),
        ("isolated atoms in float32", audited.single, LIMIT_SINGLE),
    ):
        found = evaluate([*alone, *boxed])
        off = np.abs(np.array([own.energy for own in found]) - stated) / sizes
        pushed = max(float(np.abs(own.forces).max()) for own in found)
        worst = int(np.argmax(np.nan_to_num(off, nan=np.inf)))
        number = table[list(some)[worst % len(alone)]]
        sentence = (
            f"{len(alone)} elements, alone in space and in a large cell, against the constants that"
            f" equipot info states; {symbol(number)} is farthest from its own. The largest force on"
            f" one is {pushed:.2g} eV/Å."
        )
        lines.append(judged(name, max(float(off[worst]), pushed), limit, "eV", sentence))
    return lines
