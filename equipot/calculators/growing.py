"""Files that grow while a simulation runs, in which an incomplete record can be recognized."""

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator

from equipot import errors, files


@contextlib.contextmanager
def appender(path: pathlib.Path, kept: int = 0) -> Iterator[Callable[[bytes], int]]:
    """Gives a function that appends a record, a frame or a line, and returns the file's size.

    The first byte of a record is written last. If a killed process leaves a record incomplete, the
    record begins with a zero byte, which readers refuse, instead of ending in a truncated number.

    Args:
      path: Name of the file.
      kept: Bytes of an existing file that stay; what follows them is removed.

    Raises:
      DataError: If a record cannot be written; the file then ends with the previous record. Also if
        the file is shorter than what is to stay.
    """
    with refused(path):
        handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666)
        try:
            check_kept(path, os.fstat(handle).st_size, kept)
        except errors.DataError:
            os.close(handle)
            raise
        os.ftruncate(handle, kept)
    end = kept

    def append(record: bytes) -> int:
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
        return end

    try:
        yield append
    finally:
        os.close(handle)


def check_kept(path: pathlib.Path, size: int, kept: int) -> None:
    """Refuses a file that lost what was written before.

    Args:
      path: Its name, for the message.
      size: Bytes that it has.
      kept: Bytes that it had.

    Raises:
      DataError: If it has fewer.
    """
    if size < kept:
        raise errors.DataError(
            f"{path}: expected the {kept} bytes that were written before, received {size}: it"
            " was changed or removed since; begin again with --overwrite"
        )


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
