"""From a potential through its file to an ASE calculator in another process."""

import json
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms

from equipot.data.structure import Structure
from equipot.potential import artefact, evaluate

PROGRAM = """
import json, sys
from ase import Atoms
from equipot import EquipotCalculator
for path in sys.argv[2:]:
    atoms = Atoms(**json.loads(sys.argv[1]), calculator=EquipotCalculator(path))
    print(json.dumps({"energy": atoms.get_potential_energy(), "forces": atoms.get_forces().tolist(),
                      "stress": atoms.get_stress(voigt=False).tolist()}))
"""


def test_another_process_computes_what_potentials_of_both_precisions_did(make_potential, tmp_path):
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    atoms = Atoms("OHHOHHOH", positions=2.0 * grid + 0.2 * rng.uniform(-1, 1, (8, 3)))
    atoms.set_cell([4.0, 4.1, 4.2, 90, 85, 100])
    atoms.pbc = True
    potentials = [make_potential(dtype) for dtype in ("float32", "float64")]
    structure = Structure(
        positions=atoms.positions,
        atomic_numbers=atoms.numbers,
        cell=np.asarray(atoms.cell),
        pbc=atoms.pbc,
    )
    paths = [artefact.save(tmp_path / f"{p.spec.dtype}.equipot", p) for p in potentials]
    description = json.dumps(
        {
            "numbers": atoms.numbers.tolist(),
            "positions": atoms.positions.tolist(),
            "cell": np.asarray(atoms.cell).tolist(),
            "pbc": True,
        }
    )
    command = [sys.executable, "-c", PROGRAM, description, *map(str, paths)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = run.stdout.splitlines()[-2:]
    for potential, line, tolerance in zip(potentials, lines, (2e-4, 1e-9), strict=True):
        found, expected = json.loads(line), evaluate.evaluate(potential, [structure])[0]
        assert np.abs(expected.forces).max() > 0.01
        assert found["energy"] == pytest.approx(expected.energy, abs=tolerance)
        np.testing.assert_allclose(found["forces"], expected.forces, atol=tolerance)
        np.testing.assert_allclose(found["stress"], expected.stress, atol=tolerance)
