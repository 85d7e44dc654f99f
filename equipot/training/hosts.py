"""The processes of one run: they find each other, agree, and end together.

jax connects them and carries their sums. What the first process finds in the run folder it tells
the others, so that they need not see that folder; what they must have in common is compared.
"""

import atexit
import collections
import contextlib
import ctypes
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from equipot import errors
from equipot.process import ALONE, Process
from equipot.training import launcher, sharding, time_limit, watching
from equipot.training.config import TrainerConfig
from equipot.typing import PyTree

JOINING = 300  # seconds in which all have to start
_HEARTBEAT = 100  # seconds without a sign of life until jax ends the others: the last resort
_CLOSING = 30  # seconds in which all have to end
_ASK_EVERY = 0.2  # seconds between two questions whether any process was asked to stop, about
_TIME_IS_UP = 75  # the exit code for queueing again
_MOST_STEPS = 1000  # between two such questions


class StoppedTogetherError(errors.StoppedError):
    """All processes have stopped after the same step, with a checkpoint: the first says it."""


class TimeUpTogetherError(StoppedTogetherError, errors.TimeUpError):
    """The same, since time is up for one of them."""


_OF_ALL = (StoppedTogetherError, errors.NonFiniteError, errors.MemoryLimitError)
"""What all processes raise at the same step; the first has more to write, and says it."""


@contextlib.contextmanager
def joined(trainer: TrainerConfig) -> Iterator[Process]:
    """While entered, this process is one of those of its run, if there are several.

    To be entered before jax looks for devices. When one process fails, the others end too, with a
    sentence that says which; none leaves normally before the first does.

    Args:
      trainer: The settings.

    Raises:
      ConfigError: If it remains unsaid which processes there are.
      HostError: If they do not find each other, or another one has ended.
    """
    launch = launcher.find(trainer, os.environ)
    if launch is None:
        yield ALONE
        return
    try:
        process, watch = _join(launch)
    except errors.EquipotError:
        atexit.register(_leave_at_once, watching.FAILED)
        raise
    try:
        yield process
        if process.is_first:
            watch.leave(0)
        else:
            _end_as_the_first(watch)
    except BaseException as failure:
        ending = _after(failure, watch)
        if ending is failure:
            raise
        raise ending from None
    watch.close()
    jax.distributed.shutdown()


def _end_as_the_first(watch: watching.Watch) -> None:
    """Waits for what the first process still does alone; it says itself what goes wrong there."""
    ending = watch.wait_for_first()
    if ending.code and not ending.says:
        raise errors.HostError(ending.sentence(watch.process.count))
    if ending.code:
        raise SystemExit(ending.code)


def _after(failure: BaseException, watch: watching.Watch) -> BaseException:
    """What this process says of a failure, having told the others."""
    process = watch.process
    if isinstance(failure, _OF_ALL) and not process.is_first:
        try:
            _end_as_the_first(watch)
        except (errors.HostError, SystemExit) as ending:
            failure = ending
    is_own = isinstance(failure, errors.EquipotError | SystemExit | KeyboardInterrupt)
    other = watch.ending if is_own else watch.explain()
    if other is not None and not isinstance(failure, SystemExit):
        stops = {_code(kind()): kind for kind in (errors.StoppedError, errors.TimeUpError)}
        kind = stops.get(other.code, errors.HostError)
        failure = kind(other.sentence(process.count))
    code = _code(failure)
    atexit.register(_leave_at_once, code)  # jax would wait for processes that do not come any more
    watch.leave(code, " ".join(str(failure).split()) or type(failure).__name__)
    return failure


def _code(failure: BaseException) -> int:
    """The exit code of a command that ends with this."""
    if isinstance(failure, SystemExit):
        return failure.code if isinstance(failure.code, int) else 1
    if isinstance(failure, errors.TimeUpError):
        return _TIME_IS_UP
    if isinstance(failure, errors.StoppedError | KeyboardInterrupt):
        return 128 + signal.SIGINT
    return watching.FAILED if isinstance(failure, errors.EquipotError) else 1


def _leave_at_once(code: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _join(launch: launcher.Launch) -> tuple[Process, watching.Watch]:
    """Connects this process to the others, by jax and by our own watch."""
    devices = None if "JAX_LOCAL_DEVICE_IDS" in os.environ else []
    # Else jax takes SIGTERM for itself, as a notice that the machine will be gone.
    jax.config.update("jax_enable_preemption_service", False)
    where = launch.coordinator or f"the place that {launch.method} says"
    missing = (
        f"expected {launch.count} hosts at {where} within {JOINING:g} s, not all came; start the"
        " same command on all of them, each with its own number, where they reach the first one"
    )
    # jax itself would abort the process.
    late = threading.Timer(JOINING, watching.end, (missing, watching.FAILED))
    late.start()
    try:
        jax.distributed.initialize(
            launch.coordinator,
            launch.count,
            launch.index,
            local_device_ids=devices if launch.takes_all_devices else None,
            cluster_detection_method=launch.method,
            initialization_timeout=2 * JOINING,
            heartbeat_timeout_seconds=_HEARTBEAT,
            shutdown_timeout_seconds=_CLOSING,
        )
    except (RuntimeError, ValueError, OSError) as failure:
        raise errors.HostError(f"{missing} ({errors.brief(failure)})") from failure
    finally:
        late.cancel()
    process = Process(jax.process_index(), jax.process_count())
    counts = collections.Counter(device.process_index for device in jax.devices())
    if len({*counts.values()}) > 1:
        numbers = ", ".join(str(counts[host]) for host in range(process.count))
        raise errors.ConfigError(
            f"expected as many devices on every host, found {numbers}; hide some, as with"
            " CUDA_VISIBLE_DEVICES, or start more processes where there are more"
        )
    with _quiet():
        return process, _watch(process, launch)


def _watch(process: Process, launch: launcher.Launch) -> watching.Watch:
    server, place = watching.listen() if process.is_first else (None, {})
    place = told(process, lambda: place)
    if server is not None:
        return watching.Watch(process, watching.accept(server, place["word"], process.count))
    names = [launch.coordinator.rpartition(":")[0].strip("[]")] if launch.coordinator else []
    return watching.Watch(process, [watching.connect(place, names, process.index)])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drops what gloo prints when it connects processes."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # nobody listens
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        ctypes.CDLL(None).fflush(None)
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def connect(process: Process, mesh: Mesh) -> None:
    """Connects the devices of a mesh with a first sum over them.

    Args:
      process: Which process this is.
      mesh: The devices of all.
    """
    if process.count > 1:
        zeros = np.zeros(len(mesh.local_devices), np.int32)
        total = jax.jit(jnp.sum, out_shardings=sharding.everywhere(mesh))
        with _quiet():
            jax.block_until_ready(total(sharding.shard(zeros, mesh)))


def told(process: Process, find: Callable[[], Any]) -> Any:
    """What the first process finds, in all of them.

    Args:
      process: Which process this is.
      find: Returns a tree of JSON; called in the first process alone.
    """
    if process.count == 1:
        return find()
    text = json.dumps(find()).encode() if process.is_first else b""
    size = multihost_utils.broadcast_one_to_all(np.asarray(len(text), np.int32))
    sent = np.zeros(int(size), np.uint8)
    sent[: len(text)] = np.frombuffer(text, np.uint8)
    return json.loads(multihost_utils.broadcast_one_to_all(sent).tobytes())


def given(process: Process, tree: PyTree) -> PyTree:
    """The arrays of the first process, to the bit, as NumPy arrays in all of them.

    Args:
      process: Which process this is.
      tree: Arrays, of the same shapes and types in all processes.
    """
    if process.count == 1:
        return tree
    leaves, structure = jax.tree.flatten(jax.tree.map(np.asarray, tree))
    joined_up = np.frombuffer(b"".join(leaf.tobytes() for leaf in leaves), np.uint8)
    found, start, own = multihost_utils.broadcast_one_to_all(joined_up).tobytes(), 0, []
    for leaf in leaves:
        piece = found[start : start + leaf.nbytes]
        own.append(np.frombuffer(piece, leaf.dtype).reshape(leaf.shape).copy())
        start += leaf.nbytes
    return jax.tree.unflatten(structure, own)


class StopVote:
    """Whether any process was asked to stop, known to all of them after the same step.

    Of a run of one process the answer is its own. Several ask about five times a second and go on
    with their steps meanwhile: an answer is read when the next question is due, so that no process
    waits for it. How many steps lie between two questions is part of the answer.
    """

    def __init__(self, process: Process, mesh: Mesh, step: int) -> None:
        """Asks nothing yet.

        Args:
          process: Which process this is.
          mesh: The devices of all.
          step: The step after which the run goes on.
        """
        self._process, self._mesh = process, mesh
        self._due, self._asked = step + 1, (time.monotonic(), step)
        self._answer: Any = None
        self._combine = jax.jit(
            lambda votes: jnp.max(votes, axis=0), out_shardings=sharding.everywhere(mesh)
        )

    def after(self, step: int, received: str) -> str:
        """What stops all processes after this step, and where; empty to go on.

        Args:
          step: The step just taken.
          received: Name of the signal that this process has received, or of the limit of time that
            it has reached; empty if none.
        """
        if self._process.count == 1:
            return received
        if step < self._due:
            return ""
        number, between = (0, 1) if self._answer is None else np.asarray(self._answer).tolist()
        if number:
            return _where(number)
        now, (before, last) = time.monotonic(), self._asked
        pace = (now - before) / max(step - last, 1)
        # The largest negative number is that of the slowest process.
        self._ask(received, -int(np.clip(_ASK_EVERY / max(pace, 1e-9), 1, _MOST_STEPS)))
        self._asked, self._due = (now, step), step + abs(between)
        return ""

    def at_end(self, received: str) -> str:
        """As ``after``, behind the last step; waits for the answer of all.

        Args:
          received: As there.
        """
        if self._process.count == 1:
            return ""  # what the end of the steps does with a signal is right for one
        self._ask(received, -1)
        return _where(int(np.asarray(self._answer)[0]))

    def _ask(self, received: str, between: int) -> None:
        own = _HOSTS_FROM * self._process.index + _number(received) if received else 0
        votes = np.tile(np.asarray([own, between], np.int32), (len(self._mesh.local_devices), 1))
        self._answer = self._combine(sharding.shard(votes, self._mesh))


_HOSTS_FROM = 256  # numbers of signals are smaller
_LIMITS_FROM = 128  # and smaller than this, too


def _number(received: str) -> int:
    """A signal or a limit of time as a number."""
    if received in time_limit.LIMITS:
        return _LIMITS_FROM + time_limit.LIMITS.index(received)
    return int(signal.Signals[received])


def _where(vote: int) -> str:
    """What stops the run, and at which host; empty for 0."""
    if not vote:
        return ""
    host, number = divmod(vote, _HOSTS_FROM)
    is_limit = number >= _LIMITS_FROM
    name = time_limit.LIMITS[number - _LIMITS_FROM] if is_limit else signal.Signals(number).name
    return f"{name} at host {host}"
