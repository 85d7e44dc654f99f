"""Structures with predicted energies, forces and stresses, as a file other programs read."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import ase
import ase.io
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import voigt_6_to_full_3x3_stress

from equipot import files, units
from equipot.data import config as data_config
from equipot.data import label_units, labels
from equipot.data.own_keys import OwnKeys
from equipot.data.structure import Structure
from equipot.quantities import DERIVED, Quantity

_VOIGT = ([0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1])  # xx, yy, zz, yz, xz, xy


@runtime_checkable
class Predicted(Protocol):
    """What a potential says of one structure; eV, eV/Å, eV/Å³ with tension positive."""

    @property
    def energies(self) -> np.ndarray:
        """Energy of each atom, [nodes]."""
        ...

    @property
    def has_stress(self) -> bool:
        """Whether the stress is defined."""
        ...

    def value(self, name: str) -> Any:
        """The value of one quantity, of its shape."""
        ...


def write_predictions(
    path: str | pathlib.Path,
    structures: Sequence[Structure],
    predictions: Sequence[Predicted],
    quantities: Mapping[str, Quantity] = DERIVED,
    own: Sequence[OwnKeys | None] = (),
) -> None:
    """Writes extended xyz; by its name compressed (``.xz``, ``.gz``).

    Predictions stand under the names of their quantities, and ``energies``; labels, where there are
    any, under ``REF_energy`` and so on. Symmetric matrices have six numbers, as ASE has stresses.

    Args:
      path: Name of the file; what stood there is replaced, whole or not at all.
      structures: With or without labels.
      predictions: Of these structures, in the same order.
      quantities: What is predicted, by name.
      own: What the files of the structures hold beside, in the same order; empty for nothing.

    Raises:
      DataError: If the file cannot be written.
    """
    beside = own or [None] * len(structures)
    rows = zip(structures, predictions, beside, strict=True)
    frames = [_atoms(s, p, quantities, kept) for s, p, kept in rows]
    write_frames(path, frames)


def as_read_with(config: data_config.DataConfig, atoms: ase.Atoms) -> ase.Atoms:
    """A frame in the units and under the keys of some settings of reading, which give it back.

    Units are recorded in it. A stress becomes a virial where that is what the settings have the
    unit or the key of.

    Args:
      config: May give units and keys; without any the frame stays as it is.
      atoms: In eV and Å, with the labels that its calculator holds.
    """
    made = _in_units_of(atoms, config)
    if made.calc is None:
        return made
    results = dict(made.calc.results)
    for name in DERIVED:
        key = getattr(config, f"{name}_key")
        if key not in (None, data_config.IGNORED, name) and name in results:
            held = made.arrays if name == "forces" else made.info
            held[key] = results.pop(name)
    made.calc = SinglePointCalculator(made, **results)
    return made


def _in_units_of(atoms: ase.Atoms, config: data_config.DataConfig) -> ase.Atoms:
    given = label_units.in_settings(config)
    if atoms.calc is None:
        return atoms
    key = "virial" if units.is_energy(given.get("stress", "")) else "stress"
    if config.stress_key not in (None, data_config.IGNORED):
        key = str(config.stress_key)
    scales, results = label_units.scales_of(given, key), dict(atoms.calc.results)
    made = atoms.copy()
    if labels.is_virial(key) and "stress" in results:
        virial = -atoms.get_volume() * voigt_6_to_full_3x3_stress(results.pop("stress"))
        made.info[key] = virial / scales.stress
    made.positions /= scales.length
    made.set_cell(np.asarray(made.cell) / scales.length)
    made.info |= {f"{name}_unit": unit for name, unit in given.items()}
    found = {k: v / getattr(scales, k) for k, v in results.items() if k in DERIVED}
    made.calc = SinglePointCalculator(made, **found)
    return made


def write_frames(path: str | pathlib.Path, frames: Sequence[ase.Atoms]) -> None:
    """Writes extended xyz; by its name compressed (``.xz``, ``.gz``).

    Args:
      path: Name of the file; what stood there is replaced, whole or not at all.
      frames: With the labels that their calculators hold.

    Raises:
      DataError: If the file cannot be written.
    """
    with files.whole(path) as draft:
        ase.io.write(draft, list(frames), format="extxyz")


def to_atoms(structure: Structure) -> ase.Atoms:
    """The same structure for ASE, without labels."""
    return ase.Atoms(
        numbers=structure.atomic_numbers,
        positions=structure.positions,
        cell=structure.cell,
        pbc=structure.pbc,
    )


def labelled(structure: Structure, quantities: Mapping[str, Quantity] = DERIVED) -> ase.Atoms:
    """The same structure for ASE, with its labels where a reader finds them.

    Args:
      structure: With or without labels.
      quantities: What it may be labelled with, by name.
    """
    atoms, results = to_atoms(structure), {}
    for name, quantity in quantities.items():
        label = structure.label(name)
        if label is None:
            continue
        value = _written(label.value, quantity)
        if name in DERIVED:
            results[name] = value
        else:
            _put(atoms, name, value, quantity)
    atoms.calc = SinglePointCalculator(atoms, **results)
    atoms.info["source"] = structure.source
    if structure.charge:
        atoms.info["charge"] = structure.charge
    return atoms


def _atoms(
    structure: Structure,
    prediction: Predicted,
    quantities: Mapping[str, Quantity],
    own: OwnKeys | None,
) -> ase.Atoms:
    atoms = to_atoms(structure)
    results: dict[str, Any] = {"energies": prediction.energies}
    for name, quantity in quantities.items():
        if name != "stress" or prediction.has_stress:
            value = _written(prediction.value(name), quantity)
            if name in DERIVED:
                results[name] = value
            else:
                _put(atoms, name, value, quantity)
        label = structure.label(name)
        if label is not None:
            _put(atoms, f"REF_{name}", _written(label.value, quantity), quantity)
    atoms.calc = SinglePointCalculator(atoms, **results)
    if own is not None:
        own.put(atoms)
    if structure.charge:
        atoms.info["charge"] = structure.charge
    if structure.head:
        atoms.info["head"] = structure.head
    if structure.group and own is None:  # else it stands under its own key
        atoms.info["group"] = structure.group
    return atoms


def _put(atoms: ase.Atoms, name: str, value: Any, quantity: Quantity) -> None:
    place = atoms.arrays if quantity.per == "atom" else atoms.info
    place[name] = value


def _written(value: Any, quantity: Quantity) -> Any:
    """Symmetric matrices as six numbers; a number as one."""
    if not quantity.shape and quantity.per == "structure":
        return float(value)
    array = np.asarray(value)
    return array[..., *_VOIGT] if quantity.shape == (3, 3) else array
