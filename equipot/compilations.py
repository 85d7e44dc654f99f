"""Counting what XLA compiles: the proof that a simulation, or a training, compiles once."""

import threading
from types import TracebackType

import jax

_EVENT = "/jax/core/compile/backend_compile_duration"


class Compilations:
    """Counts the compilations that its own thread asks for while it is entered.

    Attributes:
      by_name: ``{"jit(train_step)": 1, …}``; programs fetched from the persistent cache count too.
      seconds: What they took.
    """

    def __init__(self) -> None:
        self.by_name: dict[str, int] = {}
        self.seconds = 0.0
        self._thread = 0

    def __enter__(self) -> "Compilations":
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

    def __str__(self) -> str:
        steps = {name: count for name, count in self.by_name.items() if "_step" in name}
        own = [f"{name} {count} time(s)" for name, count in steps.items()]
        return ", ".join([*own, f"{self.count - sum(steps.values())} other programs"])

    @property
    def count(self) -> int:
        """How many there have been."""
        return sum(self.by_name.values())

    def _listen(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event == _EVENT and threading.get_ident() == self._thread:
            name = str(kwargs.get("fun_name", "unknown"))
            self.by_name[name] = self.by_name.get(name, 0) + 1
            self.seconds += duration_secs
