"""The shipped clusters are what their README says: checksums, counts, splits, dipoles, charges."""

import hashlib
import io
import lzma
from pathlib import Path

import ase.io
import numpy as np
import pytest

DATASET = Path(__file__).resolve().parents[2] / "data" / "water_clusters"
COUNTS = {"train": 804, "valid": 132, "test": 264}


@pytest.fixture(scope="module")
def clusters():
    found = {}
    for split in COUNTS:
        text = lzma.open(DATASET / f"{split}.extxyz.xz", "rt").read()
        frames = ase.io.read(io.StringIO(text), ":", format="extxyz")
        found[split] = [atoms for atoms in frames if "config_type" not in atoms.info]
    return found


def test_files_have_the_published_checksums():
    lines = (DATASET / "SHA256SUMS").read_text().splitlines()
    sums = dict(reversed(line.split()) for line in lines)
    assert set(sums) == {path.name for path in DATASET.glob("*.xz")}
    for name, expected in sums.items():
        assert hashlib.sha256((DATASET / name).read_bytes()).hexdigest() == expected, name
    assert sum(path.stat().st_size for path in DATASET.iterdir()) <= 1_000_000


def test_splits_have_their_counts_and_share_no_trajectory(clusters):
    assert {split: len(found) for split, found in clusters.items()} == COUNTS
    names = [{atoms.info["trajectory"] for atoms in found} for found in clusters.values()]
    assert len(set.union(*names)) == sum(len(found) for found in names)
    for found in clusters.values():
        assert {atoms.info["molecules"] for atoms in found} == set(range(1, 7))
        assert {atoms.info["temperature"] for atoms in found} == {200, 300, 400, 500}


def test_clusters_are_neutral_water(clusters):
    for atoms in (atoms for found in clusters.values() for atoms in found):
        molecules = atoms.positions.reshape(-1, 3, 3)
        bonds = np.linalg.norm(molecules[:, 1:] - molecules[:, :1], axis=-1)
        assert np.all(atoms.numbers.reshape(-1, 3) == [8, 1, 1]) and bonds.max() < 1.2
        assert abs(atoms.get_charges().sum()) < 5e-5
        assert np.abs(atoms.get_forces().sum(axis=0)).max() < 1e-3


def test_charges_alone_make_the_larger_part_of_dipoles_and_not_all(clusters):
    whole = np.array([atoms.get_dipole_moment() for atoms in clusters["test"]])
    charges = np.array([atoms.get_charges() @ atoms.positions for atoms in clusters["test"]])
    share = np.sum(whole * charges) / np.sum(whole**2)
    assert 0.6 < share < 0.75
