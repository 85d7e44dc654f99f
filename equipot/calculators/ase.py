"""The ASE calculator of a saved potential."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import (
    Calculator,
    PropertyNotImplementedError,
    all_changes,
)
from ase.outputs import Properties, all_outputs
from ase.stress import full_3x3_to_voigt_6_stress

from equipot import errors
from equipot.calculators import results
from equipot.inference import engine, out_of_range
from equipot.potential import artefact
from equipot.potential.potential import Potential
from equipot.potential.summands import Summand

_ARRAYS = tuple(name for name in all_changes if name not in ("cell", "pbc"))


class EquipotCalculator(Calculator):
    """Energies, forces and stress of a trained potential, for use anywhere in ASE.

        atoms.calc = EquipotCalculator("water.equipot")

    Energies are in eV and include the reference energies of the elements, forces are in eV/Å, and
    stress is in eV/Å³ with tension positive (ASE's sign) and exists only if all three directions
    are periodic. A calculator compiles once for a system, even if the number of neighbors changes
    a little.

    Threads may share a calculator: they take turns, and ``atoms.get_forces()`` and similar methods
    give each thread its own numbers (``results`` are those of the last caller). It can be copied,
    and pickled for other processes, which compile their own program.

    Further quantities that the potential was trained on are in ``results`` by name. ASE's
    ``get_dipole_moment``, ``get_charges`` and ``get_magnetic_moments`` return ``dipole``,
    ``charges`` and ``magnetic_moment``. Charges add up to ``atoms.info["charge"]``, or to 0 if it
    is not set.

    If a structure has atoms closer to each other, or farther from all others, than any in training,
    ``equipot.OutOfRangeWarning`` says so, once for each element or pair of elements.
    """

    implemented_properties: ClassVar[list[str]] = [  # type: ignore[misc]
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
    ]

    def __init__(
        self,
        potential: str | Path | Potential,
        dtype: str | None = None,
        skin: float = 0.5,
        head: str | None = None,
        strict: bool = False,
        plus: Sequence[Summand] = (),
        device: str | None = None,
        **keywords: Any,
    ) -> None:
        """Reads the potential and puts its parameters on the device.

        Args:
          potential: A ``.equipot`` file, the name of a published potential that ``equipot
            download`` fetched, or a potential in memory. The probe stored in a file is
            checked after the first calculation, in the program compiled for it.
          dtype: "float32" or "float64"; None for the potential's own.
          skin: Width in Å by which the neighbor list exceeds the cutoff: a wider list has more
            pairs but is searched less often.
          head: Level of theory; required if the potential has several.
          strict: Whether a structure outside the distances of training is refused with an
            ``OutOfRangeError`` instead of the warning.
          plus: Terms added to the potential, such as a dispersion, each with its own cutoff and
            neighbors; see ``equipot.potential.summands``.
          device: Where to run: "cpu", "gpu", or "gpu:1" for the second one; None for jax's default
            device, which is a GPU if there is one.
          keywords: Passed to ASE's ``Calculator`` (``atoms``, ``label``, …).

        Raises:
          ArtefactError: If the file cannot be used.
          ConfigError: If dtype, skin, head, a summand or the device is invalid, or strict is
            requested and the potential does not state the distances.
        """
        super().__init__(**keywords)
        source = potential if isinstance(potential, Potential) else artefact.read(potential)
        self._engine = engine.Engine(
            source, dtype=dtype, skin=skin, head=head, strict=strict, plus=plus, device=device
        )
        named = results.names(self.potential.spec.quantities).values()
        self.implemented_properties = [*type(self).implemented_properties, *named]  # type: ignore[misc]
        origin = "in memory" if isinstance(potential, Potential) else str(potential)
        given = {"potential": origin, "dtype": self.potential.spec.dtype, "head": head}
        self._given = {name: value for name, value in given.items() if value is not None}
        self._watch = out_of_range.Watch()
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._lock = threading.RLock()

    def todict(self, skip_default: bool = True) -> dict[str, Any]:
        """What ASE writes into databases and trajectories: the potential, its precision and head.

        Args:
          skip_default: Has no meaning here; ASE gives it.
        """
        return dict(self._given)

    @property
    def potential(self) -> Potential:
        """The potential, in the precision it is run in."""
        return self._engine.potential

    @property
    def head(self) -> str:
        """The level of theory."""
        return self._engine.head

    @property
    def plus(self) -> tuple[Summand, ...]:
        """What is added to the potential."""
        return self._engine.plus

    @property
    def n_compilations(self) -> int:
        """Number of programs compiled for this calculator, as counted by ``jax.monitoring``."""
        return self._engine.n_compilations

    @property
    def n_neighbor_searches(self) -> int:
        """Number of neighbor searches; the other steps reused the list."""
        return self._engine.n_neighbor_searches

    @property
    def n_neighbour_searches(self) -> int:
        """The name of ``n_neighbor_searches`` in earlier versions."""
        return self.n_neighbor_searches

    @property
    def outside(self) -> tuple[out_of_range.Finding, ...]:
        """Everything in the last structure outside the distances of training, the worst first.

        Empty if the potential does not state them (``potential.distance_range`` is None).
        """
        return self._engine.outside

    def get_property(
        self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True
    ) -> Any:
        """Returns a property of a structure, from the last calculation if it is still valid.

        Args:
          name: "energy", "forces", …, see ``implemented_properties``.
          atoms: The structure; None for that of the last calculation.
          allow_calculation: If false, None is returned for what has not been calculated.

        Raises:
          PropertyNotImplementedError: If there is no such property, or stress is requested and a
            direction is not periodic.
          EquipotError: What ``calculate`` raises.
        """
        with self._lock:
            structure = self._structure(atoms)
            if allow_calculation:
                self._check_defined([name], structure)
            return super().get_property(name, structure, allow_calculation)

    def calculation_required(self, atoms: Atoms, properties: Sequence[str]) -> bool:
        """Whether one of the properties is not yet available for this structure."""
        with self._lock:
            return super().calculation_required(atoms, properties)

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """Lists what has changed since the last calculation, however little.

        The charge is compared too, if it matters.

        Args:
          atoms: The structure.
          tol: Ignored.
        """
        with self._lock:
            before = self.atoms
            if before is None:
                return list(all_changes)
            changed = [name for name in _ARRAYS if not _same(before, atoms, name)]
            if not (before.cell.array == atoms.cell.array).all():
                changed.append("cell")
            if not (before.pbc == atoms.pbc).all():
                changed.append("pbc")
            charges = (own.info.get(results.CHARGE, 0.0) for own in (before, atoms))
            if self._needs_charge and not np.array_equal(*charges):
                changed.append(results.CHARGE)
            return changed

    def calculate_properties(self, atoms: Atoms, properties: Sequence[str]) -> Any:
        """Calculates several properties at once; ``atoms.get_properties`` calls this."""
        with self._lock:
            return super().calculate_properties(atoms, properties)

    def export_properties(self) -> Properties:
        """Returns the results that ASE has a name for, and whose shape is the one it means."""
        return Properties(
            {name: value for name, value in self.results.items() if _is_of_ase(name, value)}
        )

    def reset(self) -> None:
        """Forgets the last calculation."""
        with self._lock:
            super().reset()

    def forget(self) -> None:
        """Forgets the last calculation, neighbor lists and sizes: what comes is that of a new one.

        Programs and parameters stay. A list of before gives the same numbers but for the last bits,
        since pairs are summed in another order.
        """
        with self._lock:
            super().reset()
            self._engine.forget()

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Computes everything at once and leaves it in ``results``.

        Args:
          atoms: The structure.
          properties: The requested properties.
          system_changes: What has changed since the last call; ignored.

        Raises:
          PropertyNotImplementedError: If stress is requested and a direction is not periodic.
          UnknownElementError: If the potential does not know an element.
          DataError: If two atoms lie at the same place, the cell is singular, or a number is not
            finite.
          OutOfRangeError: If the calculator is strict and the structure is outside the distances
            of training.
          NonFiniteError: If the prediction is not finite.
          ArtefactError: If the stored probe is not reproduced.
        """
        with self._lock:
            self.results = {}  # if anything fails below, no results of another structure remain
            if self.check_state(self._structure(atoms)):
                self.atoms = self._structure(atoms).copy()
            structure = self._structure(None)
            self._check_defined(properties, structure)
            cell = np.asarray(structure.cell)
            try:
                found = self._engine.compute(
                    structure.positions,
                    structure.numbers,
                    cell,
                    structure.pbc,
                    self._charge(structure),
                )
            finally:  # being out of range may be why the prediction is not finite
                if not self._engine.strict:
                    self._watch.warn(self._engine.outside)
            self.results = {
                "energy": found.energy,
                "free_energy": found.energy,
                "energies": found.energies,
                "forces": found.forces,
                **results.of(found.others, self.potential.spec.quantities),
            }
            if found.has_stress:
                self.results["stress"] = full_3x3_to_voigt_6_stress(found.stress)

    def _charge(self, structure: Atoms) -> float:
        """The total charge, if a quantity adds up to it, otherwise 0."""
        return results.total_charge(structure) if self._needs_charge else 0.0

    @property
    def _needs_charge(self) -> bool:
        return any(quantity.sums_to_charge for quantity in self.potential.spec.quantities)

    def _structure(self, atoms: Atoms | None) -> Atoms:
        """The requested structure; by ASE's convention, None means that of the last calculation."""
        if atoms is not None:
            return atoms
        if self.atoms is None:
            raise errors.DataError(
                "expected atoms, received none, and nothing has been calculated yet; set atoms.calc"
                " to the calculator and ask the atoms, as in atoms.get_forces()"
            )
        return self.atoms

    def _check_defined(self, properties: Sequence[str], atoms: Atoms) -> None:
        for name in properties:
            if name not in self.implemented_properties:
                raise PropertyNotImplementedError(
                    f"expected one of {', '.join(self.implemented_properties)}, received {name!r},"
                    f" which the potential does not give."
                    f"{errors.did_you_mean(name, self.implemented_properties)}"
                )
        if "stress" in properties and not atoms.pbc.all():
            raise PropertyNotImplementedError(
                "stress is defined only where all three directions are periodic, received pbc ="
                f" {atoms.pbc.tolist()}; give a cell and set pbc, or do not ask for stress"
            )


def _is_of_ase(name: str, value: Any) -> bool:
    """Whether ASE's ``Properties`` has a place for a result; it refuses all for one of them."""
    if name not in all_outputs:
        return False
    wanted, found = all_outputs[name].shapespec, np.shape(value)
    fits = (own == size or isinstance(own, str) for own, size in zip(wanted, found, strict=False))
    return len(wanted) == len(found) and all(fits)


def _same(before: Atoms, after: Atoms, name: str) -> bool:
    """Whether an array of the atoms is equal in both, or absent from both."""
    old, new = before.arrays.get(name), after.arrays.get(name)
    if old is None or new is None:
        return old is new
    return old.shape == new.shape and bool((old == new).all())
