"""Trains from a store and tells where the time goes: stages before the first step, and waiting.

    python -m scripts.big_set /tmp/big --structures 2000000
    equipot prepare "data.train=[$(ls /tmp/big/*.npz | paste -sd,)]" data.energy_unit=eV \
        data.forces_unit=eV/Angstrom model.cutoff=4 -o big.store
    python -m scripts.big_run big.store --minutes 10

Wall time and processor time of each stage; the share of the time between steps in which the program
waits for a batch; anonymous memory of the process (RssAnon of /proc/self/status, without the pages
of the store, which the system may drop), every second.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from equipot.cli import console

_BEGAN = time.monotonic()


class Watch:
    """Times of functions, of waiting, and memory.

    Attributes:
      stages: Name, seconds on the clock, seconds of the processor, RssAnon in GB after it.
      waited: Seconds in which steps waited for batches.
      first: When the first batch was there, s after the start.
      start: The same on the clock; ``last`` that of the last batch.
      steps: Batches that were taken.
      most: Largest RssAnon, GB.
    """

    def __init__(self) -> None:
        self.stages: list[tuple[str, float, float, float]] = []
        self.waited, self.steps, self.most = 0.0, 0, 0.0
        self.first = self.start = self.last = 0.0
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while True:
            self.most = max(self.most, anonymous())
            time.sleep(1.0)

    def timed(self, owner: Any, name: str) -> None:
        """Times every call of a function of a module."""
        function = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            wall, own = time.monotonic(), time.process_time()
            result = function(*arguments, **options)
            spent = time.monotonic() - wall, time.process_time() - own
            self.stages.append((name, *spent, anonymous()))
            return result

        setattr(owner, name, call)

    def waiting(self, owner: Any) -> None:
        """Times how long each batch is waited for."""
        function: Callable[..., Generator[Any, None, None]] = owner.prefetched

        def prefetched(make: Any, items: Sequence[int], depth: int) -> Generator[Any, None, None]:
            batches = function(make, items, depth)
            try:
                while True:
                    began = time.monotonic()
                    batch = next(batches, None)
                    now = time.monotonic()
                    if batch is None:
                        return
                    if not self.first:
                        self.first, self.waited = now - _BEGAN, 0.0
                        self.start = now
                    else:
                        self.waited += now - began
                    self.steps, self.last = self.steps + 1, now
                    yield batch
            finally:
                batches.close()

        owner.prefetched = prefetched


def anonymous() -> float:
    """RssAnon of this process in GB."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1e6
    return float("nan")


def main() -> None:
    """Reads the command line, trains, prints what was seen."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--cutoff", type=float, default=4.0)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument(
        "--held-out", type=int, default=1000, help="for validation, and as many for the test"
    )
    arguments = parser.parse_args()
    console.prepare_process()
    from equipot.graphs import loader
    from equipot.training import centering, config, fitting, preparation

    imported = time.monotonic() - _BEGAN
    watch = Watch()
    watch.timed(fitting.datasets, "read_dataset")
    watch.timed(fitting.audit, "audit")
    watch.timed(preparation.starting_point, "find")
    watch.timed(preparation, "_potential")
    watch.timed(fitting.preparation, "prepare")
    watch.timed(centering, "centered")
    watch.timed(fitting.finishing, "finish")
    watch.waiting(loader)
    held_out = arguments.held_out
    model = {"name": "nequip", "cutoff": arguments.cutoff, "num_layers": 2, "lmax": 1}
    with tempfile.TemporaryDirectory() as folder:
        settings = config.train_config(
            {
                "run_dir": f"{folder}/run",
                "data": {"train": arguments.store, "num_valid": held_out, "num_test": held_out},
                "model": {**model, "num_channels": arguments.channels},
                "trainer": {
                    "minutes": arguments.minutes,
                    "batch_size": arguments.batch_size,
                    "num_devices": 1,
                },
            }
        )
        run = fitting.fit(settings)
        print((run / "errors.txt").read_text())
    print(f"imports: {imported:.1f} s; first batch {watch.first:.1f} s after the start")
    for name, wall, own, memory in watch.stages:
        print(f"{name:14} {wall:8.2f} s  {own:8.2f} s of processor  {memory:5.2f} GB after it")
    total = watch.last - watch.start
    print(
        f"{watch.steps} batches in {total:.0f} s, waited for {watch.waited:.2f} s of it"
        f" ({watch.waited / total:.2%}); most RssAnon {watch.most:.2f} GB"
    )


if __name__ == "__main__":
    main()
