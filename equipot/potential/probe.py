"""A small structure and its prediction when saved, which a loaded potential must reproduce.

It catches what checksums cannot: code that no longer computes what it did, a device with other
arithmetic, weights in the wrong place.
"""

import dataclasses

import numpy as np

from equipot import errors
from equipot.data.structure import Structure
from equipot.potential import evaluate
from equipot.potential.potential import Potential, PotentialSpec

MAX_ATOMS = 8
MAX_EDGES = 128
"""Any probe of ``make_structure`` fits into a program compiled for this many pairs."""

_NEIGHBORS = 12.0  # mean number of neighbors in the probe
_SKEW = np.array([[1.0, 0.0, 0.0], [0.13, 1.05, 0.0], [-0.09, 0.17, 0.93]])
_SMALL = 1e-3  # eV, eV/Å, eV/Å³, and so on: values below are compared as if they were this large
_TOLERANCE = {"float32": 1e-3, "float64": 1e-9}
_COARSE = 2e-2  # where matrix products may run in TF32 or bfloat16


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Probe:
    """A structure and the prediction for it.

    Attributes:
      structure: At most eight atoms in a skewed periodic cell.
      prediction: Energies, forces and stress at the time of saving.
      dtype: The precision they were computed in.
    """

    structure: Structure
    prediction: evaluate.HostPrediction
    dtype: str


def make_probe(potential: Potential) -> Probe:
    """Builds a probe for a potential and evaluates it."""
    spec = potential.spec
    structure = make_structure(spec.species_table, spec.cutoff, spec.heads[0])
    prediction = evaluate.evaluate(potential, [structure], 1)[0]
    return Probe(structure=structure, prediction=prediction, dtype=spec.dtype)


def make_structure(species_table: tuple[int, ...], cutoff: float, head: str = "") -> Structure:
    """Spreads eight atoms over a skewed periodic cell, every species if there are at most eight.

    Args:
      species_table: Atomic numbers.
      cutoff: Å; lengths scale with it, so that each atom has a dozen neighbors.
      head: Level of theory; of several the first is probed.
    """
    corners = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), -1).reshape(-1, 3)
    wobble = np.sin(np.arange(1, 25) ** 2).reshape(MAX_ATOMS, 3)  # no symmetry, no random generator
    volume = MAX_ATOMS * 4 / 3 * np.pi * cutoff**3 / _NEIGHBORS
    cell = _SKEW * (volume / np.linalg.det(_SKEW)) ** (1 / 3)
    stride = max(1, len(species_table) // MAX_ATOMS)
    numbers = [species_table[i * stride % len(species_table)] for i in range(MAX_ATOMS)]
    return Structure(
        positions=(0.5 * corners + 0.07 * wobble) @ cell,
        atomic_numbers=np.array(numbers),
        cell=cell,
        pbc=np.ones(3, bool),
        source="probe of the potential",
        head=head,
    )


def check_probe(
    probe: Probe, found: evaluate.HostPrediction, spec: PotentialSpec, where: str
) -> None:
    """Compares the prediction now with that when the potential was saved.

    Args:
      probe: As saved.
      found: The prediction now.
      spec: What it was computed with now.
      where: Name of the file, for the message.

    Raises:
      ArtefactError: If they differ by more than rounding.
    """
    share = max(_TOLERANCE[probe.dtype], _TOLERANCE[spec.dtype])
    if spec.matmul_precision != "highest" and share > _TOLERANCE["float64"]:
        share = _COARSE
    then, now = _interaction(probe.prediction, probe, spec), _interaction(found, probe, spec)
    units = {"energies": "eV", "forces": "eV/Å", "stress": "eV/Å³"}
    for name, unit in (units | {q.name: q.unit for q in spec.quantities}).items():
        # By the smaller of both: a stored 1e300 would allow anything.
        size = min(float(np.abs(values[name]).max()) for values in (then, now))
        allowed = share * max(size, _SMALL)
        difference = float(np.abs(now[name] - then[name]).max())
        if not difference <= allowed:
            raise errors.ArtefactError(
                f"{where}: {name} of the stored probe differ by {difference:.3g} {unit} from those"
                f" at the time of saving, expected at most {allowed:.3g}; this version of equipot"
                " or jax computes the model differently: use the versions it was saved with"
            )


def _interaction(
    prediction: evaluate.HostPrediction, probe: Probe, spec: PotentialSpec
) -> dict[str, np.ndarray]:
    """What is compared; without reference energies, whose size would hide the rest."""
    species = np.searchsorted(spec.species_table, probe.structure.atomic_numbers)
    references = spec.references[0][species]
    return {
        "energies": prediction.energies - references,
        "forces": prediction.forces,
        "stress": prediction.stress,
        **prediction.others,
    }
