"""Batches of an epoch, made ahead of time by one thread.

Their order is a pure function of the seed and the epoch.
"""

import queue
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from equipot.graphs import batching
from equipot.graphs.graph import Batch
from equipot.process import ALONE, Process
from equipot.quantities import DERIVED, Quantity
from equipot.store import packing, spreading
from equipot.store.graph_store import GraphStore

T = TypeVar("T")


class Loader:
    """Deals the graphs of a dataset to the devices, each exactly once per epoch.

    The state of the loader is (seed, epoch, position) and nothing else: ``batches(epoch, start)``
    continues an epoch exactly where it was left.
    """

    def __init__(
        self,
        graphs: Sequence[batching.HostGraph],
        budget: batching.Budget | None = None,
        *,
        cutoff: float,
        batch_size: int | None = None,
        num_devices: int = 1,
        seed: int = 0,
        shuffle: bool = True,
        dtype: str = "float32",
        prefetch: int = 2,
        process: Process = ALONE,
        quantities: Mapping[str, Quantity] = DERIVED,
        begun_devices: int | None = None,
    ) -> None:
        """Checks that every graph fits.

        Args:
          graphs: The dataset; the size table and names of a ``GraphStore`` are used as they are.
          budget: Padded totals of a batch on one device; None to plan them from ``batch_size``.
          cutoff: Å, the one the graphs were built with.
          batch_size: Average structures per device in a batch; needed only without a budget.
          num_devices: Number of bins in every step, over all processes.
          seed: Seed of the order.
          shuffle: Whether to deal in random order, or in the order given.
          dtype: Of positions, cells and labels, ``"float32"`` or ``"float64"``.
          prefetch: Number of batches made ahead.
          process: The process whose share of every step is collated.
          quantities: Names of the quantities whose labels batches hold.
          begun_devices: Number of devices that the budget is for, and whose steps these are; None
            for ``num_devices``.

        Raises:
          GraphTooLargeError: If a graph exceeds the budget on its own.
          ValueError: If neither a budget nor a batch size is given, or the processes cannot share
            the devices evenly.
        """
        if budget is None and batch_size is None:
            raise ValueError("expected a budget or a batch size to plan one from, received neither")
        self.graphs = graphs
        is_store = isinstance(graphs, GraphStore)
        self.sizes = graphs.sizes if is_store else packing.size_table(graphs)
        planned = budget or packing.plan_sizes(self.sizes, batch_size or 1)
        names = graphs.names if is_store else [g.source for g in graphs]
        packing.check_sizes(self.sizes, planned, names)
        begun = begun_devices or num_devices
        self._spread = spreading.Spread.plan(self.sizes, planned, begun, num_devices)
        self._planned, self.budget = planned, self._spread.budget
        process.own(range(num_devices))
        self.process = process
        self.cutoff, self.dtype, self.quantities = cutoff, dtype, quantities
        self.num_devices, self.prefetch = num_devices, prefetch
        self.seed, self.shuffle = seed, shuffle
        self._packed: tuple[int, list[packing.Step]] | None = None

    def steps(self, epoch: int) -> list[packing.Step]:
        """Which graphs each device gets in each step of an epoch, as indices."""
        epoch = epoch if self.shuffle else 0
        if self._packed is None or self._packed[0] != epoch:
            order = np.arange(len(self.graphs))
            if self.shuffle:
                order = np.random.default_rng((self.seed, epoch)).permutation(len(self.graphs))
            begun = self._spread.begun
            bins = packing.pack(self.sizes, order, self._planned)
            steps = packing.group(bins, self.sizes, self._planned, begun)
            if begun != self.num_devices:
                steps = [self._spread.spread(step, self.sizes) for step in steps]
            self._packed = (epoch, steps)
        return self._packed[1]

    def num_batches(self, epoch: int) -> int:
        """Steps in an epoch; their number varies a little between epochs if sizes vary."""
        return len(self.steps(epoch))

    def padding_waste(self, epoch: int = 0) -> packing.PaddingWaste:
        """The share of padding in an epoch."""
        return packing.padding_waste(self.sizes, self.steps(epoch), self.budget)

    def batches(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
        """Yields the batches of an epoch from position ``start`` on; leaves are [devices, ...].

        If there are several processes, each gets the share of its own devices, in order.

        Raises:
          ValueError: If the epoch has fewer than ``start`` batches.
        """
        steps = self.steps(epoch)
        if not 0 <= start <= len(steps):
            raise ValueError(
                f"epoch {epoch} has {len(steps)} batches, received position {start}; the dataset "
                "or the batch size has changed since the position was stored"
            )

        def make(position: int) -> Batch:
            own = self.process.own(steps[position])
            bins = [[self.graphs[i] for i in members] for members in own]
            budget = self._spread.budget_of(steps[position], self.sizes)
            return batching.collate_devices(bins, budget, self.cutoff, self.dtype, self.quantities)

        return prefetched(make, range(start, len(steps)), self.prefetch)


def prefetched(
    make: Callable[[int], T], items: Sequence[int], depth: int
) -> Generator[T, None, None]:
    """Yields ``make(item)`` for each item in order, computed up to ``depth`` ahead by one thread.

    An exception of ``make`` is raised where its result would have come. Closing the iterator stops
    and joins the thread.
    """
    results: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()
    free, stop = threading.Semaphore(max(depth, 1)), threading.Event()

    def work() -> None:
        for item in items:
            free.acquire()
            if stop.is_set():
                return
            try:
                results.put((make(item), None))
            except BaseException as error:  # handed over to the thread that waits for it
                results.put((None, error))
                return

    thread = threading.Thread(target=work, name="equipot-loader", daemon=True)
    thread.start()
    try:
        for _ in items:
            result, error = results.get()
            free.release()
            if error is not None:
                raise error
            yield result  # type: ignore[misc]
    finally:
        stop.set()
        free.release()
        thread.join()
