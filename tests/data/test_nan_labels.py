"""Labels that hold NaN."""

import dataclasses

import numpy as np
import pytest

from equipot import errors
from equipot.data import config, dataset, readers
from equipot.store import writing


@pytest.fixture
def damaged(write, labelled_water):
    """Frames with all labels, with a NaN in the forces, with energy NaN, with a NaN dipole."""
    frames = labelled_water(4)
    for number, atoms in enumerate(frames):
        atoms.info["dipole"] = np.array([1.0, 2.0, np.nan if number == 3 else 3.0])
    frames[1].calc.results["forces"][2, 1] = np.nan
    frames[2].calc.results["energy"] = np.nan
    return write("damaged.extxyz", frames)


DIPOLE = {"dipole": {"per": "structure", "irreps": "1o"}}


def settings(path, **changes):
    from equipot.config import from_mapping

    return from_mapping(config.DataConfig, {"train": path, "quantities": DIPOLE, **changes})


def test_a_label_with_nan_is_absent_where_that_is_asked_for(damaged):
    content = readers.read_file(damaged, settings(damaged, nan_labels="absent"))
    items = content.structures
    assert [s.energy_weight for s in items] == [1.0, 1.0, 0.0, 1.0]
    assert [s.forces_weight for s in items] == [1.0, 0.0, 1.0, 1.0]
    assert [s.label("dipole") is not None for s in items] == [True, True, True, False]
    assert not items[1].forces.any() and items[2].energy == 0.0
    assert any("'forces' holds NaN in 1 of 4 frames" in line for line in content.found)


def test_a_named_key_that_holds_nothing_but_nan_in_one_file_is_absent_there(
    write, labelled_water, tmp_path
):
    """In one of two files, and in a store."""
    molecules, crystals = labelled_water(2), labelled_water(2)
    for frames, value in ((molecules, np.nan), (crystals, 0.1)):
        for atoms in frames:
            atoms.set_cell(9.0 * np.eye(3))
            atoms.pbc = True
            atoms.info["REF_stress"] = np.full(6, value)
            atoms.calc.results.pop("stress", None)
    paths = [write("molecules.extxyz", molecules), write("crystals.extxyz", crystals)]
    own = settings(paths[0], nan_labels="absent", stress_key="REF_stress", quantities={})
    first, second = (readers.read_file(path, own).structures for path in paths)
    assert [s.stress_weight for s in (*first, *second)] == [0.0, 0.0, 1.0, 1.0]
    made = writing.write(dataclasses.replace(own, train=tuple(paths)), tmp_path / "both.store")
    assert len(made) == 4


def test_without_being_asked_it_is_refused(damaged):
    with pytest.raises(errors.DataError, match=r"damaged.extxyz, frame 1 .*NaN or infinity; mend"):
        readers.read_file(damaged, settings(damaged))


def test_infinity_and_nan_in_positions_stay_refused(write, labelled_water):
    frames = labelled_water(2)
    frames[1].calc.results["forces"][0, 0] = np.inf
    path = write("infinite.extxyz", frames)
    own = config.DataConfig(train=path, nan_labels="absent")
    with pytest.raises(errors.DataError, match="frame 1"):
        readers.read_file(path, own)
    frames[1].calc.results["forces"][0, 0] = 0.0
    frames[1].positions[0, 0] = np.nan
    path = write("nowhere.extxyz", frames)
    with pytest.raises(errors.DataError, match="frame 1"):
        readers.read_file(path, own)


def test_energies_of_isolated_atoms_are_no_exception(write, labelled_water):
    frames = labelled_water(6)
    frames[0] = frames[0][:1]
    frames[0].info |= {"config_type": "IsolatedAtom", "energy": np.nan}
    own = config.DataConfig(train=write("lone.extxyz", frames), nan_labels="absent")
    with pytest.raises(errors.DataError, match="an isolated atom needs an energy; it has none"):
        dataset.read_dataset(own)
