"""Which of the processes of one run this is, and what falls to it.

There is one today, ``Process()``. Whatever takes that for granted asks here instead, so that what
is to be done for several is known by its place: every process reads the data and builds the same
graphs; each collates the bins of its own devices and takes part in every step and checkpoint; the
first alone writes to the run folder, holds its lock, speaks, and hears signals. How processes find
and wait for each other is not here.
"""

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Process:
    """One of several processes that train together, each with as many devices.

    Attributes:
      index: Its number, from 0.
      count: How many there are.

    Raises:
      ValueError: If there is no such process.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(
                f"expected a process of index 0 to {self.count - 1}, of {self.count},"
                f" received {self.index}"
            )

    @property
    def is_first(self) -> bool:
        """Whether it writes: folder, lock, log, potential, tables, pictures; and deletes drafts."""
        return self.index == 0

    @property
    def hears_signals(self) -> bool:
        """Whether it decides to stop at a signal; the others, sent it too, stop when it does."""
        return self.is_first

    def own(self, bins: Sequence[T]) -> Sequence[T]:
        """The bins of a step that this process collates: as many for each, in order.

        Args:
          bins: One for each device of all processes.

        Raises:
          ValueError: If they cannot be dealt evenly.
        """
        share, rest = divmod(len(bins), self.count)
        if rest:
            raise ValueError(
                f"expected a number of devices that {self.count} processes can share evenly,"
                f" received {len(bins)}"
            )
        return bins[self.index * share : (self.index + 1) * share]


ALONE = Process()
"""The one process of a run that has no other."""
