"""Orbax for one of several processes: by itself it would wait for all of them at every turn."""

from pathlib import Path
from typing import Any
from unittest import mock

import jax
from orbax.checkpoint import checkpoint_manager
from orbax.checkpoint import v1 as ocp


def checkpointer(folder: Path, **policies: Any) -> ocp.training.Checkpointer:
    """Opens a folder of checkpoints for this process alone.

    Args:
      folder: Where they are; it exists.
      policies: When to save and what to keep, as Orbax takes them.
    """
    path = str(folder.absolute())
    if jax.process_count() == 1:
        return ocp.training.Checkpointer(path, **policies)
    own = jax.process_index()
    options = ocp.options.MultiprocessingOptions(primary_host=own, active_processes={own})
    context = ocp.Context(multiprocessing_options=options)
    # Orbax 0.12 refuses to open for some processes where it would make the folder, and v1 has no
    # setting that says not to.
    with mock.patch.object(checkpoint_manager, "_create_root_directory"):
        return ocp.training.Checkpointer(path, context=context, **policies)
