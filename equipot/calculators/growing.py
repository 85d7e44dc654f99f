"""Files that grow while a simulation runs: what is whole counts, what is torn shows."""

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator

from equipot import errors, files


@contextlib.contextmanager
def appender(path: pathlib.Path) -> Iterator[Callable[[bytes], None]]:
    """Gives a function that appends a record, a frame or a line, to a new file.

    The first byte of a record is written last. One that a killed process left torn begins with a
    zero byte, which readers refuse, instead of ending in a number that lacks its last digits.

    Args:
      path: Name of the file; what stood there is replaced.

    Raises:
      DataError: If the disk does not take a record; the file then ends with the record before.
    """
    with refused(path):
        handle = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o666)
    end = 0

    def append(record: bytes) -> None:
        nonlocal end
        with refused(path):
            try:
                _write(handle, record[1:], end + 1)
                _write(handle, record[:1], end)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(handle, end)
                raise
        end += len(record)

    try:
        yield append
    finally:
        os.close(handle)


@contextlib.contextmanager
def refused(path: pathlib.Path) -> Iterator[None]:
    """Turns an error of the disk into one sentence.

    Raises:
      DataError: Instead of ``OSError``.
    """
    try:
        yield
    except OSError as error:
        raise errors.DataError(
            f"{path}: could not be written to ({files.cause(error)}); it holds what came before"
        ) from error


def _write(handle: int, data: bytes, at: int) -> None:
    """Writes all of the data; the system may take it in parts."""
    done = 0
    while done < len(data):
        done += os.pwrite(handle, data[done:], at + done)
