"""Files written whole or not at all: under another name beside their place, then renamed.

Who reads a file sees the old contents or the new, whenever the writer is killed or the disk is
full. A writer holds a lock on its draft for as long as it lives; drafts that nobody holds are those
of writers that were killed, and the next writer in that folder removes them.
"""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from equipot import errors

_PREFIX = ".draft-"
_DRAFT = re.compile(r"\.draft-[0-9a-f]{16}.{0,20}", re.DOTALL)  # not somebody else's file
_LONGEST_SUFFIX = 20  # characters; writers choose a format by the end of the name
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of the system's errors that say that there is no room."""


@contextlib.contextmanager
def whole(path: str | Path, refuse: type[errors.EquipotError] = errors.DataError) -> Iterator[Path]:
    """Gives the name of a draft to write to; it becomes the file when the block ends well.

    Folders are made as needed. A link stays a link, and its target is replaced. What is no regular
    file, ``/dev/stdout`` say, is given as it is, for it cannot be replaced.

    Args:
      path: Name of the file; what stood there is replaced. The draft has the same ending.
      refuse: What to raise where the file cannot be written.

    Raises:
      EquipotError: Of the given kind, if the disk does not take the file; what stood there before
        stays, and nothing is left beside it.
    """
    given, target = Path(path), Path(os.path.realpath(path))
    try:
        if given.exists() and not given.is_file() and not given.is_dir():
            yield given  # what a pipe among /dev/fd leads to is no path
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(target.parent)
        handle, draft = _claim(target)
        try:
            yield draft
            _replace(handle, draft, target)
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise
        finally:
            os.close(handle)
    except BrokenPipeError:
        raise  # the reader of the output has seen enough
    except OSError as error:
        raise refuse(
            f"{path}: could not be written ({cause(error)}); what stood there before is as it was"
        ) from error


def write(
    path: str | Path,
    content: str | bytes,
    refuse: type[errors.EquipotError] = errors.DataError,
) -> None:
    """Writes a file whole or not at all.

    Args:
      path: Name of the file; what stood there is replaced.
      content: Bytes, or text that is written in UTF-8.
      refuse: What to raise where the file cannot be written.

    Raises:
      EquipotError: Of the given kind, if the disk does not take the file.
    """
    data = content.encode() if isinstance(content, str) else content
    with whole(path, refuse) as draft:
        draft.write_bytes(data)


def remove_stale(folder: Path) -> None:
    """Removes the drafts that killed writers left in a folder; those being written stay."""
    try:
        with os.scandir(folder) as entries:
            drafts = [entry.path for entry in entries if _DRAFT.fullmatch(entry.name)]
    except OSError:
        return  # nothing to tidy where nothing can be listed
    for draft in drafts:
        with contextlib.suppress(OSError):  # gone, of another user, or held by its writer
            handle = os.open(draft, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if stat.S_ISREG(os.fstat(handle).st_mode):
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(draft)
            finally:
                os.close(handle)


def cause(error: OSError) -> str:
    """The reason of the system in words, with what to do where the disk is full."""
    text = error.strerror or str(error) or type(error).__name__
    return f"{text}; free some space" if is_full(error) else text


def is_full(error: BaseException) -> bool:
    """Whether the disk, a quota or a limit of file sizes is the cause."""
    return isinstance(error, OSError) and error.errno in FULL


def _claim(target: Path) -> tuple[int, Path]:
    """Makes an empty draft beside the target and locks it.

    Between the two a tidy writer may take it for a stale one and remove it; then another is made.
    """
    ending = "".join(target.suffixes[-2:])[-_LONGEST_SUFFIX:]
    while True:
        draft = target.with_name(f"{_PREFIX}{secrets.token_hex(8)}{ending}")
        handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o666)
        with contextlib.suppress(OSError):  # a file system without locks: drafts stay unlocked
            fcntl.flock(handle, fcntl.LOCK_EX)
        if draft.exists():
            return handle, draft
        os.close(handle)


def _replace(handle: int, draft: Path, target: Path) -> None:
    """Makes the draft the file, on the disk: what is in it, its mode, and its name."""
    reader = os.open(draft, os.O_RDONLY)  # another file than ``handle`` where the draft was remade
    try:
        os.fsync(reader)
        with contextlib.suppress(OSError):  # new, or on a file system without modes
            os.fchmod(reader, stat.S_IMODE(target.stat().st_mode))
    finally:
        os.close(reader)
    os.replace(draft, target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
