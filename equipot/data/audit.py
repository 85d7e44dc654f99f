"""The label audit: describes a dataset, and stops if training on it would go wrong."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from ase.data import chemical_symbols

from equipot import errors, units
from equipot import quantities as quantities_
from equipot.data import (
    columns,
    contacts,
    distances,
    fingerprint,
    structure,
    trained_labels,
    unit_check,
)
from equipot.data import dataset as data_dataset
from equipot.data.stored import overlap
from equipot.data.stored.structures import StoredStructures

_PAIRS_SHOWN = 12
_SAME_LABEL = {"energy": 1e-4, "forces": 1e-3, "stress": 1e-5}  # eV per atom, eV/Å, eV/Å³
_SAME_SHARE = 1e-3  # of the largest number of a declared quantity
_FAR_IMAGE = 8.0  # Å
_BOHR_TOLERANCE = 0.2  # relative, around bonds that are 1/0.529 times too long
_LONGER_THAN_A_BOND = 1.3  # relative; even the shortest pair of a dataset in Bohr is longer


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuditReport:
    """What the audit found; ``str()`` gives the lines.

    Attributes:
      lines: One sentence or row of figures each.
      forces_rms: Root mean square of a force component over the training labels, eV/Å; 0 if none.
      shortest: Shortest distance in Å of pairs of elements, by names such as ``"H-O"``.
      composition_rank: Rank of the matrix of compositions of the training frames.
      duplicates: Training frames that repeat another one.
    """

    lines: tuple[str, ...]
    forces_rms: float
    shortest: Mapping[str, float]
    composition_rank: int
    duplicates: int

    def __str__(self) -> str:
        return "\n".join(self.lines)


def audit(dataset: data_dataset.Dataset, loss_terms: Mapping[str, float]) -> AuditReport:
    """Checks a dataset against what the loss needs, and describes it.

    Args:
      dataset: All splits.
      loss_terms: Weight in the loss of each quantity, by name.

    Raises:
      DataError: If the training split is empty, a term of the loss has no labels, a level of theory
        is in no training frame, splits overlap, two atoms coincide, or distances, energies or
        forces look like another unit than Å, eV and eV/Å.
      UnknownElementError: If an element is in no training frame.
    """
    _check_not_empty(dataset)
    trained_labels.check(dataset, loss_terms)
    _check_elements(dataset)
    _check_heads(dataset)
    duplicates, contradictions = _check_overlap(dataset)
    shortest, bonds = _shortest_distances(dataset)
    if not dataset.length_unit_given:
        _check_length_unit(shortest, bonds)
    unit_check.check(dataset)
    rank = composition_rank(dataset.train)
    lines = [
        *(_split_line(name, part, dataset.others) for name, part in dataset.splits.items() if part),
        *_element_lines(dataset, rank),
        *_distance_lines(shortest),
        *_energy_lines(dataset.train),
        *_net_force_lines(dataset.train),
        f"duplicates: none across splits, {duplicates} within the training split",
        *contradictions,
        *trained_labels.left_out(dataset, loss_terms),
        *trained_labels.not_judged(dataset, loss_terms),
        *_lone_atom_lines(dataset),
        *dataset.found,
        f"fingerprint {dataset.fingerprint[:16]}",
    ]
    return AuditReport(
        lines=tuple(lines),
        forces_rms=forces_rms(dataset.train),
        shortest={_pair(key): value for key, value in shortest.items()},
        composition_rank=rank,
        duplicates=duplicates,
    )


def forces_rms(structures: Sequence[structure.Structure]) -> float:
    """Root mean square of the labelled force components in eV/Å; 0 if there are none."""
    return columns.forces_rms(structures)


def composition_rank(structures: Sequence[structure.Structure]) -> int:
    """Rank of the matrix of atom counts [frames, elements].

    Below the number of elements, a least-squares fit of reference energies has no unique solution.
    """
    counts = structure.compositions(structures, structure.elements(structures))
    return int(np.linalg.matrix_rank(_unique_rows(counts).astype(np.float64)))


def _unique_rows(counts: np.ndarray) -> np.ndarray:
    """Different rows of whole numbers; by one number for each row where that is possible."""
    base = int(counts.max(initial=0)) + 1
    if not counts.size or base ** counts.shape[1] >= 1 << 62:
        return np.unique(counts, axis=0)
    _, first = np.unique(counts @ base ** np.arange(counts.shape[1]), return_index=True)
    return counts[first]


def _check_not_empty(dataset: data_dataset.Dataset) -> None:
    if not dataset.train:
        raise errors.DataError(
            "the train split is empty; give data.train files, or raise data.num_train"
        )


def _check_elements(dataset: data_dataset.Dataset) -> None:
    known = set(structure.elements(dataset.train))
    if known.issuperset(dataset.elements):
        return
    for name in ("valid", "test"):
        for item in dataset.splits[name]:
            unseen = sorted(set(item.atomic_numbers.tolist()) - known)
            if unseen:
                symbols = ", ".join(chemical_symbols[z] for z in sorted(known))
                raise errors.UnknownElementError(
                    f"{item.where}, in the {name} split, holds {chemical_symbols[unseen[0]]} "
                    f"(Z={unseen[0]}), which no training frame has. Training has {symbols}; add "
                    f"frames with it or take this one out"
                )


def _check_heads(dataset: data_dataset.Dataset) -> None:
    known = columns.heads(dataset.train)
    if known.issuperset(set().union(*map(columns.heads, dataset.splits.values()))):
        return
    for name in ("valid", "test"):
        for item in dataset.splits[name]:
            if item.head not in known:
                raise errors.DataError(
                    f"{item.where}, in the {name} split, is of the level of theory '{item.head}', "
                    f"which no training frame has. Training has {', '.join(sorted(known))}; add "
                    f"frames of it or take this one out"
                )


def _check_overlap(dataset: data_dataset.Dataset) -> tuple[int, list[str]]:
    """Stops if two splits share a configuration.

    A configuration may be in two splits with labels of different levels of theory.

    Returns:
      The repeats within training, and a line if their labels contradict each other.
    """
    if any(isinstance(part, StoredStructures) for part in dataset.splits.values()):
        shared, example, repeats, contradictions = _overlap_in_stores(dataset)
    else:
        shared, example, repeats, contradictions = _overlap(dataset)
    if shared:
        raise errors.DataError(
            f"the splits overlap: {shared} configurations stand in two of them, for example "
            f"{example}. Errors on them would say nothing; take them out of one split"
        )
    if not contradictions:
        return repeats, []
    _, worst = max(contradictions)
    line = (
        f"contradictions: {len(contradictions)} of {repeats} repeated configurations have other "
        f"labels than the frame they repeat; {worst}. Both cannot be learnt: remove the wrong one, "
        f"or name the levels of theory with data.head_key"
    )
    return repeats, [line]


_Overlap = tuple[int, str, int, list[tuple[float, str]]]


def _overlap(dataset: data_dataset.Dataset) -> _Overlap:
    """Shared configurations, an example, repeats within training, and their contradictions."""
    seen: dict[tuple[str, str], tuple[str, structure.Structure]] = {}
    shared, example, repeats = 0, "", 0
    contradictions: list[tuple[float, str]] = []
    every = list(_labelled_by_split(dataset))
    digests = fingerprint.configurations([item for _, item in every])
    for digest, (name, item) in zip(digests, every, strict=True):
        key = (digest, item.head)
        first_name, first = seen.setdefault(key, (name, item))
        if first_name != name:
            shared += 1
            example = example or f"{first.where} ({first_name}) is {item.where} ({name})"
        if first is not item and first_name == name == "train":
            repeats += 1
            contradictions += _contradiction(first, item, dataset.quantities)
    return shared, example, repeats, contradictions


def _overlap_in_stores(dataset: data_dataset.Dataset) -> _Overlap:
    """As ``_overlap``, from the digests that stores hold."""
    found = overlap.find({name: part for name, part in dataset.splits.items() if len(part)})
    contradictions = [
        one
        for first, second in found.repeats
        for one in _contradiction(dataset.train[first], dataset.train[second], dataset.quantities)
    ]
    example = ""
    if found.example is not None:
        (first_name, first), (name, second) = found.example
        one, other = dataset.splits[first_name][first], dataset.splits[name][second]
        example = f"{one.where} ({first_name}) is {other.where} ({name})"
    return found.shared, example, len(found.repeats), contradictions


def _contradiction(
    first: structure.Structure,
    second: structure.Structure,
    quantities: Mapping[str, quantities_.Quantity],
) -> list[tuple[float, str]]:
    """How far the labels of one configuration differ beyond rounding, and a sentence on it."""
    found = []
    for term, quantity in quantities.items():
        labels = [s.label(term) for s in (first, second)]
        values = [np.asarray(label.value) for label in labels if label is not None]
        if len(values) < 2:
            continue
        unit = quantity.unit or "in its unit"
        difference = float(np.abs(values[0] - values[1]).max())
        largest = float(np.abs(values).max())
        allowed = _SAME_LABEL.get(term, _SAME_SHARE * largest)
        allowed *= len(first.positions) if quantity.is_extensive else 1
        if difference > allowed:
            verb = "differs" if term != "forces" else "differ"
            sentence = f"{term} {verb} by {difference:.4g} {unit} between {first.where} and "
            found.append((difference / allowed, sentence + second.where))
    return [max(found)] if found else []


def _labelled_by_split(
    dataset: data_dataset.Dataset,
) -> Iterator[tuple[str, structure.Structure]]:
    for name, part in dataset.splits.items():
        for item in part:
            yield name, item


def _shortest_distances(
    dataset: data_dataset.Dataset,
) -> tuple[dict[tuple[int, int], float], np.ndarray]:
    """Stops if two atoms are at the same place.

    Returns:
      The shortest distance of each pair of elements, and of each frame with a pair that can be a
      bond, that of its atoms relative to a bond. Of a store, the former is that of all its frames.
    """
    shortest: dict[tuple[int, int], float] = {}
    relative = []
    for part in dataset.splits.values():
        if isinstance(part, StoredStructures):
            found, bonds = part.folder.shortest, part.column("bond")
        else:
            near = contacts.measure(part)
            found, bonds = near.shortest(), near.bonds
        for pair, value in found.items():
            shortest[pair] = min(value, shortest.get(pair, np.inf))
        relative.append(bonds[np.isfinite(bonds)])
    return shortest, np.concatenate(relative)


def _check_length_unit(shortest: Mapping[tuple[int, int], float], relative: np.ndarray) -> None:
    """A dataset in which even the shortest bonds are 1.9 times too long is in Bohr."""
    if not len(relative) or relative.min() < _LONGER_THAN_A_BOND:
        return
    if abs(np.median(relative) * units.BOHR - 1.0) < _BOHR_TOLERANCE:
        pair = min(shortest, key=lambda p: shortest[p] / contacts.bond_length(p))
        length = contacts.bond_length(pair)
        raise errors.DataError(
            f"positions look like Bohr, not Å: the shortest {_pair(pair)} distance of the whole "
            f"dataset is {shortest[pair]:.2f}, where a bond has {length:.2f} Å. Set "
            f"data.length_unit=Bohr (and data.energy_unit: Hartree?), or "
            f"data.length_unit=Angstrom if they are right"
        )


def _pair(pair: tuple[int, int]) -> str:
    return f"{chemical_symbols[pair[0]]}-{chemical_symbols[pair[1]]}"


def _split_line(
    name: str, part: Sequence[structure.Structure], others: Mapping[str, quantities_.Quantity]
) -> str:
    sizes = columns.num_atoms(part)
    low, high = int(sizes.min()), int(sizes.max())
    span = str(low) if low == high else f"{low} to {high}"
    names = quantities_.every(others)
    counts = {term: int(columns.is_labelled(part, term).sum()) for term in names}
    declared = "".join(f", {counts[term]} {term}" for term in others)
    return (
        f"{name}: {len(part)} frames, {int(sizes.sum())} atoms ({span} each); "
        f"{counts['energy']} energies, {counts['forces']} forces, {counts['stress']} stresses"
        f"{declared}; force RMS {forces_rms(part):.4g} eV/Å"
    )


def _element_lines(dataset: data_dataset.Dataset, rank: int) -> list[str]:
    symbols = [chemical_symbols[z] for z in dataset.elements]
    lines = [f"elements ({len(symbols)}): {' '.join(symbols)}"]
    if dataset.isolated_atoms:
        energies = sorted(dataset.isolated_atoms.items())
        listed = ", ".join(f"{chemical_symbols[z]} {energy:.4f} eV" for z, energy in energies)
        lines.append(f"isolated atoms: {listed}")
    remark = ""
    if rank < len(symbols):
        known = set(dataset.elements) <= set(dataset.isolated_atoms)
        remark = (
            "; isolated atoms make the reference energies unique"
            if known
            else "; a least-squares fit of reference energies is not unique"
        )
    lines.append(f"composition matrix: rank {rank} of {len(symbols)} elements{remark}")
    return lines


def _distance_lines(shortest: Mapping[tuple[int, int], float]) -> list[str]:
    if not shortest:
        return ["shortest distances: no two atoms within 14 Å"]
    relative = sorted(shortest, key=lambda pair: shortest[pair] / contacts.bond_length(pair))
    shown = ", ".join(f"{_pair(pair)} {shortest[pair]:.2f}" for pair in relative[:_PAIRS_SHOWN])
    rest = len(relative) - _PAIRS_SHOWN
    more = f", and {rest} pairs that are farther for their size" if rest > 0 else ""
    return [f"shortest distances in Å: {shown}{more}"]


def _energy_lines(structures: Sequence[structure.Structure]) -> list[str]:
    own = columns.labelled(structures, "energy")
    values = columns.energies(own) / columns.num_atoms(own)
    if not len(values):
        return []
    return [f"energy per atom: {values.mean():.4f} eV on average, spread {values.std():.4f} eV"]


def _lone_atom_lines(dataset: data_dataset.Dataset) -> list[str]:
    """Frames of one atom far from its images, which may be meant as reference energies."""
    single = np.flatnonzero(columns.num_atoms(dataset.train) == 1)
    lone = [
        s
        for s in columns.chosen(dataset.train, single)
        if s.energy_weight > 0.0 and distances.own_image(s) > _FAR_IMAGE and not np.any(s.forces)
    ]
    if not lone:
        return []
    first = lone[0]
    return [
        f"lone atoms: {len(lone)} training frames hold one atom without another within "
        f"{_FAR_IMAGE:g} Å, for example {first.where} with {first.energy:.4f} eV, and train like "
        f"any frame; config_type=IsolatedAtom makes such an energy the reference of its element"
    ]


def _net_force_lines(structures: Sequence[structure.Structure]) -> list[str]:
    """Forces of a conservative potential sum to zero; net forces in labels cannot be learned."""
    nets = columns.net_forces(structures)
    if not len(nets):
        return []
    return [f"net force of a frame: {np.median(nets):.2g} eV/Å (median), largest {nets.max():.2g}"]
