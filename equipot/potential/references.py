"""Reference energies of the elements, unit of energy and mean binding energy, from data.

NumPy only; everything is in float64.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from equipot import errors
from equipot.data import columns
from equipot.data import structure as structures_
from equipot.data.structure import Structure
from equipot.potential.config import PotentialConfig

UNIT = "Unit of the model's output"
"""How the note on the scale begins."""

_MEAN_LENGTH = 2 * math.sqrt(2 / math.pi)  # of a vector with components from N(0, 1)
_RANK = 1e-8  # singular values of the compositions below this share of the largest are zero
_FREE = 1e-6  # of a direction that the compositions leave open, an element's part


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class References:
    """What is set from the training set before training.

    Attributes:
      atomic_energies: Reference energy of each species, eV, [species]; with several heads, as the
        other two, [heads, species].
      shift: Mean binding energy of each species, eV, [species].
      scale: Unit of the model's output of each species, eV, [species].
      notes: Sentences for the user: where the numbers come from, and warnings.
      undetermined: Elements whose share of the energy the compositions leave open.
    """

    atomic_energies: np.ndarray
    shift: np.ndarray
    scale: np.ndarray
    notes: tuple[str, ...]
    undetermined: tuple[int, ...] = ()


def compute_references(
    structures: Sequence[Structure],
    species_table: Sequence[int],
    isolated_atoms: Mapping[int, float],
    config: PotentialConfig,
) -> References:
    """Chooses reference energies as configured, then fits the rest to the training set.

    Where the references are atoms' energies, the binding energy that is left is fitted by least
    squares to one shift per element, so that the model starts from zero mean.

    Args:
      structures: The training set.
      species_table: Atomic numbers.
      isolated_atoms: Energies of isolated atoms in eV by atomic number.
      config: What to do.

    Raises:
      ConfigError: If an element has no reference energy.
    """
    labelled = columns.labelled(structures, "energy")
    method = _method(config, species_table, isolated_atoms)
    open_ = undetermined(structures, species_table)
    notes: list[str] = []
    missing = [structures_.symbol(z) for z in species_table if z not in isolated_atoms]
    if config.reference_energies == "auto" and isolated_atoms and missing:
        notes.append(
            "The isolated atoms of the data are not used, because there is none of"
            f" {', '.join(missing)}."
        )
    if method == "least_squares":
        shift = np.zeros(len(species_table))
        atomic_energies, rank = _least_squares(labelled, species_table, shift)
        notes += _about_fit(labelled, species_table, atomic_energies, rank)
        if config.shift != "constant":
            notes.append(
                f"potential.shift={config.shift}: reference energies that are fitted hold what"
                " binds the atoms in the data, so that atoms alone have that energy, not their own;"
                " give isolated atoms"
            )
    else:
        given = _given(method, config, species_table, isolated_atoms)
        atomic_energies = np.asarray([given[z] for z in species_table])
        notes.append(_describe(f"Reference energies ({method})", species_table, atomic_energies))
        shift = _even_least_squares(labelled, species_table, atomic_energies)
        notes.append(_describe("Mean binding energies", species_table, shift))
        if labelled and open_:
            notes.append(
                f"The compositions of the training set do not determine how the binding energy is"
                f" shared among {', '.join(map(structures_.symbol, open_))}: these share it evenly"
            )
    scale = _scale(structures, config.scale)
    notes.append(f"{UNIT}: {scale:.4f} eV")
    return References(
        atomic_energies=atomic_energies,
        shift=shift,
        scale=np.full(len(species_table), scale),
        notes=tuple(notes),
        undetermined=open_,
    )


def compute_references_by_head(
    structures: Sequence[Structure],
    species_table: Sequence[int],
    isolated_by_head: Mapping[str, Mapping[int, float]],
    config: PotentialConfig,
    heads: Sequence[str],
) -> References:
    """Applies ``compute_references`` to each of several heads, using only its own structures.

    Args:
      structures: The training set.
      species_table: Atomic numbers.
      isolated_by_head: Energies of isolated atoms in eV by head and atomic number.
      config: What to do.
      heads: Names of the levels of theory.

    Raises:
      ConfigError: If an element has no reference energy.
    """
    found: list[References] = []
    for head in heads:
        own = columns.of_head(structures, head)
        isolated = isolated_by_head.get(head, {})
        try:
            found.append(compute_references(own, species_table, isolated, config))
        except errors.ConfigError as error:
            raise errors.ConfigError(f"level of theory {head}: {error}") from error
    named = zip(heads, found, strict=True)
    return References(
        atomic_energies=np.stack([own.atomic_energies for own in found]),
        shift=np.stack([own.shift for own in found]),
        scale=np.stack([own.scale for own in found]),
        notes=tuple(f"{head}: {note}" for head, own in named for note in own.notes),
        undetermined=tuple(sorted({z for own in found for z in own.undetermined})),
    )


def _about_fit(
    labelled: Sequence[Structure],
    species_table: Sequence[int],
    atomic_energies: np.ndarray,
    rank: int,
) -> list[str]:
    """Sentences about reference energies that were fitted, and how far they can be trusted."""
    if not labelled:
        return ["Reference energies are zero: no training frame has an energy"]
    notes = [_describe("Least-squares reference energies", species_table, atomic_energies)]
    if rank < len(species_table):
        notes.append(
            f"The compositions of the training set have rank {rank} for {len(species_table)}"
            " elements: how the energy is shared among elements is arbitrary, and these are not"
            " energies of atoms. Energies of other compositions will be wrong; give isolated"
            " atoms to avoid this."
        )
    return notes


def _method(
    config: PotentialConfig, species_table: Sequence[int], isolated_atoms: Mapping[int, float]
) -> Literal["isolated", "least_squares", "none", "given"]:
    if not isinstance(config.reference_energies, str):
        return "given"
    if config.reference_energies == "auto":
        return "isolated" if set(species_table) <= set(isolated_atoms) else "least_squares"
    return config.reference_energies


def _given(
    method: str,
    config: PotentialConfig,
    species_table: Sequence[int],
    isolated_atoms: Mapping[int, float],
) -> dict[int, float]:
    """Reference energies by atomic number for the methods that do not fit."""
    if method == "none":
        return dict.fromkeys(species_table, 0.0)
    energies = dict(isolated_atoms)
    if not isinstance(config.reference_energies, str):
        energies = {_atomic_number(key): value for key, value in config.reference_energies.items()}
    missing = [structures_.symbol(z) for z in species_table if z not in energies]
    if missing:
        where = (
            "frames with config_type=IsolatedAtom"
            if method == "isolated"
            else "potential.reference_energies"
        )
        raise errors.ConfigError(
            f"potential.reference_energies: no energy for {', '.join(missing)} in {where}; add it,"
            " or choose 'least_squares'"
        )
    return energies


def _atomic_number(symbol: str) -> int:
    number = structures_.atomic_number(symbol)
    if number is None:
        raise errors.ConfigError(
            f"potential.reference_energies: '{symbol}' is no chemical symbol; write H, O, …"
        )
    return number


def _least_squares(
    structures: Sequence[Structure], species_table: Sequence[int], atomic_energies: np.ndarray
) -> tuple[np.ndarray, int]:
    """Fits energies minus references to compositions; the minimum-norm solution, and the rank."""
    if not structures:
        return np.zeros(len(species_table)), 0
    counts = _compositions(structures, species_table)
    energies = columns.energies(structures) - counts @ atomic_energies
    sizes = counts.sum(axis=1)
    solution, _, rank, _ = np.linalg.lstsq(counts / sizes[:, None], energies / sizes, rcond=_RANK)
    return solution, int(rank)


def _even_least_squares(
    structures: Sequence[Structure], species_table: Sequence[int], atomic_energies: np.ndarray
) -> np.ndarray:
    """The same solution, as near to one energy for all elements as the compositions allow."""
    counts = _compositions(structures, species_table)
    residuals = columns.energies(structures) - counts @ atomic_energies
    mean = float(np.mean(residuals / counts.sum(axis=1))) if structures else 0.0
    return mean + _least_squares(structures, species_table, atomic_energies + mean)[0]


def undetermined(structures: Sequence[Structure], species_table: Sequence[int]) -> tuple[int, ...]:
    """Elements whose share of the energy the compositions of structures leave open.

    Two atoms of O for each of Si in all structures, say: what one element gains the other can lose.

    Args:
      structures: The training set; those without an energy say nothing.
      species_table: Atomic numbers.

    Returns:
      Atomic numbers, ascending; an element that no structure with an energy has is among them.
    """
    labelled = columns.labelled(structures, "energy")
    if not labelled:
        return tuple(species_table)
    shares = _compositions(labelled, species_table)
    shares /= shares.sum(axis=1, keepdims=True)
    # All rows of the right-hand matrix, but never the left-hand one of [structures, structures].
    _, values, rows = np.linalg.svd(shares, full_matrices=len(shares) < shares.shape[1])
    rank = int(np.sum(values > _RANK * values[0]))
    free = np.abs(rows[rank:]).max(axis=0, initial=0.0) > _FREE
    return tuple(z for z, is_free in zip(species_table, free, strict=True) if is_free)


def _compositions(structures: Sequence[Structure], species_table: Sequence[int]) -> np.ndarray:
    """How many atoms of each element each structure has, [structures, species]."""
    return structures_.compositions(structures, species_table).astype(np.float64)


def _scale(structures: Sequence[Structure], setting: str | float) -> float:
    """The usual force component of the training set, or the number given; 1 eV without either."""
    if not isinstance(setting, str):
        return setting
    labelled = columns.labelled(structures, "forces")
    if not labelled:
        return 1.0
    if setting == "forces_rms":
        usual = columns.mean_force(labelled, "rms")
    else:
        usual = columns.mean_force(labelled, "length") / _MEAN_LENGTH
    return usual if usual > 0 else 1.0


def _describe(title: str, species_table: Sequence[int], energies: np.ndarray) -> str:
    pairs = zip(species_table, energies, strict=True)
    values = ", ".join(f"{structures_.symbol(z)} {e:.4f}" for z, e in pairs)
    return f"{title}: {values} eV"
