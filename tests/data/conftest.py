"""Small labelled structures that the tests of the data room share."""

import ase
import ase.build
import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Every test has a cache folder of its own."""
    monkeypatch.setenv("EQUIPOT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def make_water():
    """A function that makes a water molecule in a periodic box, another one for each seed."""

    def make(seed=0, **results):
        generator = np.random.default_rng(seed)
        atoms = ase.build.molecule("H2O", cell=[6.0, 7.0, 8.0], pbc=True)
        atoms.rattle(0.03, rng=generator)
        if results:
            atoms.calc = SinglePointCalculator(atoms, **results)
        return atoms

    return make


@pytest.fixture
def labelled_water(make_water):
    """A function that makes ``num`` waters with energies and forces in ASE's calculator."""

    def make(num, first_seed=0):
        frames = []
        for seed in range(first_seed, first_seed + num):
            forces = np.random.default_rng(1000 + seed).normal(size=(3, 3))
            frames.append(make_water(seed, energy=-10.0 - 0.01 * seed, forces=forces))
        return frames

    return make


@pytest.fixture
def write(tmp_path):
    """A function that writes frames to a file of the test and returns its path as a string."""

    def write_to(name, frames, **options):
        path = tmp_path / name
        ase.io.write(path, frames, **options)
        return str(path)

    return write_to
