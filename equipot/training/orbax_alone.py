"""Orbax for one of several processes: by itself it would wait for all of them at every turn."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    with _making_no_folder():
        return ocp.training.Checkpointer(path, context=context, **policies)


@contextlib.contextmanager
def _making_no_folder() -> Iterator[None]:
    """Orbax 0.12 makes the folder, and refuses to for some processes; v1 cannot be told not to."""
    name = "_create_root_directory"
    make = getattr(checkpoint_manager, name)
    setattr(checkpoint_manager, name, lambda *_: None)
    try:
        yield
    finally:
        setattr(checkpoint_manager, name, make)
