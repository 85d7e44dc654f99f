import ase
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from equipot.data import dataset
from equipot.data.config import DataConfig


def _atom(symbol, energy, **settings):
    atoms = ase.Atoms(symbol, **settings)
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.zeros((1, 3)))
    return atoms


@pytest.fixture
def read(write, labelled_water):
    """A function that reads frames after ten waters."""

    def read_frames(*frames):
        path = write("a.extxyz", [*labelled_water(10), *frames])
        return dataset.read_dataset(DataConfig(train=path, split="sequential"))

    return read_frames


def test_atoms_in_open_space_are_isolated_atoms_without_being_marked(read):
    made = read(_atom("H", -13.6), _atom("O", -432.0), _atom("H", -13.6))
    assert made.isolated_atoms == {1: -13.6, 8: -432.0}
    assert [len(part) for part in made.splits.values()] == [8, 1, 1]
    assert (
        "3 frames of one atom without periodicity are taken as isolated atoms, although not marked "
        "with config_type=IsolatedAtom, and do not train: H -13.6000 eV, O -432.0000 eV"
    ) in made.found


@pytest.mark.parametrize(
    "frames",
    [
        [_atom("He", -77.0)],  # an element that no other frame has
        [_atom("H", -13.6, cell=[9.0] * 3, pbc=True)],  # a crystal, perhaps
        [_atom("H", -13.6), _atom("H", -10.2)],  # one of them excited, perhaps
        [_atom("H", -13.0), _atom("H", -13.6, info={"config_type": "IsolatedAtom"})],
    ],
)
def test_other_frames_of_one_atom_stay_frames(read, frames):
    made = read(*frames)
    marked = sum("config_type" in frame.info for frame in frames)
    assert sum(map(len, made.splits.values())) == 10 + len(frames) - marked


@pytest.mark.parametrize(
    "spelling",
    ["IsolatedAtom", "isolated_atom", "Isolated Atom", "isolated-atom", "ISOLATED ATOMS"],
)
def test_isolated_atoms_may_be_marked_in_any_spelling(read, spelling):
    made = read(_atom("H", -13.6, cell=[9.0] * 3, pbc=True, info={"config_type": spelling}))
    assert made.isolated_atoms == {1: -13.6} and sum(map(len, made.splits.values())) == 10
