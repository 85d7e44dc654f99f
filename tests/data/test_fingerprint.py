import dataclasses

import numpy as np

from equipot.data import fingerprint, readers
from equipot.data.structure import Structure


def test_the_configuration_ignores_labels_but_not_geometry(write, labelled_water):
    first, second = readers.read_structures(write("a.traj", labelled_water(2)))
    relabelled = dataclasses.replace(first, energy=7.0, source="elsewhere")
    assert fingerprint.configuration(first) == fingerprint.configuration(relabelled)
    assert fingerprint.configuration(first) != fingerprint.configuration(second)
    moved = dataclasses.replace(first, positions=first.positions + 1e-4)
    assert fingerprint.configuration(first) != fingerprint.configuration(moved)
    open_cell = dataclasses.replace(first, pbc=np.array([True, True, False]))
    assert fingerprint.configuration(first) != fingerprint.configuration(open_cell)


def test_the_dataset_is_named_by_all_that_training_sees(write, labelled_water):
    items = readers.read_structures(write("a.traj", labelled_water(3)))
    splits = {"train": items[:2], "valid": items[2:], "test": []}
    name = fingerprint.dataset(splits, {1: -13.6})
    assert len(name) == 64 and name == fingerprint.dataset(splits, {1: -13.6})
    elsewhere = {k: [dataclasses.replace(s, source="x") for s in v] for k, v in splits.items()}
    assert name == fingerprint.dataset(elsewhere, {1: -13.6})
    changed = [
        fingerprint.dataset(splits, {1: -13.5}),
        fingerprint.dataset(splits, {1: -13.6}, {"dft": {1: -13.6}}),
        fingerprint.dataset(splits, {1: -13.6}, {"xtb": {1: -13.6}}),
        fingerprint.dataset(
            splits | {"valid": [dataclasses.replace(items[2], head="dft")]}, {1: -13.6}
        ),
        fingerprint.dataset({"train": items[:1], "valid": items[1:], "test": []}, {1: -13.6}),
        fingerprint.dataset(
            splits | {"valid": [dataclasses.replace(items[2], energy_weight=0.5)]}, {1: -13.6}
        ),
        fingerprint.dataset(splits | {"train": items[1::-1]}, {1: -13.6}),
    ]
    assert len({name, *changed}) == 8


def test_runs_of_earlier_versions_know_their_data_again():
    item = Structure(
        positions=np.arange(6.0).reshape(2, 3),
        atomic_numbers=np.array([1, 8]),
        energy=-1.5,
        energy_weight=1.0,
        group="a",
    )
    digest = fingerprint.dataset({"train": [item]}, {1: -13.6})
    assert digest.startswith("7fc7a9ae953bcd18")
