"""The public datasets that are too large to ship: read as the configuration of a user would."""

import time

import numpy as np
import pytest

from equipot import errors, units
from equipot.data import audit, dataset, readers
from equipot.data.config import DataConfig


def _audited(config, **terms):
    made = dataset.read_dataset(config)
    return made, audit.audit(made, {"energy": 1.0, "forces": 1.0} | terms)


def test_water_revpbe_is_read_from_xz_within_seconds(reference_data):
    path = str(reference_data / "water_revpbe0d3" / "water_342.extxyz.xz")
    start = time.process_time()
    items = readers.read_structures(path, DataConfig(train=path, group_key="split_hint"))
    assert time.process_time() - start < 10.0
    assert len(items) == 342 and {len(s.positions) for s in items} == {192}
    assert items[0].energy == -30020.75398089534
    assert {s.group for s in items} == {"mattertune_train30", "mattertune_val100", "au200", "other"}


def test_water_revpbe_in_bohr_and_hartree_is_noticed(reference_data, tmp_path):
    source = reference_data / "water_revpbe0d3" / "water_342.extxyz.xz"
    lines = []
    for item in readers.read_structures(source)[:40]:
        cell = " ".join(str(x) for x in (item.cell / units.BOHR).ravel())
        lines += [
            str(len(item.positions)),
            f'Lattice="{cell}" Properties=species:S:1:pos:R:3:force:R:3 '
            f'TotEnergy={item.energy / units.HARTREE} pbc="T T T"',
        ]
        symbols = np.where(item.atomic_numbers == 8, "O", "H")
        rows = np.hstack(
            [item.positions / units.BOHR, item.forces * units.BOHR / units.HARTREE]
        ).tolist()
        lines += [f"{s} {' '.join(map(str, row))}" for s, row in zip(symbols, rows, strict=True)]
    path = tmp_path / "original.xyz"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(errors.DataError, match="positions look like Bohr"):
        _audited(DataConfig(train=str(path)))
    config = DataConfig(train=str(path), length_unit="Bohr", energy_unit="Hartree")
    back, original = readers.read_structures(path, config), readers.read_structures(source)
    np.testing.assert_allclose(back[7].positions, original[7].positions, atol=1e-7)
    np.testing.assert_allclose(back[7].forces, original[7].forces, atol=1e-7)
    assert back[7].energy == pytest.approx(original[7].energy, abs=1e-6)


@pytest.mark.parametrize(("name", "rms"), [("ethanol", 1.198), ("aspirin", 1.259)])
def test_rmd17_follows_the_convention_of_the_published_tables(reference_data, name, rms):
    folder = reference_data / "rmd17"
    config = DataConfig(
        train=str(folder / f"rmd17_{name}_train_01.npz"),
        test=str(folder / f"rmd17_{name}_test_01.npz"),
        num_train=950,
        num_valid=50,
        split="sequential",
        energy_unit="kcal/mol",
    )
    made, report = _audited(config)
    assert [len(part) for part in made.splits.values()] == [950, 50, 1000]
    assert made.valid[0].source == f"rmd17_{name}_train_01.npz, frame 950"
    assert report.forces_rms == pytest.approx(rms, abs=5e-4)
    stored = np.load(folder / f"rmd17_{name}_train_01.npz")
    kcal = 0.0433641042415
    np.testing.assert_allclose(made.train[5].forces, stored["forces"][5] * kcal, rtol=1e-8)
    assert made.train[5].energy == pytest.approx(stored["energies"][5] * kcal, rel=1e-9)


def test_rmd17_without_a_unit_asks_for_it(reference_data):
    path = str(reference_data / "rmd17" / "rmd17_ethanol_train_01.npz")
    with pytest.raises(errors.DataError, match="revised MD17 is in kcal/mol"):
        dataset.read_dataset(DataConfig(train=path))


def test_silicon_has_stresses(reference_data):
    path = str(reference_data / "si_nequip" / "sitraj.xyz")
    made, report = _audited(DataConfig(train=path), stress=1.0)
    assert [len(part) for part in made.splits.values()] == [88, 11, 11]
    assert all(s.stress_weight == 1.0 for s in made.train)
    first = readers.read_structures(path)[0]
    np.testing.assert_allclose(first.stress, np.eye(3) * -0.0004994777426685017, atol=1e-15)
    assert 2.0 < report.shortest["Si-Si"] < 2.4


@pytest.mark.wide
def test_a_sample_of_85_elements_keeps_them_all_in_training(reference_data):
    path = str(reference_data / "mptrj_sample" / "mptrj-random-1k.xyz.xz")
    made, report = _audited(DataConfig(train=path), stress=1.0)
    assert {int(z) for s in made.train for z in s.atomic_numbers} == set(made.elements)
    assert len(made.elements) == report.composition_rank == 85
    assert {len(made.valid), len(made.test)} == {100}


def test_deepmd_water_is_read_from_its_folders(reference_data):
    folder = reference_data / "deepmd_water"
    config = DataConfig(
        train=tuple(str(folder / f"data_{i}") for i in range(3)),
        valid=str(folder / "data_3"),
        test_fraction=0.0,
    )
    made, report = _audited(config)
    assert [len(part) for part in made.splits.values()] == [320, 80, 0]
    assert report.forces_rms == pytest.approx(0.8133, abs=1e-4)
    stored = np.load(folder / "data_1" / "set.001" / "energy.npy")
    assert made.train[160].energy == float(stored[0])
    assert made.train[160].source == "data_1, data_1/set.001, frame 0"
    assert len(readers.read_structures(folder)) == 400
