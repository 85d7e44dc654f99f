"""Does the converted potential say what the original said? Both are asked, in float64.

The structures are made up: a few atoms of every element that the potential knows, in distorted
periodic cells and as a cluster, and one atom alone.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from equipot import errors
from equipot.data.structure import Structure
from equipot.potential.evaluate import HostPrediction

TOLERANCES = {"energy": 1e-6, "forces": 1e-5, "stress": 1e-6}
UNITS = {"energy": "eV/atom", "forces": "eV/Å", "stress": "eV/Å³"}
_ATOMS = 6  # of a structure
_SPACING = 1.9  # Å between sites; atoms are moved by up to a fifth of it


@dataclasses.dataclass(frozen=True, kw_only=True)
class Differences:
    """Largest differences between two sets of predictions.

    Attributes:
      energy: Of the energies of atoms, eV.
      forces: Of components of forces, eV/Å.
      stress: Of components of stresses, eV/Å³.
    """

    energy: float
    forces: float
    stress: float

    def __str__(self) -> str:
        """One line for people."""
        return ", ".join(f"{k} {getattr(self, k):.1e} {unit}" for k, unit in UNITS.items())


def compare(theirs: Sequence[HostPrediction], ours: Sequence[HostPrediction]) -> Differences:
    """The largest differences over all structures."""
    pairs = list(zip(theirs, ours, strict=True))

    def largest(name: str) -> float:
        parts = [np.abs(getattr(a, name) - getattr(b, name)).max(initial=0.0) for a, b in pairs]
        return float(np.max(parts, initial=0.0))

    return Differences(
        energy=largest("energies"), forces=largest("forces"), stress=largest("stress")
    )


def check(differences: Differences, where: str) -> None:
    """Refuses a conversion that is not exact.

    Args:
      differences: What was found.
      where: The file, for the message.

    Raises:
      ConversionError: If a difference exceeds ``TOLERANCES``, or is not finite; it names the term.
    """
    for name, most in TOLERANCES.items():
        found = getattr(differences, name)
        if not found <= most:
            raise errors.ConversionError(
                f"{where}: the converted potential differs from the original in its {name} by"
                f" {found:.1e} {UNITS[name]}, at most {most:.0e} is expected; nothing was written."
                f" All differences: {differences}. Please report it"
            )


def structures(species_table: Sequence[int], seed: int = 0) -> list[Structure]:
    """Small distorted structures that hold every species: crystals, a cluster, one atom alone."""
    rng = np.random.default_rng(seed)
    count = max(2, -(-len(species_table) // _ATOMS))
    numbers = [species_table[i % len(species_table)] for i in range(count * _ATOMS)]
    sites = np.stack(np.meshgrid([0, 1, 2], [0, 1], [0], indexing="ij"), -1).reshape(-1, 3)
    found = []
    for i in range(count):
        positions = _SPACING * (sites + rng.uniform(-0.2, 0.2, sites.shape))
        cell = _SPACING * (np.diag([3.0, 2.0, 1.4]) + rng.uniform(-0.2, 0.2, (3, 3)))
        chosen = np.array(numbers[i * _ATOMS : (i + 1) * _ATOMS])
        found.append(_structure(f"crystal {i}", positions, chosen, cell))
    positions = _SPACING * (sites + rng.uniform(-0.2, 0.2, sites.shape))
    found.append(_structure("cluster", positions, rng.permutation(numbers)[:_ATOMS]))
    return [*found, _structure("atom", np.zeros((1, 3)), np.array(numbers[:1]))]


def _structure(
    source: str, positions: np.ndarray, numbers: np.ndarray, cell: np.ndarray | None = None
) -> Structure:
    return Structure(
        positions=positions,
        atomic_numbers=numbers,
        cell=np.zeros((3, 3)) if cell is None else cell,
        pbc=np.full(3, cell is not None),
        source=source,
    )
