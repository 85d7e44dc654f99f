"""Which frame of a file a command starts from."""

import argparse

import ase.build
import ase.db
import ase.io
import numpy as np
import pytest

from equipot import errors
from equipot.cli import structures


@pytest.fixture
def two_temperatures(tmp_path):
    path = tmp_path / "start.extxyz"
    for temperature, speed in ((250, 0.1), (300.0, 0.2)):
        atoms = ase.build.bulk("Cu", cubic=True)
        atoms.set_velocities(np.full((4, 3), speed))
        atoms.info["temperature"] = temperature
        ase.io.write(path, atoms, append=True)
    return path


def read(path, which):
    return structures.read_start(argparse.Namespace(structure=str(path), frame=which))


@pytest.mark.parametrize("which", ["temperature=300", "-1", "1"])
def test_the_chosen_frame_keeps_its_velocities(two_temperatures, which):
    found = read(two_temperatures, which)
    np.testing.assert_allclose(found.get_velocities(), 0.2, rtol=1e-6)
    assert not found.info


def test_a_mark_in_a_database_of_ase_is_found(tmp_path):
    with ase.db.connect(tmp_path / "some.db") as rows:
        for temperature in (250, 300):
            atoms = ase.build.bulk("Cu", cubic=True)
            atoms.positions[0, 0] = temperature / 1000
            rows.write(atoms, temperature=temperature)
    found = read(tmp_path / "some.db", "temperature=300")
    assert found.positions[0, 0] == pytest.approx(0.3)


def test_a_mark_that_no_frame_has_is_answered_with_those_there_are(two_temperatures):
    with pytest.raises(errors.DataError, match=r"no frame has temperature=350.*250, 300"):
        read(two_temperatures, "temperature=350")
