import pickle

import numpy as np
import pytest

from equipot import errors
from equipot.data.stored import shards

ARRAYS = {
    "positions": np.random.default_rng(0).normal(size=(7, 3)),
    "flags": np.array([True, False, True]),
    "none": np.zeros((0, 3)),
    "numbers": np.arange(5, dtype=np.uint8),
}


def test_arrays_come_back_as_they_were(tmp_path):
    record = shards.write(tmp_path / "a.arrays", ARRAYS)
    for shard in (
        shards.Shard(tmp_path, record),
        pickle.loads(pickle.dumps(shards.Shard(tmp_path, record))),
    ):
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(shard[name], array)
            assert shard[name].dtype == array.dtype
        with pytest.raises(ValueError, match="read-only"):
            shard["positions"][0] = 0.0
    assert "flags" in shard and "absent" not in shard


def test_the_digest_is_that_of_the_contents(tmp_path):
    digests = {shards.write(tmp_path / name, ARRAYS)["sha256"] for name in ("a", "b")}
    other = {**ARRAYS, "numbers": np.arange(1, 6, dtype=np.uint8)}
    assert len(digests) == 1 and shards.write(tmp_path / "c", other)["sha256"] not in digests


def test_a_file_that_is_gone_or_cut_is_said(tmp_path):
    record = shards.write(tmp_path / "a.arrays", ARRAYS)
    (tmp_path / "a.arrays").unlink()
    with pytest.raises(errors.DataError, match=r"a\.arrays: cannot be opened \(No such file"):
        shards.Shard(tmp_path, record)["flags"]
