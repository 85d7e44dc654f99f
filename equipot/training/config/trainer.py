"""Settings of the length of a run, its batches, devices and hosts."""

import dataclasses
import math
from typing import Literal

from equipot import errors
from equipot.training.config.checks import check

VALID_LOSS = "valid_loss"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """How long to train and when to look; everything is counted in steps of the optimizer.

    Attributes:
      num_steps: Optimizer steps; null to count epochs, default null.
      num_epochs: Passes over the training split, where ``num_steps`` is null; with neither the
        number of steps is chosen for the size of the data, default null.
      minutes: Time from the start of the command to the last step, instead of a number of steps:
        the first steps are timed and the number of all is computed from that, default null.
      batch_size: Structures per batch and device; auto for as many as fit into the memory of the
        device, within bounds; null to choose it for the size of the data, default null.
      eval_batch_size: Structures per device when validating; null for ``batch_size`` or
        ``batch_edges``, default null.
      valid_every: Steps between validations; null for one each epoch, or for an interval that suits
        the number of steps where that is chosen or timed, default null.
      checkpoint_every: Steps between checkpoints; null for one at each validation, but at least one
        in each fiftieth of the run (500 steps, if that is longer); the best one is kept in any
        case, default null.
      keep_checkpoints: How many of the latest checkpoints are kept beside the best, default 2.
      early_stopping_patience: Validations without a better loss before the run ends; null to go on
        to the end, default null.
      num_devices: Devices to spread each step over; null for all there are, default null.
      log_every: Steps between lines of metrics.jsonl and metrics.csv, default 50.
      max_minutes: Time after which the command writes a checkpoint and ends with exit code 75, for
        the next one to go on; in a job of SLURM also before the job's time is up; null for no
        limit, default null.
      best: Which measure of the validation split decides on the best parameters, early stopping and
        plateau: valid_loss, or an error such as forces_rmse, energy_mae, dipole_rmse, default
        valid_loss.
      sampling: Which structures an epoch has: all of them once, or balanced (each group of
        ``data.group_key`` equally often: structures of small groups several times, those of large
        groups in turn, epoch after epoch), default all.
      batch_edges: Edges per batch and device at most, instead of a number of structures: the
        neighbors within the cutoff of all atoms of a batch, each pair of atoms counting twice, as
        in other programs; null to count structures, default null.
      accumulate: Batches per step of the optimizer, one after another: the gradient is that of one
        batch with all their structures, the memory that of one of them, default 1.
      coordinator: Where the processes of a run on several hosts meet, HOST:PORT of the first; null
        for what SLURM or Open MPI say, default null.
      num_hosts: How many processes train together; null for what SLURM or Open MPI say, default
        null.
      host: Which of them this one is, from 0; null for what SLURM or Open MPI say, default null.
    """

    num_steps: int | None = None
    num_epochs: int | None = None
    minutes: float | None = None
    batch_size: int | Literal["auto"] | None = None
    eval_batch_size: int | None = None
    valid_every: int | None = None
    checkpoint_every: int | None = None
    keep_checkpoints: int = 2
    early_stopping_patience: int | None = None
    num_devices: int | None = None
    log_every: int = 50
    max_minutes: float | None = None
    best: str = VALID_LOSS
    sampling: Literal["all", "balanced"] = "all"
    batch_edges: int | None = None
    accumulate: int = 1
    coordinator: str | None = None
    num_hosts: int | None = None
    host: int | None = None

    def __post_init__(self) -> None:
        self._check_hosts()
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in ("coordinator", "host"):
                continue
            expected = "more than 0" if "minutes" in field.name else "at least 1"
            usable = value is None or isinstance(value, str) or value > 0
            check(usable, f"trainer.{field.name}", expected, value)
        if self.batch_edges is not None and self.batch_size is not None:
            raise errors.ConfigError(
                f"trainer.batch_edges: expected one size of batches, received batch_size="
                f"{self.batch_size} too; leave batch_edges out, or set trainer.batch_size=null"
            )
        for key in ("minutes", "max_minutes"):
            value = getattr(self, key)
            check(value != math.inf, f"trainer.{key}", "a finite number", value)
        for key in ("num_steps", "num_epochs"):
            if self.minutes is not None and getattr(self, key) is not None:
                raise errors.ConfigError(
                    f"trainer.minutes: expected no other length, received {key}="
                    f"{getattr(self, key)} too; leave minutes out, or set trainer.{key}=null"
                )

    def _check_hosts(self) -> None:
        """The three are given together; the coordinator may also be given to a launcher alone."""
        where, count, index = self.coordinator, self.num_hosts, self.host
        if (count is None) != (index is None) or (count is not None and where is None):
            raise errors.ConfigError(
                "trainer.coordinator, trainer.num_hosts, trainer.host: expected all three or none,"
                f" received {where}, {count}, {index}"
            )
        if where is not None:
            name, _, port = where.rpartition(":")
            usable = bool(name) and port.isdecimal() and 0 < int(port) < 2**16
            check(usable, "trainer.coordinator", "HOST:PORT, such as node1:12321", where)
        if count is not None and index is not None:
            check(count > 0, "trainer.num_hosts", "at least 1", count)
            check(0 <= index < count, "trainer.host", f"from 0 to {count - 1}", index)
