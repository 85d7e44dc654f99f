"""Counting what XLA compiles: the proof that a simulation compiles once."""

import threading
from types import TracebackType

import jax

_EVENT = "/jax/core/compile/backend_compile_duration"


class CompilationCounter:
    """Counts the compilations that its own thread asks for while it is entered.

    Attributes:
      count: How many there have been; programs fetched from the persistent cache are counted too.
    """

    def __init__(self) -> None:
        self.count = 0
        self._thread = 0

    def __enter__(self) -> "CompilationCounter":
        self._thread = threading.get_ident()
        jax.monitoring.register_event_duration_secs_listener(self._listen)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        jax.monitoring.unregister_event_duration_listener(self._listen)

    def _listen(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event == _EVENT and threading.get_ident() == self._thread:
            self.count += 1
