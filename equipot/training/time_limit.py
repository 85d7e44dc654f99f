"""When a command ends by itself, for another one to go on: its own limit, or that of its job."""

import os
import time

from equipot.training.config import TrainerConfig

MAX_MINUTES, JOB_END = LIMITS = ("trainer.max_minutes", "the end of the job's time")
"""What sets a limit, for messages."""
SLURM_END = "SLURM_JOB_END_TIME"
"""Variable in which SLURM names the end of a job, in seconds of Unix time."""
_MARGIN = 120.0  # seconds before the end of a job; a checkpoint on a slow disk takes up to 60
_COUNTED = 3  # of the longest steps: the first two compile the step and the validation


class TimeLimit:
    """The moment at which steps are to end, checked after each.

    Attributes:
      what: What sets the limit, for messages; empty if there is none.
    """

    def __init__(self, end: float = float("inf"), what: str = "", margin: float = 0.0) -> None:
        """Begins to time steps.

        Args:
          end: Of the time, by ``time.monotonic``.
          what: What sets it.
          margin: Seconds before the end that are kept free, besides as many as a step may take.
        """
        self.what = what
        self._end, self._margin = end, margin
        self._last = time.monotonic()
        self._longest = [0.0] * _COUNTED

    @classmethod
    def of(cls, trainer: TrainerConfig, began: float) -> "TimeLimit":
        """The limit that comes first.

        Args:
          trainer: With ``max_minutes``.
          began: When the command began, by ``time.monotonic``.
        """
        limits = []
        if trainer.max_minutes is not None:
            limits.append((began + 60 * trainer.max_minutes, 0.0, MAX_MINUTES))
        job_end = os.environ.get(SLURM_END, "")
        if job_end.isdecimal() and int(job_end) > 0:
            end = time.monotonic() + int(job_end) - time.time()
            limits.append((end, _MARGIN, JOB_END))
        if not limits:
            return cls()
        end, margin, what = min(limits)
        return cls(end, what, margin)

    def note_step(self) -> None:
        """Notes that a step, with the validation after it if there was one, has ended."""
        now = time.monotonic()
        self._longest = sorted((*self._longest, now - self._last))[-_COUNTED:]
        self._last = now

    @property
    def is_reached(self) -> bool:
        """Whether no further step fits."""
        kept_free = self._margin + self._longest[0] if self._margin else 0.0
        return time.monotonic() >= self._end - kept_free
