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
atoms = Atoms(**json.loads(sys.argv[2]), calculator=EquipotCalculator(sys.argv[1]))
print(json.dumps({"energy": atoms.get_potential_energy(), "forces": atoms.get_forces().tolist(),
                  "stress": atoms.get_stress(voigt=False).tolist()}))
"""


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-4), ("float64", 1e-9)])
def test_another_process_computes_what_the_potential_did(
    make_potential, tmp_path, dtype, tolerance
):
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    atoms = Atoms("OHHOHHOH", positions=2.0 * grid + 0.2 * rng.uniform(-1, 1, (8, 3)))
    atoms.set_cell([4.0, 4.1, 4.2, 90, 85, 100])
    atoms.pbc = True
    potential = make_potential(dtype)
    structure = Structure(
        positions=atoms.positions,
        atomic_numbers=atoms.numbers,
        cell=np.asarray(atoms.cell),
        pbc=atoms.pbc,
    )
    expected = evaluate.evaluate(potential, [structure])[0]
    path = artefact.save(tmp_path / "oh.equipot", potential)
    description = json.dumps(
        {
            "numbers": atoms.numbers.tolist(),
            "positions": atoms.positions.tolist(),
            "cell": np.asarray(atoms.cell).tolist(),
            "pbc": True,
        }
    )
    command = [sys.executable, "-c", PROGRAM, str(path), description]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(run.stdout.splitlines()[-1])
    assert np.abs(expected.forces).max() > 0.01
    assert found["energy"] == pytest.approx(expected.energy, abs=tolerance)
    np.testing.assert_allclose(found["forces"], expected.forces, atol=tolerance)
    np.testing.assert_allclose(found["stress"], expected.stress, atol=tolerance)
