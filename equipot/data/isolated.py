"""Isolated atoms from a file of their own, and which of all known ones training can use."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping

from equipot import errors
from equipot.data import config as data_config
from equipot.data import label_keys, paths, readers, structure

SAME_ENERGY = 1e-3  # eV, between a file of isolated atoms and those marked in other files

ByHead = Mapping[str, Mapping[int, float]]
"""Energies in eV by level of theory ("" where there are none) and atomic number."""


def read_isolated_atoms(path: str, config: data_config.DataConfig) -> tuple[ByHead, str]:
    """Reads a file in which every frame is one atom with its energy, marked as isolated or not.

    Args:
      path: A name as ``paths.resolve`` takes it; its name determines its format.
      config: Units, the key of the energies (the usual names are looked for where the file lacks
        it) and of the level of theory.

    Returns:
      Energies in eV by level of theory and atomic number, and a sentence on what was found.

    Raises:
      DataError: If the file cannot be read, a frame has several atoms or no energy, or an element
        has two energies.
    """
    resolved = paths.resolve(path)
    content = readers.read_frames(resolved, None)
    is_there = config.energy_key in label_keys.present_keys(content.frames)
    own = dataclasses.replace(
        config,
        energy_key=config.energy_key if is_there else None,
        forces_key="none",
        stress_key="none",
        split="random",  # the others need a key of groups
        group_key=None,
        weight_key=None,
        weight_keys={},
        quantities={},
    )
    made = readers.convert(content, own, resolved.name)
    energies = {head: dict(known) for head, known in made.isolated_by_head.items()}
    energies.setdefault("", {}).update(made.isolated_atoms)
    for item in made.structures:
        readers.add_isolated(energies.setdefault(item.head, {}), item)
    known = {head: by_number for head, by_number in energies.items() if by_number}
    return known, f"{resolved.name}: isolated atoms: {_listed(known)}"


def merge(marked: ByHead, own: ByHead, name: str) -> dict[str, dict[int, float]]:
    """Adds the isolated atoms of a file of their own to those marked in other files.

    Where both have an element, the energy in the file of its own is taken.

    Args:
      marked: From frames marked as isolated atoms.
      own: From the file ``name``.
      name: The file, for messages.

    Raises:
      DataError: If an element has two energies that differ by more than 1 meV.
    """
    merged = {head: dict(known) for head, known in marked.items()}
    for head, number, energy in _entries(own):
        known = merged.setdefault(head, {}).get(number, energy)
        if abs(known - energy) > SAME_ENERGY:
            raise errors.DataError(
                f"{name}: isolated {_atom(head, number)} has {energy} eV, but {known} eV in the "
                f"frame that is marked as an isolated atom in the files of data.train, data.valid "
                f"and data.test; take out the wrong one"
            )
        merged[head][number] = energy
    return merged


def without_unused(
    known: ByHead, elements: Collection[int], heads: Collection[str]
) -> tuple[dict[str, dict[int, float]], tuple[str, ...]]:
    """Leaves out atoms of elements and levels of theory that do not occur in training.

    Args:
      known: Isolated atoms.
      elements: Atomic numbers in the training split.
      heads: Levels of theory in the training split; "" where frames name none.

    Returns:
      What is left, and a sentence on what is not, if anything.
    """
    kept: dict[str, dict[int, float]] = {}
    unused: list[str] = []
    for head, number, energy in _entries(known):
        if number in elements and head in heads:
            kept.setdefault(head, {})[number] = energy
        else:
            unused.append(_atom(head, number))
    if not unused:
        return kept, ()
    listed = ", ".join(unused)
    return kept, (f"isolated atoms left out, since no training frame has their element: {listed}",)


def _entries(known: ByHead) -> Iterator[tuple[str, int, float]]:
    for head, energies in sorted(known.items()):
        for number, energy in sorted(energies.items()):
            yield head, number, energy


def _listed(known: ByHead) -> str:
    return ", ".join(_atom(head, number) for head, number, _ in _entries(known))


def _atom(head: str, number: int) -> str:
    return f"{structure.symbol(number)} ({head})" if head else structure.symbol(number)
