"""Batches of an epoch, made ahead of time by one thread.

Their order is a pure function of the seed and the epoch.
"""

import queue
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TypeVar

import jax
import numpy as np

from equipot.graphs import batching
from equipot.graphs.graph import Batch
from equipot.process import ALONE, Process
from equipot.quantities import DERIVED, Quantity
from equipot.store import edge_packing, packing, spreading
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
        draw: Callable[[int, int], np.ndarray] | None = None,
        batch_edges: int | None = None,
        accumulate: int = 1,
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
          draw: Indices of an epoch by the seed and its number; None for all graphs once.
          batch_edges: Pairs per device in a batch at most, instead of a budget or a batch size.
          accumulate: Batches that are yielded together, for one step of the optimizer.
          begun_devices: Number of devices that the budget is for, and whose steps these are; None
            for ``num_devices``.

        Raises:
          GraphTooLargeError: If a graph exceeds the budget on its own.
          ValueError: If neither a budget nor a size of batches is given, the processes cannot share
            the devices evenly, or batches of edges or several for a step are to be spread anew.
        """
        if budget is None and batch_size is None and batch_edges is None:
            raise ValueError("expected a budget or a batch size to plan one from, received neither")
        self.graphs = graphs
        is_store = isinstance(graphs, GraphStore)
        self.sizes = graphs.sizes if is_store else packing.size_table(graphs)
        names = graphs.names if is_store else [g.source for g in graphs]
        self.plan = None
        if batch_edges is not None:
            together = num_devices * accumulate
            self.plan = edge_packing.plan_edges(self.sizes, batch_edges, together, names)
            budget = self.plan.budgets[-1]
        planned = budget or packing.plan_sizes(self.sizes, batch_size or 1)
        packing.check_sizes(self.sizes, planned, names)
        begun = begun_devices or num_devices
        if begun != num_devices and (self.plan is not None or accumulate > 1):
            raise ValueError("steps of counted edges, or of several batches, cannot be spread anew")
        self._spread = spreading.Spread.plan(self.sizes, planned, begun, num_devices)
        self._planned, self.budget = planned, self._spread.budget
        process.own(range(num_devices))
        self.process = process
        self.cutoff, self.dtype, self.quantities = cutoff, dtype, quantities
        self.num_devices, self.prefetch, self.accumulate = num_devices, prefetch, accumulate
        self.seed, self.shuffle, self.draw = seed, shuffle, draw
        self._packed: tuple[int, list[packing.Step]] | None = None

    def steps(self, epoch: int) -> list[packing.Step]:
        """Which graphs each device gets in each step of an epoch, as indices."""
        epoch = epoch if self.shuffle else 0
        if self._packed is None or self._packed[0] != epoch:
            order = np.arange(len(self.graphs))
            if self.shuffle and self.draw is not None:
                order = self.draw(self.seed, epoch)
            elif self.shuffle:
                order = np.random.default_rng((self.seed, epoch)).permutation(len(self.graphs))
            self._packed = (epoch, self._dealt(order, epoch))
        return self._packed[1]

    def _dealt(self, order: np.ndarray, epoch: int) -> list[packing.Step]:
        if self.plan is None:
            begun = self._spread.begun
            bins = packing.pack(self.sizes, order, self._planned)
            steps = packing.group(bins, self.sizes, self._planned, begun)
            if begun == self.num_devices:
                return steps
            return [self._spread.spread(step, self.sizes) for step in steps]
        dealt = edge_packing.deal(self.sizes, order, self.plan, (self.seed, epoch, 1))
        width = self.num_devices
        return [own[i : i + width] for own in dealt for i in range(0, len(own), width)]

    @property
    def budgets(self) -> tuple[packing.Budget, ...]:
        """The shapes of batches, the largest last."""
        if self.plan is not None:
            return self.plan.budgets
        return tuple(dict.fromkeys((self.budget, self._spread.roomy)))

    def num_batches(self, epoch: int) -> int:
        """Batches in an epoch; their number varies a little between epochs if sizes vary."""
        return len(self.steps(epoch))

    def num_steps(self, epoch: int) -> int:
        """Steps of the optimizer in an epoch, the last of which may have fewer batches."""
        return -(-self.num_batches(epoch) // self.accumulate)

    def after(self, epoch: int, position: int) -> int:
        """The position after the step that begins at ``position``."""
        return min(position + self.accumulate, self.num_batches(epoch))

    def members(self, epoch: int, position: int) -> list[int]:
        """The structures of the step to which the batch at ``position`` belongs, as indices."""
        first = position - position % self.accumulate
        steps = self.steps(epoch)[first : first + self.accumulate]
        return [i for step in steps for members in step for i in members]

    def padding_waste(self, epoch: int = 0) -> packing.PaddingWaste:
        """The share of padding in an epoch."""
        steps = self.steps(epoch)
        return packing.padding_waste(self.sizes, steps, self._shapes(steps))

    def _shapes(self, steps: Sequence[packing.Step]) -> list[packing.Budget]:
        """The shape of each batch; those of one step of the optimizer share theirs."""
        if self.plan is None and len(self.budgets) == 1:
            return [self.budget] * len(steps)
        if self.plan is None:
            return [self._spread.budget_of(step, self.sizes) for step in steps]
        firsts = range(0, len(steps), self.accumulate)
        together = [steps[i : i + self.accumulate] for i in firsts]
        groups = [tuple(own for step in group for own in step) for group in together]
        shapes = self.plan.shapes(self.sizes, groups)
        return [own for own, group in zip(shapes, together, strict=True) for _ in group]

    def batches(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
        """Yields the batches of an epoch from position ``start`` on; leaves are [devices, ...].

        If several are accumulated, these come together and leaves are [devices, accumulate, ...],
        those of the last step of an epoch filled up with batches that are all padding. If there are
        several processes, each gets the share of its own devices, in order.

        Raises:
          ValueError: If the epoch has fewer than ``start`` batches.
        """
        steps = self.steps(epoch)
        if not 0 <= start <= len(steps):
            raise ValueError(
                f"epoch {epoch} has {len(steps)} batches, received position {start}; the dataset "
                "or the batch size has changed since the position was stored"
            )

        shapes, more = self._shapes(steps), self.accumulate

        def make(position: int) -> Batch:
            own = [self.process.own(step) for step in steps[position : position + more]]
            own += [[()] * len(own[0])] * (more - len(own))
            dealt = [members for device in zip(*own, strict=True) for members in device]
            bins = [[self.graphs[i] for i in members] for members in dealt]
            made = batching.collate_devices(
                bins, shapes[position], self.cutoff, self.dtype, self.quantities
            )
            if more == 1:
                return made
            return jax.tree.map(lambda leaf: leaf.reshape(-1, more, *leaf.shape[1:]), made)

        return prefetched(make, range(start, len(steps), self.accumulate), self.prefetch)


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
