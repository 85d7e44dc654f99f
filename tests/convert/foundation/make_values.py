"""Prints what Nequix and SevenNet say of the small files of the tests; needs both programs.

.venv-foundation/bin/python -m tests.convert.foundation.make_values
"""

import tempfile
from pathlib import Path

import numpy as np
from ase.calculators.calculator import Calculator

from tests.convert.foundation import files, programs, structures


def main() -> None:
    """Prints energies, and of forces and stresses some components and the norm."""
    with tempfile.TemporaryDirectory() as folder:
        nqx = files.write_nequix(Path(folder) / "small.nqx")
        pth = files.write_sevennet(Path(folder) / "small.pth")
        for name, calculator in {
            "Nequix": programs.nequix_calculator(nqx),
            "SevenNet": programs.sevennet_calculator(pth, strict=False),
        }.items():
            show(name, calculator)


def show(name: str, calculator: Calculator) -> None:
    atoms = structures.quartz_like()
    atoms.calc = calculator
    forces, stress = atoms.get_forces(), atoms.get_stress(voigt=False)
    print(name)
    print(f"ENERGY = {atoms.get_potential_energy():.6f}")
    print(f"FORCES = {[round(float(x), 6) for x in (*forces[0], np.linalg.norm(forces))]}")
    print(f"STRESS = {[round(float(x), 7) for x in (*np.diag(stress), np.linalg.norm(stress))]}")


if __name__ == "__main__":
    main()
