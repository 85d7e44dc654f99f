"""Runs each case of a benchmark in a process of its own, several of them in turn."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

_ROOT = Path(__file__).parents[2]


class Worker:
    """A process that has compiled a program and calls it when asked to.

    Attributes:
      name: What the process runs, for messages.
      facts: What it said of the program before the first call.
      seconds: The times of its calls.
    """

    def __init__(self, request: Mapping[str, Any], name: str) -> None:
        self.name = name
        self.seconds: list[float] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "scripts.benchmark.worker", json.dumps(request)],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.facts = self._answer()

    def time(self) -> None:
        """Has the program called twice, and notes the seconds of the second call."""
        self._say("time")
        self.seconds.append(self._answer()["seconds"])

    def end(self) -> dict[str, Any]:
        """Ends the process; returns what it took."""
        self._say("end")
        answer = self._answer()
        self._process.wait()
        return answer

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def _close(self) -> int:
        """Ends the process however it is; returns its code."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        if self._process.poll() is None:
            self._process.kill()
        return self._process.wait()

    def _say(self, word: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended, as its answer will show
            self._process.stdin.write(f"{word}\n")
            self._process.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._close()
            raise RuntimeError(
                f"{self.name}: expected an answer of its process, which ended with code {code};"
                " its messages stand above (code -9: the memory did not suffice)"
            )
        return json.loads(line)


def in_turn(
    workers: Sequence[Worker], rounds: int, between: Sequence[Callable[[], None]] = ()
) -> None:
    """Times every worker once per round.

    Args:
      workers: Processes that are ready.
      rounds: Number of rounds.
      between: What to do besides, one thing before each of the first rounds.
    """
    for i in range(rounds):
        if i < len(between):
            between[i]()
        for worker in workers:
            worker.time()
