"""Folders written whole or not at all: beside their place under another name, then renamed.

A writer holds a lock in its draft for as long as it lives. Drafts that nobody holds are those of
writers that were killed; the next writer of the same folder removes them.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from equipot import errors, files

_LOCK = ".lock"


@contextlib.contextmanager
def whole(target: Path) -> Iterator[Path]:
    """Gives a folder to write to; it becomes the target when the block ends well.

    Args:
      target: Must not be there. If another writer has made it meanwhile, that one stays.

    Raises:
      DataError: If the disk does not take it; nothing is left then.
    """
    prefix = f".{target.name}.draft-"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(target.parent, prefix)
        draft = target.with_name(f"{prefix}{secrets.token_hex(8)}")
        draft.mkdir()
        with (draft / _LOCK).open("w") as lock:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield draft
                _become(draft, target)
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
    except OSError as error:
        raise errors.DataError(
            f"{target}: could not be written ({files.cause(error)}); nothing is left of it"
        ) from error


@contextlib.contextmanager
def turn(target: Path) -> Iterator[None]:
    """Waits until no other process makes the same folder, and keeps others out meanwhile."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f".{target.name}.lock").open("w") as lock:
        with contextlib.suppress(OSError):  # a file system without locks: the later one gives way
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _become(draft: Path, target: Path) -> None:
    _sync(draft)
    try:
        os.rename(draft, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        shutil.rmtree(draft, ignore_errors=True)
    with contextlib.suppress(OSError):
        (target / _LOCK).unlink()
    _sync(target.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_stale(folder: Path, prefix: str) -> None:
    """Removes drafts of writers that were killed."""
    for draft in folder.glob(f"{prefix}*"):
        with contextlib.suppress(OSError), (draft / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(draft, ignore_errors=True)
