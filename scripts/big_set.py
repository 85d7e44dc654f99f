"""Makes a synthetic set of molecules that is larger than memory would hold, for measurements.

    python -m scripts.big_set /tmp/big --structures 2000000
    equipot prepare data.train=[/tmp/big/00.npz,...] data.energy_unit=eV -o big.store

Each file is an npz as revised MD17 has it: 50 000 distorted molecules of 20 atoms of C, H, N and O,
with energies and forces of springs between neighbors, in eV and Å. Every file is another molecule:
the elements stand in another order.
"""

import argparse
from pathlib import Path

import numpy as np

from equipot import files
from scripts.start_up import NUMBERS, SPACING

EACH = 50_000  # structures in a file
_STIFFNESS = 20.0  # eV/Å²
_NEAR = 1.1  # spacings between atoms that a spring holds


def main() -> None:
    """Reads the command line and writes the files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--structures", type=int, default=2_000_000)
    arguments = parser.parse_args()
    for number, begin in enumerate(range(0, arguments.structures, EACH)):
        count = min(EACH, arguments.structures - begin)
        path = arguments.folder / f"{number:02}.npz"
        with files.whole(path) as draft:
            np.savez(draft, allow_pickle=False, **molecules(count, seed=number))
        print(f"{path}: {count:,} structures", flush=True)


def molecules(count: int, seed: int) -> dict[str, np.ndarray]:
    """Distorted copies of one molecule with energies and forces.

    Args:
      count: How many.
      seed: Of the order of the elements and of the distortions.
    """
    generator = np.random.default_rng(seed)
    places = SPACING * np.stack(np.meshgrid(range(5), range(2), range(2)), axis=-1).reshape(-1, 3)
    first, second = np.triu_indices(len(places), 1)
    near = np.linalg.norm(places[second] - places[first], axis=1) < _NEAR * SPACING
    first, second = first[near], second[near]
    positions = places + generator.uniform(-0.15, 0.15, (count, len(places), 3))
    vectors = positions[:, second] - positions[:, first]
    lengths = np.linalg.norm(vectors, axis=2)
    pulls = _STIFFNESS * (lengths - SPACING)
    forces = np.zeros_like(positions)
    along = vectors * (pulls / lengths)[..., None]
    for spring, (a, b) in enumerate(zip(first, second, strict=True)):
        forces[:, a] += along[:, spring]
        forces[:, b] -= along[:, spring]
    energies = -5.0 * len(places) + 0.5 * _STIFFNESS * np.square(lengths - SPACING).sum(axis=1)
    return {
        "nuclear_charges": generator.permutation(NUMBERS),
        "coords": positions,
        "energies": energies,
        "forces": forces,
    }


if __name__ == "__main__":
    main()
