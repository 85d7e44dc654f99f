"""OpenMM itself, driven by a potential."""

import importlib.util

import numpy as np
import pytest

from equipot import EquipotCalculator, errors, units

if importlib.util.find_spec("openmm") is None:
    pytest.skip("needs the extra 'openmm'", allow_module_level=True)
import openmm
from openmm import app, unit

from equipot.drivers.openmm import make_force

KILOJOULE = units.KILOJOULE_PER_MOL
NONE = unit.kilojoule_per_mole


def context_of(atoms, force, step=0.2):
    """A context on OpenMM's reference platform, which computes in float64."""
    system = openmm.System()
    for mass in atoms.get_masses():
        system.addParticle(mass)
    system.addForce(force)
    if atoms.pbc.all():
        system.setDefaultPeriodicBoxVectors(*(0.1 * np.asarray(atoms.cell)))
    integrator = openmm.VerletIntegrator(step * unit.femtosecond)
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, integrator, platform)
    context.setPositions(0.1 * atoms.positions)
    return context


def energy(context):
    state = context.getState(energy=True)
    return [
        each.value_in_unit(NONE) * KILOJOULE
        for each in (state.getPotentialEnergy(), state.getKineticEnergy())
    ]


def forces(context):
    found = context.getState(forces=True).getForces(asNumpy=True)
    return 0.1 * KILOJOULE * np.asarray(found.value_in_unit(NONE / unit.nanometer))


@pytest.fixture(params=[True, False], ids=["box", "molecule"])
def atoms(request, make_crystal):
    return make_crystal(cells=2, pbc=request.param)


def test_energy_and_forces_are_those_of_ase(make_potential, atoms):
    force = make_force(
        make_potential(), atoms.get_chemical_symbols(), periodic=bool(atoms.pbc.all())
    )
    context = context_of(atoms, force)
    atoms.calc = EquipotCalculator(make_potential())
    assert energy(context)[0] == pytest.approx(atoms.get_potential_energy(), abs=1e-8)
    np.testing.assert_allclose(forces(context), atoms.get_forces(), atol=1e-8)


def test_energy_is_conserved_and_atoms_are_where_ase_sees_them(make_potential, atoms):
    force = make_force(
        make_potential(), atoms.get_chemical_symbols(), periodic=bool(atoms.pbc.all())
    )
    context = context_of(atoms, force)
    context.setVelocitiesToTemperature(300, 7)
    energies = []
    for _ in range(10):
        context.getIntegrator().step(20)
        energies.append(sum(energy(context)))
    assert np.ptp(energies) < 2e-3 * len(atoms)
    state = context.getState(positions=True)
    atoms.positions = 10 * np.asarray(
        state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
    )
    atoms.calc = EquipotCalculator(make_potential())
    assert energy(context)[0] == pytest.approx(atoms.get_potential_energy(), abs=1e-8)


def test_a_topology_says_elements_and_box(make_potential, make_crystal):
    atoms = make_crystal(cells=2)
    topology = app.Topology()
    residue = topology.addResidue("X", topology.addChain())
    for name in atoms.get_chemical_symbols():
        topology.addAtom(name, app.Element.getBySymbol(name), residue)
    assert not make_force(make_potential(), topology).usesPeriodicBoundaryConditions()
    topology.setPeriodicBoxVectors(0.1 * np.asarray(atoms.cell) * unit.nanometer)
    force = make_force(make_potential(), topology)
    assert force.usesPeriodicBoundaryConditions()
    atoms.calc = EquipotCalculator(make_potential())
    assert energy(context_of(atoms, force))[0] == pytest.approx(
        atoms.get_potential_energy(), abs=1e-8
    )
    topology.addAtom("M", None, residue)
    with pytest.raises(errors.ConfigError, match="an element for particle 8, received ''"):
        make_force(make_potential(), topology)
    assert list(make_force(make_potential(), topology, particles=range(8)).getParticles()) == list(
        range(8)
    )


def test_a_system_can_be_written_and_read(make_potential, make_crystal):
    atoms = make_crystal(cells=2)
    force = make_force(make_potential(), atoms.get_chemical_symbols(), periodic=True)
    again = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(force))
    expected = energy(context_of(atoms, force))[0]
    assert energy(context_of(atoms, again))[0] == pytest.approx(expected, abs=1e-9)


def test_what_the_potential_refuses_stops_openmm_with_its_sentence(make_potential, make_crystal):
    atoms = make_crystal(cells=2)
    context = context_of(atoms, make_force(make_potential(), atoms.get_chemical_symbols()))
    atoms.positions[1] = atoms.positions[0]
    context.setPositions(0.1 * atoms.positions)
    with pytest.raises(Exception, match="atoms 0 and 1 are 0 Å apart"):
        context.getIntegrator().step(1)


def test_an_element_that_the_potential_lacks_is_named(make_potential):
    with pytest.raises(errors.UnknownElementError, match="particle 1 is Xe, expected only"):
        make_force(make_potential(), ["H", "Xe"])


def test_some_particles_feel_each_other_alone(make_potential, make_crystal):
    atoms = make_crystal(cells=3, pbc=False)
    chosen = list(range(3, 11))
    force = make_force(make_potential(), atoms.get_chemical_symbols(), particles=chosen)
    context, part = context_of(atoms, force), atoms[chosen]
    part.calc = EquipotCalculator(make_potential())
    found = forces(context)
    assert energy(context)[0] == pytest.approx(part.get_potential_energy(), abs=1e-8)
    np.testing.assert_allclose(found[chosen], part.get_forces(), atol=1e-8)
    assert not np.delete(found, chosen, axis=0).any()
    for wrong in ([], [0, 0], [27]):
        with pytest.raises(errors.ConfigError, match="expected different particles below 27"):
            make_force(make_potential(), atoms.get_chemical_symbols(), particles=wrong)
