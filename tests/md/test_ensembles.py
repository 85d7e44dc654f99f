"""Distributions with known answers, and the conservation of energy, of the compiled steps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import units
from scipy import stats

from equipot.inference.device_neighbors import Plan
from equipot.md import beginning, program
from equipot.md.ensembles import Ensemble
from equipot.md.forces import Bounds, Found, Room, volumes_of
from equipot.md.program import First
from equipot.md.systems import Systems

ROOM = Room(cutoff=1e-3, skin=1e9, plan=Plan(cutoff=1e-3, reach=(0, 0, 0), capacity=8), capacity=8)
MASS = 12.0
TEMPERATURE = 300.0
THERMAL = units.kB * TEMPERATURE


def springs(stiffness, params, systems, bounds, positions, cells, lists):
    """Each atom is tied to its place in a cell of 10 Å, which moves along with the cell.

    E = ½ Σ k |r − s h|², whose derivative by the strain is that at fixed fractions of the cell.
    """
    scale = cells[:, 0, 0] / 10.0
    sites = params[None] * scale[:, None, None]
    away = positions - sites
    tied = jnp.asarray(stiffness)[None, :, None] * away
    energies = 0.5 * jnp.sum(tied * away, axis=(1, 2))
    virials = jnp.einsum("sai,saj->sij", tied, away)
    return Found(
        energies=energies,
        forces=-tied,
        virials=virials,
        num_pairs=jnp.int32(0),
        is_outside=jnp.asarray(False),
    )


def simulate(ensemble, stiffness, num_systems, num_blocks, per_block, seed=0):
    """Velocities, cells and energies after each block, of systems that begin at their sites."""
    rng = np.random.default_rng(seed)
    num_atoms = len(stiffness)
    sites = rng.uniform(0, 10, (num_atoms, 3))
    shape = num_systems, num_atoms
    systems = Systems(
        species=np.zeros(shape, np.int32),
        present=np.ones(shape, bool),
        movable=np.ones(shape, bool),
        masses=np.full(shape, MASS),
        pbc=np.ones((num_systems, 3), bool),
        references=np.zeros(num_systems),
        freedom=np.full(num_systems, 3.0 * num_atoms),
        temperature=np.full(num_systems, TEMPERATURE),
        stream=np.arange(num_systems, dtype=np.int32),
        head=np.zeros(num_systems, np.int32),
    )
    velocities = rng.normal(size=(*shape, 3)) * np.sqrt(THERMAL / MASS)
    with jax.enable_x64(True):
        evaluate = functools.partial(springs, np.array(stiffness))
        advance = jax.jit(program.make_advance(evaluate, ROOM, ensemble))
        cells = np.stack([10.0 * np.eye(3)] * num_systems)
        positions = np.stack([sites] * num_systems)
        state = beginning.before(ROOM, 0, positions, velocities, cells)
        bounds = Bounds(nearest=np.zeros((1, 1)), farthest=np.full(1, np.inf))
        found, first = [], First.SEARCH
        for _ in range(num_blocks):
            counts = jnp.int32(per_block), jnp.int32(first)
            arguments = jnp.asarray(sites), systems, bounds
            state = advance(*arguments, state, jax.random.key(seed), *counts)
            found.append(jax.device_get((state.velocities, state.cells, state.energies)))
            first = First.NOTHING
        assert not bool(state.overflow)
    return [np.stack(parts) for parts in zip(*found, strict=True)]


def kinetic(velocities):
    return 0.5 * MASS * (velocities**2).sum(axis=(-2, -1))


@pytest.mark.parametrize("bath", ["langevin", "bussi"])
def test_kinetic_energies_have_their_distribution(bath):
    """Of two atoms: a gamma distribution of six degrees of freedom.

    They are on springs, but not for Bussi's bath, which acts on all velocities alike: oscillations
    that are all as fast keep their phases, whatever it does.
    """
    ensemble = Ensemble(
        timestep=1.0 * units.fs,
        bath=bath,
        friction=0.02 / units.fs,
        relaxation=20.0 * units.fs,
    )
    stiffness = 2.0 if bath == "langevin" else 0.0
    velocities, _, energies = simulate(ensemble, [stiffness] * 2, 256, 16, 60)
    found = kinetic(velocities)[4:].ravel()
    exact = stats.gamma(3.0, scale=THERMAL)
    # About 3000 numbers, nearly independent: the mean to 1 %, and no other shape.
    assert found.mean() == pytest.approx(exact.mean(), rel=0.05)
    assert found.std() == pytest.approx(exact.std(), rel=0.07)
    assert stats.kstest(found, exact.cdf).statistic < 0.04
    # The springs are as hot: BAOAB samples a harmonic well without error of the time step.
    if stiffness:
        assert energies[4:].mean() == pytest.approx(3.0 * THERMAL, rel=0.06)


@pytest.mark.physics
@pytest.mark.parametrize(
    ("bath", "num_tied"),
    [("langevin", 0), ("bussi", 0), ("langevin", 8)],
    ids=["ideal gas", "ideal gas, bussi", "ideal gas and harmonic crystal"],
)
def test_volumes_have_their_distribution(bath, num_tied):
    """V^N exp(−P V/kT) with N the atoms that are free.

    An atom on a spring has as much room whatever the cell is, and counts for nothing. Nothing
    passes heat between such atoms and the gas: Bussi's bath, which knows only the sum of both,
    would leave them at temperatures of their own, so that only Langevin's is tried there.
    """
    num_free = 16 - num_tied
    pressure = (num_free + 1) * THERMAL / 1000.0
    ensemble = Ensemble(
        timestep=2.0 * units.fs,
        bath=bath,
        friction=0.02 / units.fs,
        relaxation=50.0 * units.fs,
        pressure=pressure,
        pressure_relaxation=100.0 * units.fs,
        compressibility=1.0 / pressure,
    )
    stiffness = [0.0] * num_free + [3.0] * num_tied
    velocities, cells, _ = simulate(ensemble, stiffness, 64, 90, 250)
    found = np.abs(np.linalg.det(cells))[10:].ravel()
    exact = stats.gamma(num_free + 1, scale=THERMAL / pressure)
    assert found.mean() == pytest.approx(exact.mean(), rel=0.02)
    assert found.std() == pytest.approx(exact.std(), rel=0.05)
    assert stats.kstest(found, exact.cdf).statistic < 0.03
    assert kinetic(velocities)[10:].mean() == pytest.approx(24.0 * THERMAL, rel=0.02)


def test_without_a_bath_energy_drifts_with_the_square_of_the_time_step():
    spreads = []
    for timestep, per_block in ((4.0, 5), (2.0, 10), (1.0, 20)):
        ensemble = Ensemble(timestep=timestep * units.fs)
        velocities, _, energies = simulate(ensemble, [4.0] * 8, 1, 60, per_block)
        total = kinetic(velocities) + energies
        spreads.append(float(total.std()))
    ratios = np.array(spreads[:-1]) / np.array(spreads[1:])
    np.testing.assert_allclose(ratios, 4.0, rtol=0.15)


def test_volumes_are_those_of_cells():
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(5, 3, 3))
    with jax.enable_x64(True):
        found = np.asarray(volumes_of(jnp.asarray(cells)))
    np.testing.assert_allclose(found, np.abs(np.linalg.det(cells)), rtol=1e-12)
