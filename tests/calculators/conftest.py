import dataclasses

import numpy as np
import pytest
from ase import Atoms

from equipot.data import distance_range
from equipot.potential import artefact


@pytest.fixture(scope="session")
def make_crystal():
    """A function that makes a disturbed periodic box of hydrogen and oxygen, 1.9 Å apart."""

    def make(cells=3, seed=0, disturbance=0.1, pbc=True):
        rng = np.random.default_rng(seed)
        grid = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), -1).reshape(-1, 3)
        positions = 1.9 * grid + disturbance * rng.uniform(-1, 1, grid.shape)
        cell = 1.9 * cells * (np.eye(3) + np.array([[0, 0, 0], [0.1, 0, 0], [0, -0.05, 0]]))
        numbers = np.where(grid.sum(axis=1) % 2, 8, 1)
        return Atoms(numbers, positions=positions, cell=cell, pbc=pbc)

    return make


@pytest.fixture(scope="session")
def saved(make_potential, tmp_path_factory):
    """A float32 potential on disk."""
    return artefact.save(tmp_path_factory.mktemp("saved") / "oh.equipot", make_potential("float32"))


@pytest.fixture(scope="session")
def watched(make_potential):
    """A float32 potential that states what distances of water it was trained on."""
    span = distance_range.DistanceRange(
        radius=3.5,
        shortest={(1, 1): 1.25, (1, 8): 0.85, (8, 8): 2.35},
        longest={1: 1.13, 8: 1.1},
        isolated={},
    )
    return dataclasses.replace(make_potential("float32"), distance_range=span)
