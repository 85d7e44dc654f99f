"""The checkpoints of a run of one or several processes: the first keeps them, for all."""

from pathlib import Path
from types import TracebackType

from equipot import config as configuration
from equipot.process import Process
from equipot.training import hosts
from equipot.training.checkpoints import Checkpoints
from equipot.training.state import Progress, TrainState
from equipot.typing import PyTree


class SharedCheckpoints:
    """As ``Checkpoints``; processes other than the first need not see the folder.

    Attributes:
      folder: Where they are.
      latest_step: The step of the latest complete checkpoint; None for none.
      lost_best: The step that a loaded run called its best and that is not there any more.
    """

    def __init__(self, folder: Path, keep: int, process: Process) -> None:
        """Opens the folder in the first process.

        Args:
          folder: Where they are.
          keep: How many of the latest are kept beside the best.
          process: Which of the processes of the run.

        Raises:
          CheckpointError: If the folder cannot be used, or a checkpoint is damaged.
        """
        self.folder, self.lost_best, self._process = folder, None, process
        self._own = Checkpoints(folder, keep) if process.is_first else None
        own = self._own
        self._latest = hosts.told(process, lambda: None if own is None else own.latest_step)

    def __enter__(self) -> "SharedCheckpoints":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._own is not None:
            self._own.__exit__(kind, error, traceback)

    @property
    def latest_step(self) -> int | None:
        """The step of the latest complete checkpoint."""
        return self._latest if self._own is None else self._own.latest_step

    def save(self, state: TrainState, progress: Progress) -> None:
        """Begins to write a checkpoint, see ``Checkpoints.save``."""
        self._latest = progress.step
        if self._own is not None:
            self._own.save(state, progress)

    def wait(self) -> None:
        """Waits until the last checkpoint is on the disk, see ``Checkpoints.wait``."""
        if self._own is not None:
            self._own.wait()

    def load(self, like: TrainState) -> tuple[TrainState, Progress]:
        """Reads the latest checkpoint, see ``Checkpoints.load``; all processes get it.

        Args:
          like: A state of the same shape.
        """
        restored, found = like, Progress()
        if self._own is not None:
            restored, found = self._own.load(like)
            self.lost_best = self._own.lost_best
        told = hosts.told(self._process, lambda: configuration.to_mapping(found))
        return hosts.given(self._process, restored), Progress.from_mapping(told)

    def set_aside(self, step: int) -> None:
        """Moves a bad checkpoint out of the way, see ``Checkpoints.set_aside``."""
        if self._own is not None:
            self._own.set_aside(step)

    def load_ema(self, step: int, like: TrainState) -> PyTree:
        """Reads the averaged parameters of one checkpoint; in the first process alone."""
        assert self._own is not None, "only the first process has checkpoints"
        return self._own.load_ema(step, like)
