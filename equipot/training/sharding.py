"""Placement of arrays: batches are split over one mesh axis, ``data``, all else is everywhere.

Devices of several processes form one mesh, in the order of the processes, each with as many.
"""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from equipot import errors
from equipot.process import ALONE, Process
from equipot.typing import PyTree

AXIS = "data"


def make_mesh(num_devices: int | None, process: Process = ALONE) -> Mesh:
    """A mesh over the first devices there are, the first of each process.

    Args:
      num_devices: How many, of all processes; None for all.
      process: Which of the processes of the run.

    Raises:
      ConfigError: If there are fewer, or the processes cannot share them evenly.
    """
    devices = jax.devices()
    count = num_devices or len(devices)
    if count > len(devices):
        raise errors.ConfigError(
            f"trainer.num_devices: {count} devices asked for, {len(devices)} here"
            f" ({devices[0].platform}); lower it, or set it to null for all there are"
        )
    each = [[d for d in devices if d.process_index == i] for i in range(process.count)]
    if process.count == 1:
        each = [devices]
    share, rest = divmod(count, process.count)
    if rest or any(len(own) < share for own in each):
        numbers = ", ".join(str(len(own)) for own in each)
        raise errors.ConfigError(
            f"trainer.num_devices: expected as many devices of each of the {process.count} hosts,"
            f" received {count} in all, where the hosts have {numbers}; set it to a multiple of"
            f" {process.count}"
        )
    return Mesh(np.array([device for own in each for device in own[:share]]), (AXIS,))


def everywhere(mesh: Mesh) -> NamedSharding:
    """The placement of arrays that all devices have."""
    return NamedSharding(mesh, PartitionSpec())


def replicate(tree: PyTree, mesh: Mesh) -> PyTree:
    """Puts a tree on every device of the mesh; every process has to give the same."""
    if not mesh.is_multi_process:
        return jax.device_put(tree, everywhere(mesh))
    return jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(
            everywhere(mesh), np.asarray(leaf), np.shape(leaf)
        ),
        tree,
    )


def shard(batch: PyTree, mesh: Mesh) -> PyTree:
    """Splits a batch over the devices along the first axis of its leaves.

    Of several processes each gives the share of its own devices.
    """
    own = NamedSharding(mesh, PartitionSpec(AXIS))
    if not mesh.is_multi_process:
        return jax.device_put(batch, own)
    return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(own, leaf), batch)
