import jax
import numpy as np
import pytest

from equipot import errors
from equipot.training import sharding


def test_a_batch_is_split_and_everything_else_is_everywhere():
    mesh = sharding.make_mesh(4)
    batch = sharding.shard({"x": np.arange(8.0).reshape(4, 2)}, mesh)["x"]
    assert [piece.data.shape for piece in batch.addressable_shards] == [(1, 2)] * 4
    params = sharding.replicate({"w": np.ones(3)}, mesh)["w"]
    assert params.is_fully_replicated
    assert len(params.addressable_shards) == 4


def test_all_devices_are_taken_unless_fewer_are_asked_for():
    assert sharding.make_mesh(None).size == len(jax.devices())
    assert sharding.make_mesh(1).size == 1


def test_more_devices_than_there_are_is_refused():
    with pytest.raises(errors.ConfigError, match=r"num_devices: 99 devices asked for, 4 here"):
        sharding.make_mesh(99)
