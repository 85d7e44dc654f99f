"""What float32 loses against float64."""

import numpy as np

from equipot.audit.audited import Audited
from equipot.audit.samples import Samples
from equipot.audit.verdict import Verdict, judged

LIMIT = 1e-3
_MOST_FRAMES = 8


def check(audited: Audited, samples: Samples) -> list[Verdict]:
    """One line: the largest difference of a force."""
    stride = max(1, len(samples.data) // _MOST_FRAMES)
    frames = samples.data[::stride][:_MOST_FRAMES] or (samples.box, *samples.made)
    pairs = list(zip(audited.single(frames), audited.exact(frames), strict=True))
    forces = max(float(np.abs(a.forces - b.forces).max()) for a, b in pairs)
    energy = max(abs(a.energy - b.energy) / len(b.energies) for a, b in pairs)
    sentence = (
        f"Forces in float32 against float64 on {len(frames)} structures; energies differ by up to"
        f" {energy * 1e3:.2g} meV/atom."
    )
    return [judged("float32 against float64", forces, LIMIT, "eV/Å", sentence)]
