"""The ASE calculator of a saved potential."""

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
from ase.stress import full_3x3_to_voigt_6_stress

from equipot.calculators import engine
from equipot.potential import artefact
from equipot.potential.potential import Potential


class EquipotCalculator(Calculator):
    """Energies, forces and stress of a trained potential, for anything ASE does.

        atoms.calc = EquipotCalculator("water.equipot")

    Energies are in eV and hold the reference energies of the elements, forces are in eV/Å, stress
    is in eV/Å³ with tension positive (ASE's sign) and exists only where all three directions are
    periodic. One calculator compiles once for a system, also when the number of neighbours changes
    a little.
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
        **keywords: Any,
    ) -> None:
        """Reads the potential and puts its parameters on the device.

        Args:
          potential: A ``.equipot`` file, or a potential in memory. The probe stored in a file is
            checked after the first calculation, in the program compiled for it.
          dtype: "float32" or "float64"; None for the potential's own.
          skin: Å that the neighbour list is wider than the cutoff: wider means rarer searches among
            more pairs.
          head: Which level of theory; needed where the potential has several.
          keywords: Passed to ASE's ``Calculator`` (``atoms``, ``label``, …).

        Raises:
          ArtefactError: If the file cannot be used.
          ConfigError: If dtype, skin or head is not what it should be.
        """
        super().__init__(**keywords)
        source = potential if isinstance(potential, Potential) else artefact.read(potential)
        self._engine = engine.Engine(source, dtype=dtype, skin=skin, head=head)

    @property
    def potential(self) -> Potential:
        """The potential, in the precision it is run in."""
        return self._engine.potential

    @property
    def n_compilations(self) -> int:
        """How many programs were compiled for this calculator, seen by ``jax.monitoring``."""
        return self._engine.n_compilations

    @property
    def n_neighbour_searches(self) -> int:
        """How often the neighbour list was searched for; the other steps used it again."""
        return self._engine.n_neighbour_searches

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Computes everything at once and leaves it in ``results``.

        Args:
          atoms: The structure.
          properties: What is asked for.
          system_changes: What has changed since the last call; not looked at.

        Raises:
          PropertyNotImplementedError: If stress is asked for and a direction is not periodic.
          UnknownElementError: If the potential does not know an element.
          DataError: If two atoms lie at the same place, the cell is singular, or a number is not
            finite.
          NonFiniteError: If the prediction is not finite.
          ArtefactError: If the stored probe is not reproduced.
        """
        super().calculate(atoms, list(properties), list(system_changes))
        structure: Atoms = self.atoms  # type: ignore[assignment]
        if "stress" in properties and not structure.pbc.all():
            raise PropertyNotImplementedError(
                "stress is defined only where all three directions are periodic, received pbc ="
                f" {structure.pbc.tolist()}; give a cell and set pbc, or do not ask for stress"
            )
        found = self._engine.compute(
            structure.positions, structure.numbers, np.asarray(structure.cell), structure.pbc
        )
        self.results = {
            "energy": found.energy,
            "free_energy": found.energy,
            "energies": found.energies,
            "forces": found.forces,
        }
        if found.has_stress:
            self.results["stress"] = full_3x3_to_voigt_6_stress(found.stress)
