import dataclasses
import pathlib

import ase
import ase.build
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from equipot import errors, units
from equipot.data import audit, dataset
from equipot.data.config import DataConfig

ENERGY_AND_FORCES = {"energy": 1.0, "forces": 1.0, "stress": 0.0}


@pytest.fixture
def read(write):
    """A function that writes frames and reads them as a dataset."""

    def read_frames(frames, **settings):
        return dataset.read_dataset(DataConfig(train=write("a.traj", frames), **settings))

    return read_frames


def test_the_audit_says_what_a_dataset_holds(read, labelled_water):
    frames = labelled_water(20)
    frames[0].calc.results["stress"] = np.zeros(6)
    made = read(frames, split="sequential")
    report = audit.audit(made, ENERGY_AND_FORCES)
    rms = np.sqrt(np.mean([s.forces**2 for s in made.train]))
    assert report.forces_rms == pytest.approx(rms)
    text = str(report)
    assert "train: 16 frames, 48 atoms (3 each); 16 energies, 16 forces, 1 stresses;" in text
    assert f"force RMS {rms:.4g} eV/Å" in text
    assert "valid: 2 frames" in text and "test: 2 frames" in text
    assert "elements (2): H O" in text
    assert "composition matrix: rank 1 of 2 elements; a least-squares fit of reference" in text
    assert "duplicates: none across splits, 0 within the training split" in text
    assert "a.traj: 20 frames; energy from 'energy' (20)" in text
    assert made.fingerprint[:16] in text
    shortest = min(f.get_distance(0, i) for f in frames for i in (1, 2))
    assert report.shortest["H-O"] == pytest.approx(shortest)
    assert f"H-O {shortest:.2f}" in text


def test_two_compositions_have_rank_two(read, labelled_water):
    frames = labelled_water(10)
    hydrogen = ase.build.molecule("H2")
    hydrogen.calc = SinglePointCalculator(hydrogen, energy=-30.0, forces=np.zeros((2, 3)))
    report = audit.audit(read([hydrogen, *frames], split="sequential"), ENERGY_AND_FORCES)
    assert report.composition_rank == 2
    assert "composition matrix: rank 2 of 2 elements" in report.lines


def without(write, labelled_water, split, label):
    """Files of which one split lacks a label, as a dataset."""
    files = {"train": labelled_water(4), "valid": labelled_water(2, 10)}
    for name, frames in files.items():
        for atoms in frames:
            atoms.calc.results["stress"] = np.zeros(6)
            if name == split:
                del atoms.calc.results[label]
    paths = {name: write(f"{name}.extxyz", frames) for name, frames in files.items()}
    return dataset.read_dataset(DataConfig(**paths, test_fraction=0.0))


@pytest.mark.parametrize(
    ("split", "label"), [("train", "stress"), ("train", "forces"), ("valid", "forces")]
)
def test_a_term_of_the_loss_without_labels_stops(write, labelled_water, split, label):
    made = without(write, labelled_water, split, label)
    message = (
        f"the loss weighs {label} by 0.5, but none of the .* frames of the {split} split has a "
        f"label for it .*no {label}.* Set loss.{label}=0, or name the label with data.{label}_key"
    )
    weights = {"energy": 1.0, "forces": 0.5, "stress": 0.5}
    with pytest.raises(errors.DataError, match=message):
        audit.audit(made, weights)
    audit.audit(made, {**weights, label: 0.0})


def test_stresses_may_be_trained_on_without_any_to_validate_on(write, labelled_water):
    """Crystals with stress are trained on together with molecules, and molecules judge."""
    made = without(write, labelled_water, "valid", "stress")
    lines = audit.audit(made, {"energy": 1.0, "forces": 1.0, "stress": 0.1}).lines
    assert sum("stress: trained on, but no validation frame has a label" in s for s in lines) == 1
    assert not any("stress: trained on" in s for s in audit.audit(made, ENERGY_AND_FORCES).lines)


def test_an_unknown_term_of_the_loss_is_refused(read, labelled_water):
    with pytest.raises(errors.ConfigError, match=r"unknown term 'force'. Known: energy, forces"):
        audit.audit(read(labelled_water(5)), {"force": 1.0})


def test_data_without_validation_are_described_too(read, labelled_water):
    data = read(labelled_water(5), num_valid=0)
    lines = audit.audit(data, {**ENERGY_AND_FORCES, "stress": 0.0}).lines
    assert any(line.startswith("train: 4 frames") for line in lines)
    assert not any(line.startswith("valid:") for line in lines)


def test_an_empty_training_split_stops(read, labelled_water):
    empty = dataclasses.replace(read(labelled_water(5)), train=())
    with pytest.raises(errors.DataError, match=r"the train split is empty; give data.train files"):
        audit.audit(empty, ENERGY_AND_FORCES)


def test_overlapping_splits_stop_with_an_example(write, labelled_water):
    config = DataConfig(
        train=write("a.traj", labelled_water(6)),
        valid=write("v.extxyz", labelled_water(4, 4)),
        test_fraction=0.0,
    )
    message = (
        r"the splits overlap: 2 configurations stand in two of them, for example a\.traj, frame 4 "
        r"\(H2O\) \(train\) is v\.extxyz, frame 0 \(H2O\) \(valid\)"
    )
    with pytest.raises(errors.DataError, match=message):
        audit.audit(dataset.read_dataset(config), ENERGY_AND_FORCES)


def test_splits_may_share_a_configuration_at_different_levels_of_theory(write, labelled_water):
    files = {}
    for name, heads in (("train", ("dft", "dft", "xtb")), ("valid", ("xtb", "xtb", "dft"))):
        frames = labelled_water(3)
        for frame, head in zip(frames, heads, strict=True):
            frame.info["level"] = head
        files[name] = write(f"{name}.extxyz", frames)
    config = DataConfig(**files, test_fraction=0.0, head_key="level")
    audit.audit(dataset.read_dataset(config), ENERGY_AND_FORCES)


@pytest.mark.parametrize("split", ["valid", "test"])
def test_a_level_of_theory_no_training_frame_has_stops(write, labelled_water, split):
    files = {}
    for i, name in enumerate(("train", "valid", "test")):
        frame = labelled_water(1, first_seed=i)[0]
        frame.info["level"] = "xtb" if name == split else "dft"
        files[name] = write(f"{name}.extxyz", frame)
    made = dataset.read_dataset(DataConfig(**files, head_key="level"))
    with pytest.raises(errors.DataError, match=rf"{split} split, is of the level of theory 'xtb'"):
        audit.audit(made, ENERGY_AND_FORCES)


def test_repeats_within_training_are_counted(read, labelled_water):
    frames = labelled_water(10)
    report = audit.audit(read([*frames, frames[0], frames[0]]), ENERGY_AND_FORCES)
    assert report.duplicates == 2


@pytest.mark.parametrize("shift", [np.zeros(3), np.array([6.0, 0.0, 0.0])])
def test_two_atoms_at_the_same_place_stop(read, labelled_water, shift):
    frames = labelled_water(6)
    frames[3].positions[2] = frames[3].positions[1] + shift  # also through the boundary
    message = r"a\.traj, frame 3 \(H2O\): atoms 1 and 2 are at the same place \(0\.0000 Å apart\)"
    with pytest.raises(errors.DataError, match=message):
        audit.audit(read(frames), ENERGY_AND_FORCES)


def test_an_element_no_training_frame_has_stops(write, labelled_water):
    other = ase.Atoms("SO2", positions=[[0, 0, 0], [1.4, 0, 0.5], [-1.4, 0, 0.5]])
    other.calc = SinglePointCalculator(other, energy=-1.0, forces=np.zeros((3, 3)))
    config = DataConfig(
        train=write("a.traj", labelled_water(6)),
        valid=write("v.traj", labelled_water(2, 20)),
        test=write("t.traj", other),
    )
    message = (
        r"t\.traj, frame 0 \(O2S\), in the test split, holds S \(Z=16\), which no training frame "
        r"has\. Training has H, O"
    )
    with pytest.raises(errors.UnknownElementError, match=message):
        audit.audit(dataset.read_dataset(config), ENERGY_AND_FORCES)


def _in_bohr(frames):
    for atoms in frames:
        results = atoms.calc.results
        atoms.set_cell(atoms.cell / units.BOHR, scale_atoms=True)
        atoms.calc = SinglePointCalculator(atoms, **results)
    return frames


def test_a_dataset_in_bohr_stops_unless_its_unit_is_given(read, labelled_water):
    frames = _in_bohr(labelled_water(10))
    message = (
        r"positions look like Bohr, not Å: the shortest H-O distance of the whole dataset is "
        r"1\.\d\d, where a bond has 0\.97 Å\. Set data\.length_unit=Bohr"
    )
    with pytest.raises(errors.DataError, match=message):
        audit.audit(read(frames), ENERGY_AND_FORCES)
    converted = audit.audit(read(frames, length_unit="Bohr"), ENERGY_AND_FORCES)
    assert 0.85 < converted.shortest["H-O"] < 1.0
    insisted = audit.audit(read(frames, length_unit="Angstrom"), ENERGY_AND_FORCES)
    assert insisted.shortest["H-O"] > 1.6


def test_one_stretched_frame_or_a_noble_gas_is_not_taken_for_bohr(read, labelled_water):
    frames = labelled_water(10)
    _in_bohr(frames[:1])
    audit.audit(read(frames), ENERGY_AND_FORCES)
    argon = []
    for distance in np.linspace(3.7, 4.2, 10):
        atoms = ase.Atoms("Ar2", positions=[[0, 0, 0], [0, 0, distance]])
        atoms.calc = SinglePointCalculator(atoms, energy=-distance, forces=np.zeros((2, 3)))
        argon.append(atoms)
    audit.audit(read(argon), ENERGY_AND_FORCES)


def test_many_pairs_of_elements_are_shortened_to_the_tightest(read):
    symbols = ["H", "C", "N", "O", "F", "Si", "P", "S"]
    frames = []
    for seed in range(10):
        atoms = ase.Atoms(symbols, positions=1.5 * np.array(list(np.ndindex(2, 2, 2))))
        atoms.rattle(0.05, seed=seed)
        atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=np.ones((8, 3)))
        frames.append(atoms)
    report = audit.audit(read(frames), ENERGY_AND_FORCES)
    line = next(line for line in report.lines if line.startswith("shortest"))
    assert line.endswith("and 16 pairs that are farther for their size") and line.count("-") == 12
    assert "net force of a frame: 14 eV/Å (median), largest 14" in report.lines


def test_repeats_with_other_labels_are_counted_and_the_worst_two_named(read, labelled_water):
    frames = labelled_water(10)
    repeats = [frame.copy() for frame in frames[:3]]
    for repeat, frame, change in zip(repeats, frames, (0.0, 0.5, 0.001), strict=False):
        energy = frame.calc.results["energy"] + 7.0 * change
        repeat.calc = SinglePointCalculator(repeat, energy=energy, forces=frame.get_forces())
    report = audit.audit(read([*frames, *repeats]), ENERGY_AND_FORCES)
    assert report.duplicates == 3
    (line,) = (line for line in report.lines if line.startswith("contradictions"))
    assert line.startswith(
        "contradictions: 2 of 3 repeated configurations have other labels than the frame they "
        "repeat; energy differs by 3.5 eV between a.traj, frame 1 (H2O) and a.traj, frame 11 (H2O)"
    )


def test_contradictory_forces_are_named_too(read, labelled_water):
    frames = labelled_water(10)
    repeat = frames[4].copy()
    repeat.calc = SinglePointCalculator(
        repeat, energy=frames[4].get_potential_energy(), forces=frames[4].get_forces() + 0.25
    )
    text = str(audit.audit(read([*frames, repeat]), ENERGY_AND_FORCES))
    assert "forces differ by 0.25 eV/Å between a.traj, frame 4 (H2O) and a.traj, frame 10" in text


def test_the_same_configuration_with_energies_far_apart_is_named(write):
    path = pathlib.Path(__file__).parent / "formats" / "contradictory_duplicates.extxyz"
    made = dataset.read_dataset(
        DataConfig(train=str(path), split="sequential", num_valid=1, num_test=0)
    )
    text = str(audit.audit(made, {"energy": 1.0}))
    assert "1 of 1 repeated configurations have other labels" in text
    assert "energy differs by 7 eV between contradictory_duplicates.extxyz, frame " in text


def test_labels_that_do_not_train_are_said_with_the_setting_that_trains_them(read, labelled_water):
    frames = labelled_water(20)
    for frame in frames:
        frame.calc.results["stress"] = np.zeros(6)
    text = str(audit.audit(read(frames), ENERGY_AND_FORCES))
    assert (
        "stress: 16 training frames have labels that errors are reported for, but they are not "
        "trained on; loss.stress=1 trains on them"
    ) in text
    assert "stress:" not in str(audit.audit(read(frames), ENERGY_AND_FORCES | {"stress": 0.1}))
    assert "loss.forces=1 trains on them" in str(audit.audit(read(frames), {"energy": 1.0}))


def test_an_atom_alone_in_a_periodic_box_is_said_to_train(read, labelled_water):
    atom = ase.Atoms("H", cell=[12.0] * 3, pbc=True)
    atom.calc = SinglePointCalculator(atom, energy=-13.6, forces=np.zeros((1, 3)))
    crystal = ase.build.bulk("Cu")
    crystal.calc = SinglePointCalculator(crystal, energy=-3.5, forces=np.zeros((1, 3)))
    config = {"split": "sequential"}
    text = str(audit.audit(read([atom, crystal, *labelled_water(20)], **config), ENERGY_AND_FORCES))
    assert (
        "lone atoms: 1 training frames hold one atom without another within 8 Å, for example "
        "a.traj, frame 0 (H) with -13.6000 eV, and train like any frame; config_type=IsolatedAtom"
    ) in text
