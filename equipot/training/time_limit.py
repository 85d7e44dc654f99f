"""When a command ends by itself, for another one to go on: its own limit, or that of its job."""

import os
import time
from typing import NamedTuple

from equipot.training.config import TrainerConfig

MAX_MINUTES, JOB_END = LIMITS = ("trainer.max_minutes", "the end of the job's time")
"""What sets a limit, for messages."""
SLURM_END = "SLURM_JOB_END_TIME"
"""Variable in which SLURM names the end of a job, in seconds of Unix time."""
_MARGIN = 120.0  # seconds before the end of a job; a checkpoint on a slow disk takes up to 60
_COUNTED = 3  # of the longest steps: the first two compile the step and the validation


class _End(NamedTuple):
    """When something ends (``time.monotonic``), the seconds kept free before it, and what it is."""

    moment: float
    margin: float
    what: str


class TimeLimit:
    """The moments at which steps are to end, checked after each step."""

    def __init__(self, *ends: _End) -> None:
        """Begins to time steps.

        Args:
          ends: Whatever sets a limit. Where a margin is kept free, the time of a step is as well.
        """
        self._ends = ends
        self._last = time.monotonic()
        self._longest = [0.0] * _COUNTED

    @classmethod
    def of(cls, trainer: TrainerConfig, began: float) -> "TimeLimit":
        """The limits of a command.

        Args:
          trainer: With ``max_minutes``.
          began: When the command began, by ``time.monotonic``.
        """
        ends = []
        if trainer.max_minutes is not None:
            ends.append(_End(began + 60 * trainer.max_minutes, 0.0, MAX_MINUTES))
        job_end = os.environ.get(SLURM_END, "")
        if job_end.isdecimal() and int(job_end) > 0:
            moment = time.monotonic() + int(job_end) - time.time()
            ends.append(_End(moment, _MARGIN, JOB_END))
        return cls(*ends)

    def note_step(self) -> None:
        """Notes that a step, with the validation after it if there was one, has ended."""
        now = time.monotonic()
        self._longest = sorted((*self._longest, now - self._last))[-_COUNTED:]
        self._last = now

    @property
    def reached(self) -> str:
        """What leaves no time for a further step; empty if there is time."""
        return self._before(self._longest[0])

    @property
    def is_over(self) -> str:
        """What leaves time for a checkpoint alone; empty if there is more."""
        return self._before(0.0)

    def _before(self, step: float) -> str:
        now = time.monotonic()
        for end in self._ends:
            kept_free = end.margin + step if end.margin else 0.0
            if now >= end.moment - kept_free:
                return end.what
        return ""
