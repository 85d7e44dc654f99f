"""Silences Orbax and TensorStore: their log lines, and what they leave undone on failure."""

import contextlib
import functools
import gc
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any

_LOGGERS = ("absl", "asyncio", "concurrent.futures")
_LEFT_UNDONE = ("never retrieved", "exception calling callback")


class Quiet(logging.Filter):
    """Hides Orbax's own log lines: failures are raised, once, as a sentence."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is shown."""
        undone = any(words in record.getMessage() for words in _LEFT_UNDONE)
        return "orbax" not in record.pathname and not undone

    def enter(self) -> None:
        """Begins to filter."""
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self)

    def leave(self) -> None:
        """Stops filtering."""
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self)


@contextlib.contextmanager
def new_alone() -> Iterator[None]:
    """Lets the garbage collector see new objects alone: all of a large process take seconds."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def collect_quietly() -> None:
    """Clears away what Orbax was still reading when one part failed, which complains of it."""
    _ignore_closed_loops()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        gc.collect()


@functools.cache
def _ignore_closed_loops() -> None:
    """From now on: threads of TensorStore call, at any time, into a loop that Orbax has closed."""
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            before(unraisable)

    sys.unraisablehook = hook
