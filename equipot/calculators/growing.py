"""Files that grow while a simulation runs, in which an incomplete record can be recognized."""

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator

from equipot import errors, files


@contextlib.contextmanager
def appender(path: pathlib.Path) -> Iterator[Callable[[bytes], None]]:
    """Gives a function that appends a record, a frame or a line, to a new file.

    The first byte of a record is written last. If a killed process leaves a record incomplete, the
    record begins with a zero byte, which readers refuse, instead of ending in a truncated number.

    Args:
      path: Name of the file; an existing one is replaced.

    Raises:
      DataError: If a record cannot be written; the file then ends with the previous record.
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
    """Turns a disk error into one sentence.

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
    """Writes all of the data, even if the system accepts it only in parts."""
    done = 0
    while done < len(data):
        done += os.pwrite(handle, data[done:], at + done)
