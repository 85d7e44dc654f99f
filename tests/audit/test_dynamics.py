"""Constant energy and random starts: a right potential passes, holes and wrong forces do not."""

import dataclasses
import functools

import numpy as np
import pytest

from equipot.audit import conservation, fragments, samples, starts
from equipot.data.structure import Structure
from tests.audit import subjects
from tests.audit.subjects import SPECIES_TABLE


@functools.cache
def chosen():
    return samples.choose([subjects.crystal_frame(cells=3)], SPECIES_TABLE, 3.0, subjects.SPAN)


def conserved(audited):
    small = samples.choose([subjects.crystal_frame()], SPECIES_TABLE, 3.0, subjects.SPAN)
    found = conservation.check(audited, small, temperature=300.0, quick=True)
    return {own.name: own for own in found}


@pytest.mark.slow
def test_energy_of_a_smooth_potential_fluctuates_with_the_square_of_the_time_step():
    lines = conserved(subjects.right())
    assert lines["NVE: fluctuations"].passed
    assert lines["NVE: fluctuations"].value < 0.3


@pytest.mark.slow
def test_forces_of_no_energy_are_found():
    def change(prediction):  # forces that turn around
        forces = prediction.forces
        return prediction.replace(forces=forces + 0.01 * forces[:, np.array([1, 2, 0])])

    wrong = subjects.audited(subjects.with_prediction(subjects.morse(), change))
    assert not conserved(wrong)["NVE: fluctuations"].passed


def hot(audited, data):
    [line] = starts.check(audited, data, temperature=450.0, quick=True, seconds=3.0)
    return line


@pytest.mark.wide
def test_random_starts_of_a_right_potential_stay_out_of_holes():
    line = hot(subjects.right(), chosen())
    assert line.passed
    assert "24 atoms at random" in line.sentence


@pytest.mark.slow
def test_random_starts_fall_into_a_hole():
    line = hot(subjects.with_a_hole(), chosen())
    assert not line.passed
    assert line.value > 0


def test_atoms_at_random_are_not_judged_where_they_may_form_bonds_that_training_lacked():
    span = dataclasses.replace(subjects.SPAN, shortest={**subjects.SPAN.shortest, (8, 8): 2.4})
    audited = dataclasses.replace(subjects.right(), distance_range=span)
    assert starts._never_bonded(audited) == "O–O"
    assert starts._never_bonded(dataclasses.replace(audited, distance_range=None)) == ""


def test_where_distances_are_not_stated_no_real_bond_is_a_hole():
    unknown = dataclasses.replace(subjects.right(), distance_range=None)
    bonds = {(23, 23): 1.77, (24, 24): 1.68, (42, 42): 1.94, (7, 7): 1.10}
    for (first, second), length in bonds.items():
        pair = Structure(
            positions=np.array([[0.0, 0.0, 0.0], [length, 0.0, 0.0]]),
            atomic_numbers=np.array([first, second]),
            cell=np.zeros((3, 3)),
            pbc=np.zeros(3, bool),
        )
        assert starts.nearest(unknown, pair)[0] > starts.SHARE
        nearer = dataclasses.replace(pair, positions=0.6 * pair.positions)
        assert starts.nearest(unknown, nearer)[0] < starts.SHARE


def water(count=4):
    one = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
    grid = 3.1 * np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    return Structure(
        positions=(grid[:count, None] + one[None]).reshape(-1, 3),
        atomic_numbers=np.tile([8, 1, 1], count),
        cell=6.2 * np.eye(3),
        pbc=np.ones(3, bool),
    )


def test_molecules_are_found_whole_across_the_border_of_the_cell():
    parts = fragments.molecules(water())
    assert [own.atomic_numbers.tolist() for own in parts] == [[8, 1, 1]] * 4
    for own in parts:
        assert np.linalg.norm(own.positions[1] - own.positions[0]) == pytest.approx(0.96)


def test_random_molecules_keep_their_shape_and_their_distance():
    parts = fragments.molecules(water())
    box = fragments.random_box(np.random.default_rng(0), parts, 6.2**3, None, 0.8)
    for i in range(4):
        own = box.positions[3 * i : 3 * i + 3]
        assert np.linalg.norm(own[1] - own[0]) == pytest.approx(0.96)
    oxygen = box.positions[::3]
    vectors = oxygen[:, None] - oxygen[None]
    lengths = np.linalg.norm(vectors - 6.2 * np.round(vectors / 6.2), axis=-1)
    assert lengths[~np.eye(4, dtype=bool)].min() > 0.8 * 0.9 * 1.32


def test_a_molecule_longer_than_its_share_of_the_volume_does_not_meet_its_images():
    rod = fragments.Molecule(
        positions=1.2 * np.arange(-5, 6)[:, None] * [1.0, 0.0, 0.0],
        atomic_numbers=np.full(11, 6),
    )
    for seed in range(5):
        box = fragments.random_box(np.random.default_rng(seed), [rod], 5.0**3, None, 0.8)
        shifts = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), -1).reshape(-1, 3) @ box.cell
        images = box.positions[:, None, None] - box.positions[None, :, None] - shifts
        lengths = np.linalg.norm(images[:, :, np.any(shifts != 0, axis=1)], axis=-1)
        assert lengths.min() >= 0.8 * 0.9 * 2 * 0.76


def test_dynamics_need_several_atoms():
    one = Structure(positions=np.zeros((1, 3)), atomic_numbers=np.array([6]))
    large = subjects.crystal_frame(cells=5)
    assert len(large.positions) > samples.LARGEST
    assert len(samples.box_of([one, large]).positions) == len(large.positions)


def test_an_evaluator_takes_frames_of_a_named_level():
    frame = dataclasses.replace(subjects.crystal_frame(), head="pbe")
    [named], [plain] = (subjects.right().exact([own]) for own in (frame, samples.bare(frame)))
    assert named.energy == plain.energy


def test_a_network_has_no_molecules_however_small_its_cell():
    assert fragments.molecules(subjects.crystal_frame(cells=4)) == []
    assert fragments.molecules(subjects.crystal_frame(cells=3)) == []


def test_atoms_at_random_keep_their_distance():
    numbers = np.array([6] * 10 + [8] * 10)
    box = samples.dense_box(np.random.default_rng(0), numbers, subjects.SPAN, 8.0 * 20)
    vectors = box.positions[:, None] - box.positions[None]
    edge = box.cell[0, 0]
    lengths = np.linalg.norm(vectors - edge * np.round(vectors / edge), axis=-1)
    assert lengths[~np.eye(20, dtype=bool)].min() >= 0.8 * 1.2


def test_a_frame_that_is_nearer_than_training_is_taken_as_it_is():
    """It ends, and another line says what is outside of training."""
    near = Structure(
        positions=np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0]]), atomic_numbers=np.array([6, 8])
    )
    found = starts._shaken(np.random.default_rng(0), near, subjects.audited(subjects.morse()))
    np.testing.assert_array_equal(found.positions, near.positions)
