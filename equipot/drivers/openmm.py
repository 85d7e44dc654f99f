"""OpenMM driven by a potential: a force for its ``System``.

from equipot.drivers.openmm import make_force

system.addForce(make_force("water.equipot", topology))
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from openmm import app, unit

from equipot import errors, units
from equipot.drivers import images
from equipot.drivers.elements import numbers_of
from equipot.inference import engine, out_of_range
from equipot.potential import artefact
from equipot.potential.potential import Potential

_UNITS: Any = unit
_ENERGY = 1.0 / units.KILOJOULE_PER_MOL
_LENGTH = 10.0  # Å in nm


def make_force(
    potential: str | Path | Potential,
    elements: app.Topology | Sequence[str],
    *,
    periodic: bool | None = None,
    particles: Sequence[int] | None = None,
    dtype: str | None = None,
    head: str | None = None,
    skin: float = 0.5,
    strict: bool = False,
    device: str | None = None,
) -> openmm.PythonForce:
    """A force that is the potential's, for all particles of a system or some of them.

    Energies are in kJ/mol and include the reference energies of the elements. What the potential
    refuses stops the integration with its sentence.

    Args:
      potential: A ``.equipot`` file, the name of a downloaded potential, or one in memory.
      elements: The topology, or the symbol of each particle.
      periodic: Whether the box is periodic, in all directions; None for what the topology says, and
        for no if symbols are given.
      particles: Indices of the particles it acts on; None for all. They feel each other, and not
        the rest.
      dtype: "float32" or "float64"; None for the potential's own.
      head: Level of theory; required if the potential has several.
      skin: Width in Å by which the neighbor list exceeds the cutoff.
      strict: Whether a structure outside the distances of training is refused.
      device: "cpu", "gpu", "gpu:1", …; None for jax's default device. It need not be OpenMM's.

    Raises:
      ConfigError: If a particle is no element.
      UnknownElementError: If the potential does not know an element.
      ArtefactError: If the file cannot be used.
    """
    symbols = _symbols(elements)
    chosen = list(range(len(symbols)) if particles is None else particles)
    if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(range(len(symbols))):
        raise errors.ConfigError(
            f"openmm: expected different particles below {len(symbols)}, received {chosen[:9]}"
        )
    source = potential if isinstance(potential, Potential) else artefact.read(potential)
    own = engine.Engine(source, dtype=dtype, head=head, skin=skin, strict=strict, device=device)
    named = ((f"particle {i}", symbols[i]) for i in chosen)
    advice = "; leave virtual sites out with particles=…"
    numbers = numbers_of(named, own.potential.spec.species_table, advice)
    if periodic is None:
        is_topology = isinstance(elements, app.Topology)
        periodic = is_topology and elements.getPeriodicBoxVectors() is not None
    force = openmm.PythonForce(Computation(own, numbers, periodic), {}, chosen)
    force.setUsesPeriodicBoundaryConditions(periodic)
    force.setName("equipot")
    return force


class Computation:
    """What OpenMM calls; it can be pickled, so that a system can be written and read.

    Attributes:
      engine: What evaluates the potential.
    """

    def __init__(self, own: engine.Engine, numbers: np.ndarray, periodic: bool) -> None:
        """Keeps what every call needs.

        Args:
          own: What evaluates the potential.
          numbers: Atomic number of each particle, [nodes].
          periodic: Whether all directions are.
        """
        self.engine = own
        self._numbers, self._pbc = numbers, np.full(3, periodic)
        self._watch = out_of_range.Watch()
        self._before: np.ndarray | None = None

    def __call__(self, state: openmm.State) -> tuple[float, np.ndarray]:
        """Energy in kJ/mol and forces in kJ/mol/nm, [nodes, 3]."""
        nanometer = _UNITS.nanometer
        found_at: Any = state.getPositions(asNumpy=True)
        positions = _LENGTH * np.asarray(found_at.value_in_unit(nanometer))
        cell = np.zeros((3, 3))
        if self._pbc.all():
            box: Any = state.getPeriodicBoxVectors(asNumpy=True)
            cell = _LENGTH * np.asarray(box.value_in_unit(nanometer))
        positions = images.nearest(positions, self._before, cell, self._pbc)
        found = self.engine.compute(positions, self._numbers, cell, self._pbc)
        self._before = positions
        self._watch.warn(self.engine.outside)
        return _ENERGY * found.energy, _ENERGY * _LENGTH * found.forces


def _symbols(elements: app.Topology | Sequence[str]) -> list[str]:
    if not isinstance(elements, app.Topology):
        return list(elements)
    return [str(atom.element.symbol) if atom.element else "" for atom in elements.atoms()]
