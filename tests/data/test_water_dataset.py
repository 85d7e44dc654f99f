"""The shipped dataset is what its README says: checksums, counts, splits, units, labels."""

import hashlib
import io
import lzma
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms

DATASET = Path(__file__).resolve().parents[2] / "data" / "water"
SPLITS = ("train", "valid", "test")
AT_LEAST = {"train": 400, "valid": 50, "test": 100}


def read(path: Path) -> list[Atoms]:
    text = lzma.open(path, "rt").read()  # in memory: ASE seeks, which starts decompressing anew
    return ase.io.read(io.StringIO(text), ":", format="extxyz")


@pytest.fixture(scope="module")
def frames() -> dict[str, list[Atoms]]:
    return {split: read(DATASET / f"{split}.extxyz.xz") for split in SPLITS}


@pytest.fixture(scope="module")
def boxes(frames: dict[str, list[Atoms]]) -> dict[str, list[Atoms]]:
    return {
        split: [atoms for atoms in chosen if "config_type" not in atoms.info]
        for split, chosen in frames.items()
    }


def distances_in_molecules(atoms: Atoms) -> np.ndarray:
    molecules = atoms.positions.reshape(-1, 3, 3)
    return np.linalg.norm(molecules[:, 1:] - molecules[:, :1], axis=-1)


def test_files_have_the_published_checksums() -> None:
    lines = (DATASET / "SHA256SUMS").read_text().splitlines()
    sums = dict(reversed(line.split()) for line in lines)
    assert set(sums) == {path.name for path in DATASET.glob("*.xz")}
    for name, expected in sums.items():
        assert hashlib.sha256((DATASET / name).read_bytes()).hexdigest() == expected, name


def test_files_are_at_most_five_megabytes() -> None:
    assert sum(path.stat().st_size for path in DATASET.iterdir()) <= 5_000_000


@pytest.mark.parametrize("split", SPLITS)
def test_split_has_enough_frames(boxes: dict[str, list[Atoms]], split: str) -> None:
    assert len(boxes[split]) >= AT_LEAST[split]


def test_splits_share_no_trajectory(boxes: dict[str, list[Atoms]]) -> None:
    names = [{atoms.info["trajectory"] for atoms in boxes[split]} for split in SPLITS]
    assert len(set.union(*names)) == sum(len(chosen) for chosen in names)


def test_no_frame_occurs_twice(boxes: dict[str, list[Atoms]]) -> None:
    prints = [atoms.positions.tobytes() for split in SPLITS for atoms in boxes[split]]
    assert len(set(prints)) == len(prints)


@pytest.mark.parametrize("split", SPLITS)
def test_every_temperature_and_density_is_there(boxes: dict[str, list[Atoms]], split: str) -> None:
    temperatures = {atoms.info["temperature"] for atoms in boxes[split]}
    assert temperatures == {250, 300, 350, 400, 500, 600}
    assert {atoms.info["density"] for atoms in boxes[split]} == {0.9, 0.95, 1.0, 1.05, 1.1}


@pytest.mark.parametrize("split", SPLITS)
def test_boxes_are_whole_molecules_of_water(boxes: dict[str, list[Atoms]], split: str) -> None:
    for atoms in boxes[split]:
        assert atoms.get_chemical_formula() == "H64O32"
        assert atoms.pbc.all()
        assert 0.8 < distances_in_molecules(atoms).min()
        assert distances_in_molecules(atoms).max() < 1.5


@pytest.mark.parametrize("split", SPLITS)
def test_density_is_that_of_the_cell(boxes: dict[str, list[Atoms]], split: str) -> None:
    for atoms in boxes[split]:
        grams = atoms.get_masses().sum() / 6.02214076e23
        density = grams / (atoms.get_volume() * 1e-24)
        assert density == pytest.approx(atoms.info["density"], rel=2e-3)


@pytest.mark.parametrize("split", SPLITS)
def test_labels_are_complete_and_balanced(boxes: dict[str, list[Atoms]], split: str) -> None:
    for atoms in boxes[split]:
        forces, stress = atoms.get_forces(), atoms.get_stress(voigt=False)
        assert np.isfinite(atoms.get_potential_energy())
        assert np.abs(forces.sum(axis=0)).max() < 1e-4
        assert np.abs(stress).max() < 0.1
        np.testing.assert_array_equal(stress, stress.T)


def test_energies_bind_the_molecules(frames: dict[str, list[Atoms]]) -> None:
    isolated = [atoms for atoms in frames["train"] if "config_type" in atoms.info]
    energies = {atoms.symbols[0]: atoms.get_potential_energy() for atoms in isolated}
    assert {atoms.symbols[0]: atoms.info["multiplicity"] for atoms in isolated} == {"H": 2, "O": 3}
    for atoms in frames["test"]:
        free = sum(energies[symbol] for symbol in atoms.symbols)
        assert -18.0 < (atoms.get_potential_energy() - free) / 32 < -16.0  # GFN1 overbinds


def test_stretched_bonds_reach_far_and_weigh_little() -> None:
    stretched = read(DATASET / "stretched.extxyz.xz")
    assert len(stretched) == 94
    marks = {(atoms.info["temperature"], atoms.info["weight"]) for atoms in stretched}
    assert marks == {("stretched", 0.25)}
    sizes, lengths = [], []
    for atoms in stretched:
        assert atoms.info["made_of"].startswith("train.extxyz.xz, frame")
        assert not atoms.pbc.any() and len(atoms) % 3 == 0
        bond, stated = atoms.info["stretched"].split()
        ends = [int(end.strip("OH")) for end in bond.split("-")]
        assert atoms.get_distance(*ends) == pytest.approx(float(stated), abs=0.0051)
        assert np.abs(atoms.get_forces().sum(axis=0)).max() < 1e-4
        sizes.append(len(atoms) // 3)
        lengths.append(float(stated))
    assert set(sizes) == {1, 2, 3, 4, 5}
    assert min(np.histogram(lengths, [0.8, 1.2, 1.6, 2.0, 2.5])[0]) >= 10


def test_the_stretched_molecule_costs_what_it_does_elsewhere() -> None:
    """The energy of single molecules rises with the bond, as that of `clusters.extxyz` does."""
    molecules = [atoms for atoms in read(DATASET / "stretched.extxyz.xz") if len(atoms) == 3]
    own = sorted((distances_in_molecules(a).max(), a.get_potential_energy()) for a in molecules)
    curve = [
        (distances_in_molecules(atoms).max(), atoms.get_potential_energy())
        for atoms in ase.io.read(DATASET / "clusters.extxyz", ":")
        if atoms.info["kind"] == "stretched"
    ]
    lengths, energies = np.array(sorted(curve)).T
    for length, energy in own:
        if length > 1.2:
            assert energy == pytest.approx(np.interp(length, lengths, energies), abs=0.6)
