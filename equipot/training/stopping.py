"""Signals that ask a run to stop: they are remembered during steps, and obeyed at once elsewhere.

Python runs the handler of a signal in the main thread, between two instructions, which are minutes
apart while XLA compiles there. A thread of the command therefore reads the numbers of signals from
a pipe that they are written to at once, and ends the process when the main thread does not. This
loses nothing but work since the last checkpoint: files are written whole or not at all.
"""

import contextlib
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

from equipot import errors

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
GRACE = 6.0  # seconds that the main thread has to end a step, or to end at all
AGREEING = 20.0  # seconds it has where it ends a step that other processes take part in
SAVING = 60.0  # seconds it has once it writes a checkpoint: a large one on a slow disk
_OUTPUTS = (1, 2)  # stdout and stderr
_SHOW_CURSOR = "\x1b[?25h"  # which a progress bar hides


class Stop:
    """While entered, notes the signals that ask the run to stop, in the main thread only.

    The first raises ``StoppedError`` where it arrives, except inside ``between_steps``. After
    SIGINT, another SIGINT ends at once. Signals already ignored stay ignored: SIGHUP under nohup,
    SIGINT in the background of a script. Of several processes any may be asked to stop.

    Attributes:
      received: Name of the signal; empty if there was none.
    """

    def __init__(self, watch: bool = False) -> None:
        """Does nothing yet.

        Args:
          watch: Whether to end the process when the main thread does not react; for programs that
            do nothing else.
        """
        self.received = ""
        self._watch, self._watcher = watch, None
        self._remembers = False
        self._before: dict[int, Any] = {}
        self._terminals: list[int] = []

    def __enter__(self) -> "Stop":
        if threading.current_thread() is not threading.main_thread():  # Python allows no other
            return self
        self._terminals = [handle for handle in _OUTPUTS if os.isatty(handle)]
        if self._watch:
            self._watcher = _Watcher(show_cursor=bool(self._terminals))
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._watcher is not None and not self.received:  # else until the process has ended
            self._watcher.close()

    @contextlib.contextmanager
    def between_steps(self) -> Iterator[None]:
        """While entered, a signal is only remembered; the code that takes steps checks for it.

        Raises:
          StoppedError: When it is entered or left, if there was a signal.
        """
        self._check()
        self._remembers = True
        try:
            yield
        finally:
            self._remembers = False
        self._check()

    def saves(self) -> None:
        """Grants time for a checkpoint that is written because of the signal."""
        if self._watcher is not None:
            self._watcher.patience = SAVING

    def agrees(self) -> None:
        """Grants time in which several processes end the same step."""
        if self._watcher is not None:
            self._watcher.patience = max(self._watcher.patience, AGREEING)

    def _check(self) -> None:
        if self.received:
            raise errors.StoppedError(_sentence(self.received))

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            signal.signal(number, signal.default_int_handler)
        if number == signal.SIGHUP:
            self._leave_terminal()
        first, self.received = not self.received, signal.Signals(number).name
        if first and not self._remembers:
            self._check()

    def _leave_terminal(self) -> None:
        """Writes nowhere instead of to a terminal that was closed, which is an error."""
        for handle in self._terminals:
            if not os.isatty(handle):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, handle)
                os.close(nowhere)


class _Watcher:
    """A thread that learns of signals at once and ends the process when time runs out.

    Attributes:
      patience: Seconds from the first signal to the end.
    """

    def __init__(self, show_cursor: bool) -> None:
        self.patience = GRACE
        self._show_cursor = show_cursor
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._wait, name="signals", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Watches no longer."""
        signal.set_wakeup_fd(self._before)
        self._writer.close()
        self._thread.join()
        self._reader.close()

    def _wait(self) -> None:
        number = 0
        while number not in SIGNALS:
            received = self._next(None)
            if not received:
                return
            number = received[0]
        began, interrupts = time.monotonic(), int(number == signal.SIGINT)
        while (left := began + self.patience - time.monotonic()) > 0 and interrupts < 2:
            with contextlib.suppress(TimeoutError):
                received = self._next(min(left, 1.0))
                if not received:
                    return
                interrupts += received[0] == signal.SIGINT
        self._end(number)

    def _next(self, seconds: float | None) -> bytes:
        """The number of the next signal as a byte; none when nobody is watched any more."""
        self._reader.settimeout(seconds)
        return self._reader.recv(1)

    def _end(self, number: int) -> None:
        cursor = _SHOW_CURSOR if self._show_cursor else ""
        text = f"{cursor}equipot-train: {_sentence(signal.Signals(number).name)}\n"
        with contextlib.suppress(OSError):
            if select.select([], [2], [], 0.5)[1]:  # a reader that has stopped keeps nobody here
                os.write(2, text.encode())
        os._exit(128 + number)


def _sentence(name: str) -> str:
    return f"stopped by {name}; give the same command to go on from the last checkpoint"
