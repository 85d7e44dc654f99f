"""Runs a script that times a torch program, with tensors on the GPU and clocks that wait for it.

    python -m scripts.peers.on_gpu peer_mace_torch.py --ch 64 --L 1

The script is one that was written for the processor and reads `time.perf_counter`.
"""

import runpy
import sys
import time

import torch  # pyright: ignore[reportMissingImports]
from torch.utils.data import dataloader  # pyright: ignore[reportMissingImports]

_clock = time.perf_counter


def synchronized_clock() -> float:
    """Seconds, once everything that was asked of the GPU is done."""
    torch.cuda.synchronize()
    return _clock()


def draw_seeds_on_the_processor() -> None:
    """Loaders draw a seed with a generator of the processor; the tensor for it is to be there."""
    begin = dataloader._BaseDataLoaderIter.__init__

    def begin_there(self: dataloader._BaseDataLoaderIter, loader: dataloader.DataLoader) -> None:
        with torch.device("cpu"):
            begin(self, loader)

    dataloader._BaseDataLoaderIter.__init__ = begin_there  # type: ignore[method-assign]


if __name__ == "__main__":
    torch.set_default_device("cuda")
    draw_seeds_on_the_processor()
    time.perf_counter = synchronized_clock
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
