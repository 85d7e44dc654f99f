"""Frames that are read together become what each becomes alone; what is wrong is said as before."""

import dataclasses

import numpy as np
import pytest

from equipot import errors
from equipot.data import bulk, readers
from equipot.data.config import DataConfig
from equipot.data.formats import ase_files, frame

CONFIG = DataConfig(
    train="x",
    energy_unit="kcal/mol",
    length_unit="Bohr",
    weight_key="w",
    group_key="g",
    stress_unit="GPa",
)


def frames(count=9):
    """Open and periodic ones, with and without labels, stored as reals and as whole numbers."""
    generator = np.random.default_rng(0)
    made = []
    for index in range(count):
        size = int(generator.integers(1, 6))
        values = {"w": 1.0 + index, "g": f"group {index}", "other": np.arange(3)}
        if index % 2:
            values["energy"] = (np.float64(-3.7), -3, np.array([-2.5]), np.float32(-1.5))[index % 4]
        if index % 3:
            values["forces"] = generator.normal(size=(size, 3))
        if index % 4 == 0:
            values["stress"] = np.arange(6.0)
        kind = (np.float64, np.float32, np.int32)[index % 3]
        made.append(
            frame.Frame(
                atomic_numbers=generator.integers(1, 9, size),
                positions=(9 * generator.random((size, 3))).astype(kind),
                cell=np.eye(3) * (8.0 + index),
                pbc=np.array([index % 2 == 0, index % 3 == 0, index % 2 == 0]),
                values=values,
                where=f"frame {index}",
            )
        )
    return made


def converted(items, config=CONFIG):
    content = frame.FrameFile(frames=items, known_keys=ase_files.KNOWN_KEYS, stated_units={})
    return readers.convert(content, config, "x.xyz")


def alone(items, monkeypatch, config=CONFIG):
    with monkeypatch.context() as changed:
        changed.setattr(bulk, "fields", lambda *_: None)
        return converted(items, config)


def test_frames_read_together_are_those_read_one_by_one(monkeypatch):
    together, one_by_one = converted(frames()), alone(frames(), monkeypatch)
    assert together.found == one_by_one.found
    for made, expected in zip(together.structures, one_by_one.structures, strict=True):
        assert vars(made).keys() == vars(expected).keys()
        for name, value in vars(expected).items():
            np.testing.assert_array_equal(getattr(made, name), value)
            assert type(getattr(made, name)) is type(value), name
            assert getattr(made.positions, "dtype", None) == np.float64


def test_ordinary_frames_are_read_together():
    keys = ("energy", 0.5), ("forces", 0.5), 0.5
    assert len(bulk.fields(frames(), *keys)) == len(frames())
    broken = [*frames(), dataclasses.replace(frames()[0], positions=np.zeros((0, 3)))]
    assert bulk.fields(broken, *keys) is None


def test_structures_of_one_file_share_no_memory():
    first, second = converted(frames()).structures[:2]
    assert first.positions.base is None and second.forces.base is None
    assert not np.shares_memory(first.pbc, second.pbc)


@pytest.mark.parametrize(
    "change",
    [
        {"positions": np.full((2, 3), np.nan)},
        {"positions": np.zeros((3, 3))},
        {"positions": np.array([[1e10, 0, 0], [0, 0, 0]])},
        {"atomic_numbers": np.array([1.5, 1])},
        {"atomic_numbers": np.array([0, 1])},
        {"cell": np.full((3, 3), np.inf)},
        {"cell": np.zeros((3, 3)), "pbc": np.ones(3, bool)},
        {"values": {"energy": "none"}},
        {"values": {"energy": True}},
        {"values": {"energy": 1e12}},
        {"values": {"energy": np.nan}},
        {"values": {"energy": np.zeros(2)}},
        {"values": {"forces": np.zeros((2, 2))}},
        {"values": {"forces": np.full((2, 3), 1e12)}},
        {"values": {"stress": np.full(6, np.inf)}, "pbc": np.ones(3, bool), "cell": np.eye(3)},
        {"values": {"w": -1.0}},
    ],
    ids=lambda change: " ".join(map(str, change)),
)
def test_a_wrong_frame_is_named_as_when_it_is_read_alone(change, monkeypatch):
    items = frames()
    sound = {"w": 1.0, "g": ""} | change.get("values", {})
    right = dataclasses.replace(
        items[1], atomic_numbers=np.array([1, 8]), positions=np.eye(2, 3), values=sound
    )
    items[4] = dataclasses.replace(right, **{**change, "values": sound}, where="frame 4")
    with pytest.raises(errors.DataError) as expected:
        alone(items, monkeypatch)
    with pytest.raises(errors.DataError) as found:
        converted(items)
    assert str(found.value) == str(expected.value)
    assert "x.xyz, frame 4" in str(found.value)
