"""Settings of dynamics on the device, in the units of people and in those of the integrator."""

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

from ase import Atoms, units

from equipot import errors
from equipot.calculators import dynamics
from equipot.md.ensembles import Ensemble

FINE = "thermostat", "relaxation", "pressure", "pressure_relaxation", "compressibility"
"""Settings that the course of a run depends on, besides those of any run."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceConfig(dynamics.DynamicsConfig):
    """Settings of a run on the device, besides those of any run.

    Attributes:
      ensemble: "nve", "nvt", or "npt" (stochastic cell rescaling, of the volume alone).
      thermostat: "langevin" (BAOAB), or "bussi" (stochastic velocity rescaling).
      relaxation: Time in which Bussi's thermostat relaxes the kinetic energy, fs.
      pressure: GPa.
      pressure_relaxation: Time in which the barostat relaxes the volume, fs.
      compressibility: 1/GPa, roughly that of the system; water's by default.
    """

    ENSEMBLES: ClassVar[tuple[str, ...]] = ("nve", "nvt", "npt")

    thermostat: str = "langevin"
    relaxation: float = 100.0
    pressure: float = 1e-4
    pressure_relaxation: float = 1000.0
    compressibility: float = 0.45

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.thermostat not in ("langevin", "bussi"):
            raise errors.ConfigError(
                f"thermostat: expected langevin or bussi, received {self.thermostat!r}."
                f"{errors.did_you_mean(self.thermostat.lower(), ('langevin', 'bussi'))}"
            )
        for name in ("relaxation", "pressure_relaxation", "compressibility"):
            if not 0 < getattr(self, name) < math.inf:
                raise errors.ConfigError(
                    f"{name}: expected a positive number, received {getattr(self, name)}"
                )
        if not math.isfinite(self.pressure):
            raise errors.ConfigError(f"pressure: expected GPa, received {self.pressure}")


def ensemble_of(config: DeviceConfig, structures: Sequence[Atoms]) -> Ensemble:
    """The settings in the units of the integrator.

    Args:
      config: The settings.
      structures: What they are for.

    Raises:
      ConfigError: If the pressure of a structure cannot be kept.
    """
    pressure = None
    if config.ensemble == "npt":
        for i, atoms in enumerate(structures):
            if not atoms.pbc.all() or atoms.constraints:
                raise errors.ConfigError(
                    "npt: expected structures that are periodic in all three directions and have no"
                    f" constraints, received pbc = {atoms.pbc.tolist()} and"
                    f" {len(atoms.constraints)} constraints in structure {i}"
                )
        pressure = config.pressure * units.GPa
    return Ensemble(
        timestep=config.timestep * units.fs,
        bath="none" if config.ensemble == "nve" else config.thermostat,  # type: ignore[arg-type]
        friction=config.friction / units.fs,
        relaxation=config.relaxation * units.fs,
        pressure=pressure,
        pressure_relaxation=config.pressure_relaxation * units.fs,
        compressibility=config.compressibility / units.GPa,
    )
