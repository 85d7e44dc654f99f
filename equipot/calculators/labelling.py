"""Labels from any ASE calculator: energy, forces and, in periodic structures, stress."""

import dataclasses
import importlib
import pathlib
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import ase
import ase.io
import numpy as np
from ase.calculators import calculator as ase_calculators
from ase.calculators.calculator import BaseCalculator
from ase.calculators.singlepoint import SinglePointCalculator

from equipot import errors
from equipot.data import writers
from equipot.data.structure import Structure

_FAILURES = (  # how calculators say that a calculation did not converge or broke down
    ase_calculators.CalculatorError,
    ArithmeticError,
    RuntimeError,
    np.linalg.LinAlgError,
    subprocess.SubprocessError,
)
_SAME_ENERGY = 2e-3  # eV per atom between two runs of one method; two methods differ by eV
_SAME_FORCES = 0.02  # eV/Å
_LABELS = "energy", "forces", "stress"
_WRITTEN = 1e-7  # Å, above what is lost in a file


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Labelled:
    """What became of structures that were to be labelled.

    Attributes:
      frames: Those with labels, in their order, with a calculator that holds these.
      places: The index of each in what was given.
      dropped: How many had none, by reason.
    """

    frames: list[ase.Atoms]
    places: list[int]
    dropped: Mapping[str, int]


def find_calculator(name: str, arguments: Mapping[str, Any]) -> Callable[[], Any]:
    """Returns a function that makes a calculator; one is made to see that it can be.

    Args:
      name: A name that ASE knows, such as ``emt``, or ``module:Class``.
      arguments: Passed to the class by keyword.

    Raises:
      ConfigError: If there is no such class, or it does not take the arguments.
    """
    kind = _class(name)

    def make() -> Any:
        return kind(**arguments)

    try:
        made = make()
    except (*_FAILURES, TypeError, ValueError, LookupError, OSError) as error:
        raise errors.ConfigError(
            f"--calculator {name}: cannot be made with {dict(arguments)} ({errors.brief(error)});"
            " see --calculator-args"
        ) from error
    if not isinstance(made, BaseCalculator):
        raise errors.ConfigError(
            f"--calculator: expected what makes an ASE calculator, received {name}"
        )
    return make


def _class(name: str) -> Callable[..., Any]:
    module, is_path, attribute = name.partition(":")
    try:
        if is_path:
            return getattr(importlib.import_module(module), attribute)
        return ase_calculators.get_calculator_class(name)
    except (ImportError, AttributeError, ValueError) as error:
        advice = "" if is_path else "; what ASE has no name for is given as module:Class"
        raise errors.ConfigError(
            f"--calculator: there is no {name} ({errors.brief(error)}){advice}"
        ) from error


def label(
    frames: Iterable[ase.Atoms], make: Callable[[], Any], parts: pathlib.Path | None = None
) -> Labelled:
    """Labels structures, each with a calculator of its own, and drops those that fail.

    Args:
      frames: The structures, which stay as they are.
      make: Makes a calculator.
      parts: A folder that gets each frame as it is labelled, and from which those of an interrupted
        call are taken.

    Raises:
      DataError: If the folder holds frames of other structures, or cannot be written.
    """
    made: list[ase.Atoms] = []
    places: list[int] = []
    dropped: Counter[str] = Counter()
    for place, frame in enumerate(frames):
        part = parts / f"{place:06d}.extxyz" if parts is not None else None
        atoms = frame.copy()
        if part is not None and part.exists():
            results = _stored(part, atoms)
        else:
            atoms.calc = make()
            try:
                results = _results(atoms, atoms.calc)
            except _FAILURES as error:
                dropped[errors.brief(error)] += 1
                continue
            if not all(np.isfinite(value).all() for value in results.values()):
                dropped["not finite"] += 1
                continue
        atoms.calc = SinglePointCalculator(atoms, **results)
        if part is not None and not part.exists():
            writers.write_frames(part, [atoms])
        made.append(atoms)
        places.append(place)
    return Labelled(frames=made, places=places, dropped=dict(dropped))


def check_method(structures: Sequence[Structure], make: Callable[[], Any]) -> str:
    """Labels the smallest labelled structure of a dataset again and compares.

    Args:
      structures: The dataset.
      make: Makes a calculator.

    Returns:
      A sentence.

    Raises:
      DataError: If the labels differ: those of the dataset are by another method.
    """
    known = [
        s
        for s in structures
        if s.energy_weight > 0 and s.forces_weight > 0 and len(s.atomic_numbers) > 1
    ]
    if not known:
        return "The dataset has no labels to compare the calculator with"
    item = min(known, key=lambda s: len(s.atomic_numbers))
    done = label([writers.to_atoms(item)], make)
    if not done.frames:
        raise errors.DataError(
            f"{item.where}: the calculator fails there: {next(iter(done.dropped))}"
        )
    found = done.frames[0]
    energy = abs(found.get_potential_energy() - item.energy) / len(found)
    forces = float(np.abs(found.get_forces() - item.forces).max())
    if energy > _SAME_ENERGY or forces > _SAME_FORCES:
        raise errors.DataError(
            f"{item.where}: the calculator differs from the labels of the dataset by"
            f" {1e3 * energy:.3g} meV/atom and {1e3 * forces:.3g} meV/Å; one potential learns from"
            " one method: set --calculator-args to those of the dataset, or give --any-method"
        )
    return (
        f"The calculator gives the labels of {item.where}, to {1e3 * energy:.2g} meV/atom and"
        f" {1e3 * forces:.2g} meV/Å"
    )


def _stored(part: pathlib.Path, atoms: ase.Atoms) -> dict[str, Any]:
    """Labels of an earlier call.

    Raises:
      DataError: If they are of another structure.
    """
    found = ase.io.read(part, format="extxyz")
    assert isinstance(found, ase.Atoms)  # one frame
    is_same = len(found) == len(atoms) and (found.numbers == atoms.numbers).all()
    if not is_same or np.abs(found.positions - atoms.positions).max() > _WRITTEN:
        raise errors.DataError(
            f"{part}: expected the frame that these settings make, found another: it was made by"
            " other settings or of other data; remove its folder"
        )
    assert found.calc is not None
    return {name: found.calc.results[name] for name in _LABELS if name in found.calc.results}


def _results(atoms: ase.Atoms, calculator: BaseCalculator) -> dict[str, Any]:
    results: dict[str, Any] = {
        "energy": round(float(atoms.get_potential_energy()), 6),
        "forces": atoms.get_forces().round(6),
    }
    if atoms.pbc.all() and "stress" in calculator.implemented_properties:
        results["stress"] = atoms.get_stress().round(8)
    return results
