"""Settings that may change while a run goes on, and the record of those that did.

They make a run longer, shorter or differently fast, or decide how often it is looked at. All others
decide what the parameters and the state of the optimizer are, or what the steps done so far meant.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equipot import errors

FREE = (
    *("run_dir", "logger", "resume", "trainer.max_minutes", "trainer.num_devices"),
    *("trainer.coordinator", "trainer.num_hosts", "trainer.host"),
)
"""What may always change, groups or keys: where a run lies, who is told, when a command ends, what
it runs on."""

LENGTHS = tuple(f"trainer.{key}" for key in ("num_steps", "num_epochs", "minutes"))
"""What sets the number of steps."""

PATIENCE = "trainer.early_stopping_patience"
"""What may end a run before."""

CHANGEABLE = (
    *(*LENGTHS, PATIENCE),
    *(f"trainer.{key}" for key in ("valid_every", "eval_batch_size")),
    *(f"trainer.{key}" for key in ("checkpoint_every", "keep_checkpoints", "log_every")),
    *(f"optimizer.{key}" for key in ("learning_rate", "final_fraction")),
    *(f"optimizer.{key}" for key in ("plateau_factor", "plateau_patience")),
)
"""What may change where it is asked for (``resume=changed``)."""


@dataclasses.dataclass(frozen=True)
class Change:
    """A setting that differs from the one a run began with.

    Attributes:
      key: Its name, with that of its group.
      before: The value in the folder.
      now: The value asked for.
    """

    key: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.key}={_shown(self.before)}, now it is {_shown(self.now)}"


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)


def between(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """The settings that differ, other than those that may always change.

    Args:
      old: Flat settings, ``{"loss.energy": 1.0, …}``.
      new: The same of today.
    """
    return [
        Change(key, old.get(key), new.get(key))
        for key in sorted(old.keys() | new.keys())
        if not is_free(key) and old.get(key) != new.get(key)
    ]


def is_free(key: str) -> bool:
    """Whether a setting may change without being asked for."""
    return key in FREE or key.split(".")[0] in FREE


def check(found: list[Change], resume: str, folder: Path) -> None:
    """Refuses changes that a run cannot go on with, or that nobody asked for.

    Args:
      found: What differs.
      resume: The setting of that name.
      folder: Of the run.

    Raises:
      CheckpointError: With what differs, and what to do.
    """
    fixed = [change for change in found if change.key not in CHANGEABLE]
    if fixed:
        raise errors.CheckpointError(
            f"{folder}: holds a run with {_listed(fixed)}; take another name or run_dir, or remove"
            " the folder"
        )
    if found and resume != "changed":
        raise errors.CheckpointError(
            f"{folder}: holds a run with {_listed(found)}; add resume=changed to go on that way, or"
            " take another name or run_dir"
        )


def _listed(found: list[Change]) -> str:
    return "; ".join(map(str, found))
