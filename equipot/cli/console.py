"""What commands have in common: errors as one sentence, compiled programs kept between runs."""

import contextlib
import ctypes
import gc
import hashlib
import os
import platform
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from equipot import errors, files
from equipot.cli import compile_cache
from equipot.data import paths

TRAIN = "equipot-train"
WRONG_INPUT = 2
INTERRUPTED = 130
TIME_IS_UP = 75  # what sysexits.h calls a failure for now: try again

# Settings of jax, which it reads from the environment when it is imported.
_OF_JAX = {
    compile_cache.FOLDER_VARIABLE: str,
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": float,
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": int,
}
# Parameters of glibc's mallopt, from its malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8


@contextlib.contextmanager
def clean_errors(program: str) -> Iterator[None]:
    """Turns an ``EquipotError`` into one sentence on stderr, without a traceback.

    A file that the system refuses is handled in the same way. The exit code is 2, 130 for a run
    that was asked to stop, or 75 for one whose time is up.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the output, such as head, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.filename is None:
            raise  # its own message does not say where
        reason = files.cause(error)
        print(f"{program}: {error.filename}: cannot be used ({reason})", file=sys.stderr)
        raise SystemExit(WRONG_INPUT) from None
    except errors.EquipotError as error:
        print(f"{program}: {error}", file=sys.stderr)
        raise SystemExit(exit_code(error)) from None
    except KeyboardInterrupt:
        print(f"\n{program}: interrupted", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


@contextlib.contextmanager
def obeying_signals() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP end the command with a ``StoppedError``, as SIGINT does by itself.

    One that is ignored stays so: SIGHUP under nohup. Threads but the main one cannot ask for it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: FrameType | None) -> None:
        raise errors.StoppedError(f"stopped by {signal.Signals(number).name}")

    asked = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in asked}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code(error: errors.EquipotError) -> int:
    """The code with which a command ends because of an error."""
    if isinstance(error, errors.TimeUpError):
        return TIME_IS_UP
    return INTERRUPTED if isinstance(error, errors.StoppedError) else WRONG_INPUT


def setup() -> None:
    """Prepares a Python program as the commands prepare themselves: ``equipot.setup()``.

    What is compiled is kept for the next start, XLA logs errors alone, and on Linux freed memory
    stays with the process. Best called first: once jax is imported its logs stay as they are.
    """
    prepare_process()
    if "jax" not in sys.modules:
        return
    import jax

    for name, kind in _OF_JAX.items():
        jax.config.update(name.lower(), kind(os.environ[name]))


def prepare_process() -> None:
    """Prepares this process for long work in jax; must be called before jax is imported."""
    _keep_compiled_programs()
    keep_memory()
    collect_less_garbage()


def keep_memory() -> None:
    """Makes glibc keep freed memory for the next step, instead of returning it to the system.

    Each step of a program on the CPU requests one large buffer. Fetching its pages anew every time
    took a third of the training time. Other C libraries are left unchanged.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_ARENA_MAX, 1)):
            mallopt(parameter, value)


def collect_less_garbage() -> None:
    """Makes Python search for cyclic garbage less often.

    jax traces a model into a million objects that remain in memory. Searching them again and again
    took half of the time before a training step was passed to the compiler.
    """
    gc.set_threshold(50_000, 20, 50)


def _keep_compiled_programs() -> None:
    """Keeps the programs that jax compiles in the user's cache folder.

    Settings from the environment (``JAX_COMPILATION_CACHE_DIR`` …) are respected.
    """
    folder = paths.cache_folder() / "jax" / _processor()
    os.environ.setdefault(compile_cache.FOLDER_VARIABLE, str(folder))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    # Without it, each program from the cache comes with a page on what this processor prefers.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    compile_cache.replace_torn_entries()


def _processor() -> str:
    """A short name for the instruction set of this processor.

    Programs are compiled for it, and the folder may be shared with computers that lack some of it.
    """
    text = f"{platform.machine()} {platform.processor()}"
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        text += "".join(line for line in lines if line.startswith(("flags", "Features")))[:4096]
    return hashlib.sha256(text.encode()).hexdigest()[:12]
