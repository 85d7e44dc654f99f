"""Between ASE's atoms and the device."""

import ase.io
import numpy as np
import pytest
from ase.build import molecule

from equipot.calculators import dynamics
from equipot.md import atoms


@pytest.mark.parametrize("name", ["H2O", "CH3CH2OH", "C60"])
def test_atoms_at_rest_are_at_rest_after_a_file_has_rounded_their_momenta(tmp_path, name):
    """Else a thermostat would give three momenta that are conserved their share of the heat."""
    for seed in range(20):
        made = molecule(name)
        dynamics.draw_velocities(made, 300.0, np.random.default_rng(seed))
        ase.io.write(tmp_path / "frame.extxyz", made)
        read = ase.io.read(tmp_path / "frame.extxyz")
        assert atoms.start_of(read, 0, 300.0, conserves=True).conserved == 3
    read.set_momenta(read.get_momenta() + 1e-3)
    assert atoms.start_of(read, 0, 300.0, conserves=True).conserved == 0
