"""Prints what Nequix and SevenNet say of the small files of the tests; needs both programs.

.venv-foundation/bin/python -m tests.convert.foundation.make_values
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ase.calculators.calculator import Calculator

from equipot.convert import conversion
from equipot.potential import evaluate
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


def compare() -> None:
    """Prints, for each published file that is here, the largest differences on all structures."""
    nequix = {name: files.published_nequix(name) for name in files.NEQUIX}
    sevennet = {name: files.published_sevennet(name) for name in files.SEVENNET}
    for found, make in (
        (nequix, programs.nequix_calculator),
        (sevennet, programs.sevennet_calculator),
    ):
        for name, path in found.items():
            if path.is_file():
                _compare(name, path, make)


def _compare(name: str, path: Path, make: Callable[[Path], Calculator]) -> None:
    potential = conversion.convert(path, trust=False, dtype="float64").potential
    compared, calculator = structures.compared(), make(path)
    ours = evaluate.evaluate(potential, [structures.structure(a) for a in compared.values()])
    differences = []
    for atoms, found in zip(compared.values(), ours, strict=True):
        atoms.calc = calculator
        energy = abs(found.energy - atoms.get_potential_energy()) / len(atoms)
        forces = np.abs(found.forces - atoms.get_forces()).max()
        stress = np.abs(found.stress - atoms.get_stress(voigt=False)).max()
        differences.append((energy, forces, stress))
    energy, forces, stress = np.max(differences, axis=0)
    print(f"{name}: {energy:.1e} eV/atom, {forces:.1e} eV/Å, {stress:.1e} eV/Å³", flush=True)


def show(name: str, calculator: Calculator) -> None:
    atoms = structures.quartz_like()
    atoms.calc = calculator
    forces, stress = atoms.get_forces(), atoms.get_stress(voigt=False)
    print(name)
    print(f"ENERGY = {atoms.get_potential_energy():.6f}")
    print(f"FORCES = {[round(float(x), 6) for x in (*forces[0], np.linalg.norm(forces))]}")
    print(f"STRESS = {[round(float(x), 7) for x in (*np.diag(stress), np.linalg.norm(stress))]}")


if __name__ == "__main__":
    compare() if "published" in sys.argv[1:] else main()
