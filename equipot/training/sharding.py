"""Placement of arrays: batches are split over one mesh axis, ``data``, all else is everywhere."""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from equipot import errors
from equipot.typing import PyTree

AXIS = "data"


def make_mesh(num_devices: int | None) -> Mesh:
    """A mesh over the first devices there are.

    Args:
      num_devices: How many; None for all.

    Raises:
      ConfigError: If there are fewer.
    """
    devices = jax.devices()
    count = num_devices or len(devices)
    if count > len(devices):
        raise errors.ConfigError(
            f"trainer.num_devices: {count} devices asked for, {len(devices)} here"
            f" ({devices[0].platform}); lower it, or set it to null for all there are"
        )
    return Mesh(np.array(devices[:count]), (AXIS,))


def replicate(tree: PyTree, mesh: Mesh) -> PyTree:
    """Puts a tree on every device of the mesh."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def shard(batch: PyTree, mesh: Mesh) -> PyTree:
    """Splits a batch over the devices along the first axis of its leaves."""
    return jax.device_put(batch, NamedSharding(mesh, PartitionSpec(AXIS)))
