"""Energy is conserved while atoms cross the cutoff and neighbor lists are searched anew."""

import numpy as np
import pytest
from ase import Atoms

from equipot import EquipotCalculator
from equipot.calculators import dynamics


def run(calculator, timestep, duration=50.0):
    """Fifty femtoseconds of a hot crystal; also returns the energy exchanged, meV/atom."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    atoms = Atoms(
        np.where(grid.sum(axis=1) % 2, 8, 1),
        positions=2.1 * grid + 0.1 * rng.uniform(-1, 1, grid.shape),
        cell=[6.3] * 3,
        pbc=True,
        calculator=calculator,
    )
    config = dynamics.DynamicsConfig(
        ensemble="nve",
        num_steps=round(duration / timestep),
        timestep=timestep,
        temperature=300.0,
        log_every=4,
    )
    report = dynamics.run_dynamics(atoms, config, progress=False)
    potential = [sample.potential for sample in report.samples]
    return report.drift, (max(potential) - min(potential)) * 1e3 / len(atoms)


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
def test_energy_is_conserved_and_hardly_anything_is_compiled(make_potential, dtype):
    calculator = EquipotCalculator(make_potential(dtype, scale=0.3, num_layers=2), skin=0.3)
    drift, exchanged = run(calculator, timestep=0.5)
    assert exchanged > 2
    assert drift.excursion < 5e-3 * exchanged
    assert abs(drift.slope) < 0.05
    assert calculator.n_neighbor_searches > 3
    # In float64 the parameters are others, and the crystal melts and outgrows its first room.
    assert calculator.n_compilations == {"float32": 1, "float64": 2}[dtype]


@pytest.mark.slow
def test_half_the_step_leaves_a_quarter_of_the_error(make_potential):
    """So forces are derivatives of the energy along the whole way, and nothing jumps."""
    calculator = EquipotCalculator(make_potential("float64", scale=0.3, num_layers=2), skin=0.3)
    errors = [run(calculator, timestep)[0].excursion for timestep in (0.5, 0.25)]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.15)


@pytest.mark.slow
def test_the_skin_changes_nothing(make_potential):
    potential = make_potential("float64", scale=0.3, num_layers=2)
    drifts = [
        run(EquipotCalculator(potential, skin=skin), timestep=0.5)[0].excursion
        for skin in (0.0, 1.0)
    ]
    assert drifts[0] == pytest.approx(drifts[1], rel=1e-5)
