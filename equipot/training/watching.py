"""Processes of one run that watch each other: where one ends, the others end with its sentence.

Each holds a connection to the first, on which both show every few seconds that they are there. One
that ends says so, with its sentence and its exit code; one that is killed cannot, but then the
system closes its connection; one that hangs, or whose machine is gone, is missed after a while.
Without this a process would wait forever for one that has ended: in a step, for its gradients.
"""

import contextlib
import dataclasses
import json
import os
import socket
import threading
from collections.abc import Sequence
from typing import Any

from equipot import errors
from equipot.process import Process

FAILED = 2  # exit code, as of commands
GRACE = 5.0  # seconds that the first process has to end by itself when another one has
_SHORT_GRACE = 0.5  # seconds that another one has where one said that it ends
MEETING = 60.0  # seconds in which the others connect to the first
BEAT = 5.0  # seconds between two signs of life
SILENCE = 40.0  # seconds without any after which a process is missed; Python may be busy for some


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a process ended.

    Attributes:
      host: Its number.
      code: Its exit code; 0 where its work is done.
      says: Its sentence; empty for one that was killed.
    """

    host: int
    code: int = FAILED
    says: str = ""

    def sentence(self, count: int) -> str:
        """For the other processes.

        Args:
          count: How many there are.
        """
        if self.says:
            return f"host {self.host} of {count} has ended: {self.says}"
        return (
            f"host {self.host} of {count} is gone without a word: it was killed, ran out of"
            " memory, hangs, or cannot be reached any more; give the same command on all hosts to"
            " go on from the last checkpoint"
        )


class Watch:
    """The connections of this process; a thread listens to each.

    Attributes:
      process: Which process this is.
      ending: How another one ended before its work was done, the first of which was heard.
    """

    def __init__(self, process: Process, connections: Sequence[socket.socket]) -> None:
        """Begins to listen.

        Args:
          process: Which process this is.
          connections: For the first to all others, in order; for the others to the first.
        """
        self.process = process
        self.ending: Ending | None = None
        self._first_ended: Ending | None = None
        self._leaving = self._is_done = False
        self._changed, self._sending = threading.Condition(), threading.Lock()
        peers = range(1, process.count) if process.is_first else (0,)
        self._peers = dict(zip(peers, connections, strict=True))
        self._open = {*self._peers}
        for host, connection in self._peers.items():
            work = threading.Thread(
                target=self._listen, args=(host, connection), name=f"host {host}", daemon=True
            )
            work.start()
        threading.Thread(target=self._beat, name="beat", daemon=True).start()

    def wait_for_first(self) -> Ending:
        """Waits until the first process has ended, and says how; for the others."""
        with self._changed:
            self._is_done = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._first_ended is not None or not self._open)
            return self._first_ended or Ending(0)

    def explain(self, seconds: float = 3.0) -> Ending | None:
        """How another process ended, where that may be why something failed in this one.

        Args:
          seconds: How long to wait for the news.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.ending is not None, seconds)
            return self.ending

    def leave(self, code: int, says: str = "") -> None:
        """Tells the others that this process ends; the first then lets them go before itself.

        Args:
          code: Exit code.
          says: Sentence for the others.
        """
        with self._changed:
            self._leaving = True
            self._changed.notify_all()
        for host in self._peers:
            self._tell(host, Ending(self.process.index, code, says))
        if self.process.is_first:
            with self._changed:
                self._changed.wait_for(lambda: not self._open, GRACE)

    def close(self) -> None:
        """Closes the connections."""
        with self._changed:
            self._leaving = True
            self._changed.notify_all()
        for connection in self._peers.values():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _tell(self, host: int, ending: Ending) -> None:
        self._send(host, json.dumps(dataclasses.asdict(ending)))

    def _send(self, host: int, words: str) -> None:
        with contextlib.suppress(OSError), self._sending:
            self._peers[host].sendall(f"{words}\n".encode())

    def _beat(self) -> None:
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._leaving, BEAT):
                    return
            for host in self._peers:
                self._send(host, "")

    def _listen(self, host: int, connection: socket.socket) -> None:
        last: Ending | None = None
        with contextlib.suppress(OSError, ValueError, TypeError):
            connection.settimeout(SILENCE)
            with connection.makefile("r", encoding="utf-8") as lines:
                for line in filter(str.strip, lines):
                    last = Ending(**json.loads(line))
                    self._hear(last)
        with self._changed:
            self._open.discard(host)
            self._changed.notify_all()
        if last is None:
            self._hear(Ending(host))

    def _hear(self, ending: Ending) -> None:
        """Ends this process, unless its main thread does so or has nothing left to do."""
        with self._changed:
            if ending.host == 0:
                self._first_ended = ending
            if self.ending is None and ending.code and not self._leaving:
                self.ending = ending
            self._changed.notify_all()
            known = self.ending
        if known is not ending:
            return
        for host in self._peers:
            if self.process.is_first and host != ending.host:
                self._tell(host, ending)
        # The others have nothing to finish, and jax would soon end them where the first is killed.
        grace = GRACE if self.process.is_first else _SHORT_GRACE if ending.says else 0.0
        with self._changed:
            if self._changed.wait_for(lambda: self._leaving or self._is_done, grace):
                return
        end(ending.sentence(self.process.count), ending.code)


def end(sentence: str, code: int) -> None:
    """Ends this process at once, with a sentence.

    Args:
      sentence: For the user.
      code: Exit code.
    """
    with contextlib.suppress(OSError):
        os.write(2, f"equipot-train: {sentence}\n".encode())
    os._exit(code)


def listen() -> tuple[socket.socket, dict[str, Any]]:
    """A socket of the first process, and what the others need to know to find it."""
    if socket.has_dualstack_ipv6():
        server = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    else:
        server = socket.create_server(("", 0))
    place = {"host": socket.gethostname(), "port": server.getsockname()[1]}
    return server, {**place, "word": os.urandom(16).hex()}


def accept(server: socket.socket, word: str, count: int) -> list[socket.socket]:
    """The connections of all other processes, in order.

    Raises:
      HostError: If one does not come.
    """
    found: dict[int, socket.socket] = {}
    server.settimeout(MEETING)
    with server:
        while len(found) < count - 1:
            try:
                connection, _ = server.accept()
                connection.settimeout(MEETING)
                said, _, index = _first_line(connection).partition(" ")
            except OSError as failure:
                missing = sorted(set(range(1, count)) - found.keys())
                raise errors.HostError(
                    f"expected a connection from host {missing[0]} of {count}, received none in"
                    f" {MEETING:g} s ({failure}); the hosts of a run have to reach each other"
                ) from failure
            if said == word and index.isdecimal():
                found[int(index)] = connection
            else:
                connection.close()  # a stranger
    return [found[index] for index in sorted(found)]


def connect(place: dict[str, Any], names: Sequence[str], index: int) -> socket.socket:
    """The connection of another process to the first.

    Args:
      place: As ``listen`` gave it to the first process.
      names: Further names of its machine, which are tried first.
      index: Which process this is.

    Raises:
      HostError: If the first cannot be reached.
    """
    failures = []
    for name in dict.fromkeys((*names, place["host"])):
        try:
            connection = socket.create_connection((name, place["port"]), timeout=MEETING / 4)
            connection.sendall(f"{place['word']} {index}\n".encode())
            return connection
        except OSError as failure:
            failures.append(f"{name}: {failure.strerror or failure}")
    raise errors.HostError(
        f"host {index} cannot reach the first host on port {place['port']} ({'; '.join(failures)});"
        " the hosts of a run have to reach each other on all ports"
    )


def _first_line(connection: socket.socket) -> str:
    """What a process says of itself, at most so many bytes."""
    text = b""
    while not text.endswith(b"\n") and len(text) < 100:
        byte = connection.recv(1)
        if not byte:
            break
        text += byte
    return text.decode("ascii", "replace").strip()
