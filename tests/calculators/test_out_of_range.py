import dataclasses
import pickle
import warnings

import ase.build
import ase.io
import numpy as np
import pytest

import equipot
from equipot import EquipotCalculator, errors
from equipot.calculators import dynamics, relaxation
from equipot.data.structure import Structure
from equipot.inference import out_of_range
from equipot.potential import artefact, evaluate


def _water(bond=0.97):
    """A molecule with one bond of this length in Å and one of 0.97."""
    atoms = ase.build.molecule("H2O")
    for hydrogen, length in ((1, bond), (2, 0.97)):
        atoms.set_distance(0, hydrogen, length, fix=0)
    return atoms


def _dimer(distance):
    """Two molecules, back to back, whose oxygen atoms are this far apart, in Å."""
    first, second = _water(), _water()
    second.positions[:, 2] *= -1
    second.positions[:, 2] += first.positions[0, 2] + distance - second.positions[0, 2]
    return first + second


def _warned(calculator, atoms):
    """What the calculator warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", equipot.OutOfRangeWarning)
        calculator.get_property("energy", atoms)
    return [str(w.message) for w in caught if w.category is equipot.OutOfRangeWarning]


def test_a_molecule_of_water_is_within_the_range(watched):
    calculator = EquipotCalculator(watched, strict=True)
    assert _warned(calculator, _water()) == [] and calculator.outside == ()


def test_a_stretched_bond_and_two_oxygen_atoms_too_close_are_named_once(watched):
    calculator = EquipotCalculator(watched)
    (stretched,) = _warned(calculator, _water(1.3))
    assert stretched.startswith("outside of what the potential was trained on")
    assert "atom 1 (H) has its nearest atom at 1.300 Å; every H of training has one" in stretched
    assert "at most 1.130 Å" in stretched
    (close,) = _warned(calculator, _dimer(1.5))
    assert "atom 0 (O) and atom 3 (O) are 1.500 Å apart" in close
    assert "the shortest O-O distance in training is 2.350 Å" in close
    assert _warned(calculator, _water(1.31)) == [] and len(calculator.outside) == 1
    assert _warned(calculator, _dimer(1.4)) == [] and len(calculator.outside) >= 1
    assert _warned(calculator, _dimer(2.9)) == [] and calculator.outside == ()


def test_a_warning_that_is_an_error_leaves_no_results(watched):
    calculator = EquipotCalculator(watched)
    with pytest.raises(equipot.OutOfRangeWarning):
        calculator.get_property("energy", _water(1.3))
    assert calculator.results == {}


def test_current_distances_count_between_two_searches_for_neighbors(watched):
    calculator = EquipotCalculator(watched, skin=2.0)
    atoms = _water()
    assert _warned(calculator, atoms) == []
    atoms.set_distance(0, 1, 1.3, fix=0)
    assert len(_warned(calculator, atoms)) == 1
    assert calculator.n_neighbor_searches == 1


def test_a_pair_across_a_border_of_the_cell_is_found(watched):
    atoms = _water()
    atoms.cell, atoms.pbc = [2.0, 12.0, 12.0], True
    (said,) = _warned(EquipotCalculator(watched), atoms)
    assert "atom 0 (O) and atom 0 (O) are 2.000 Å apart" in said


@pytest.mark.parametrize("is_periodic", [False, True])
def test_a_graph_tells_the_same_as_a_search(watched, is_periodic):
    for atoms in (_water(), _water(1.3), _dimer(1.5), ase.Atoms("OH", [[0, 0, 0], [0, 0, 9.9]])):
        if is_periodic:
            atoms.set_cell([11.0, 11.0, 11.0])
            atoms.pbc, atoms.positions[:] = True, atoms.positions + 10.9
        given = atoms.numbers, atoms.positions, np.array(atoms.cell), atoms.pbc
        own = Structure(
            **dict(zip(("atomic_numbers", "positions", "cell", "pbc"), given, strict=True))
        )
        (graph,) = evaluate.graphs_of(watched.spec, [own])
        found = out_of_range.find_in_graph(watched.distance_range, atoms.numbers, graph)
        expected = out_of_range.find_anew(watched.distance_range, *given, watched.spec.cutoff)
        assert [str(one) for one in found] == [str(one) for one in expected]


def test_a_strict_calculator_refuses(watched):
    calculator = EquipotCalculator(watched, strict=True)
    calculator.calculate(_water())
    with pytest.raises(errors.OutOfRangeError, match=r"atom 1 \(H\) has its nearest .*1\.300 Å"):
        calculator.get_property("energy", _water(1.3))
    assert calculator.results == {} and len(calculator.outside) == 1
    with pytest.raises(errors.OutOfRangeError, match=r"are 1\.500 Å apart"):
        pickle.loads(pickle.dumps(calculator)).calculate(_dimer(1.5))


def test_a_potential_that_states_no_distances_is_not_watched(make_potential):
    assert _warned(EquipotCalculator(make_potential("float32")), _water(1.3)) == []
    with pytest.raises(errors.ConfigError, match="strict: expected a potential that states"):
        EquipotCalculator(make_potential("float32"), strict=True)


def test_an_element_that_the_last_training_lacked_is_named(watched):
    span = dataclasses.replace(watched.distance_range, longest={8: 1.4}, shortest={(8, 8): 1.1})
    potential = dataclasses.replace(watched, distance_range=span)
    (said,) = _warned(EquipotCalculator(potential), _water())
    assert "atom 1 is H; training had no H" in said
    with pytest.raises(errors.OutOfRangeError, match="training had no H"):
        EquipotCalculator(potential, strict=True).calculate(_water())


def test_a_file_keeps_the_distances(watched, make_potential, tmp_path):
    path = artefact.save(tmp_path / "water.equipot", watched)
    assert artefact.read(path).potential.distance_range == watched.distance_range
    plain = artefact.save(tmp_path / "plain.equipot", make_potential("float32"))
    assert artefact.read(plain).potential.distance_range is None


def test_distances_of_elements_that_the_potential_lacks_are_refused(watched, tmp_path):
    span = dataclasses.replace(watched.distance_range, longest={1: 1.1, 8: 1.1, 79: 2.8})
    path = artefact.save(
        tmp_path / "gold.equipot", dataclasses.replace(watched, distance_range=span)
    )
    with pytest.raises(errors.ArtefactError, match=r"expected elements among \[1, 8\]"):
        artefact.read(path)


def _pulled(watched, step):
    """A molecule with a strict calculator, and what pulls a bond apart after a step."""
    atoms = _water()
    atoms.calc = EquipotCalculator(watched, strict=True)

    def pull(now):
        if now == step:
            atoms.set_distance(0, 1, 2.0, fix=0)

    return atoms, pull


def test_strict_dynamics_name_the_step_and_keep_what_was_written(watched, tmp_path):
    atoms, pull = _pulled(watched, 3)
    frames = tmp_path / "md.traj"
    config = dynamics.DynamicsConfig(
        ensemble="nve",
        temperature=1.0,
        num_steps=9,
        log_every=100,
        trajectory=str(frames),
        trajectory_every=1,
    )
    with pytest.raises(errors.OutOfRangeError, match=r"^step 4: .*atom 1 \(H\)"):
        dynamics.run_dynamics(atoms, config, progress=False, observe=pull)
    assert len(ase.io.read(frames, ":")) == 4


def test_strict_relaxation_names_the_step(watched):
    atoms, pull = _pulled(watched, 2)
    config = relaxation.RelaxationConfig(fmax=1e-6, max_steps=9)
    with pytest.raises(errors.OutOfRangeError, match=r"^step 2: .*atom 1 \(H\)"):
        relaxation.relax(atoms, config, observe=pull)
    with pytest.raises(errors.OutOfRangeError, match=r"^step 0: "):
        relaxation.relax(atoms, config)
