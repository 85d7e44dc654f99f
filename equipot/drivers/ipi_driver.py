"""A potential for ``i-pi-py_driver``.

i-pi-py_driver -m custom -P $(equipot drive --path) -u -a NAME \
      -o template=start.xyz,potential=water.equipot
"""

from typing import Any

import numpy as np
from ase import Atoms
from ipi.pes._ase import ASEDriver

from equipot import EquipotCalculator

__DRIVER_NAME__ = "equipot"
__DRIVER_CLASS__ = "EquipotDriver"


class EquipotDriver(ASEDriver):
    """Answers i-PI with a potential."""

    def __init__(
        self,
        template: str,
        potential: str,
        dtype: str | None = None,
        head: str | None = None,
        device: str | None = None,
        **keywords: Any,
    ) -> None:
        """Reads the potential.

        Args:
          template: A file that ASE reads, with the atoms in i-PI's order.
          potential: A ``.equipot`` file, or the name of a downloaded potential.
          dtype: "float32" or "float64"; None for the potential's own.
          head: Level of theory; required if the potential has several.
          device: "cpu", "gpu", "gpu:1", …; None for jax's default device.
          keywords: Those of i-PI's drivers.
        """
        self._settings: dict[str, Any] = {"dtype": dtype, "head": head, "device": device}
        self._potential = potential
        super().__init__(template, **keywords)

    def check_parameters(self) -> None:
        """Reads the atoms, and makes the calculator."""
        super().check_parameters()
        self.ase_calculator = EquipotCalculator(self._potential, **self._settings)
        template: Any = self.template_ase
        if not template.pbc.all() and "stress" in self.capabilities:
            self.capabilities.remove("stress")

    def post_process(self, properties: Any, structure: Atoms) -> tuple:
        """In i-PI's units; without three periodic directions the virial is zero."""
        wanted, self.capabilities = self.capabilities, ["energy", "forces", "stress"]
        try:
            return super().post_process({"stress": np.zeros((3, 3)), **properties}, structure)
        finally:
            self.capabilities = wanted
