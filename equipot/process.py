"""Which of the processes of one run this is, and what falls to it.

Every process reads the data and builds the same graphs; each collates the bins of its own devices,
takes part in every step, and hears signals; the first alone reads and writes the run folder, holds
its lock, and speaks. How processes find and wait for each other is in ``equipot.training.hosts``.
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
