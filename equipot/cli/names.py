"""Names of runs and of the folders of a sweep, derived from the command line."""

import hashlib
import re
from pathlib import Path
from typing import Any

_LONGEST = 120  # bytes of UTF-8; file systems take 255, and endings are added to names
_ALONE = "single"  # what a sweep over nothing is called


def name_from(train: Any) -> str:
    """Names a run after its training file: ``data/my.extxyz.xz`` gives ``my``.

    Args:
      train: A path, a list of paths, or None.
    """
    first = train[0] if train and not isinstance(train, str) else train
    words = [word for word in Path(first).name.split(".") if word] if first else []
    return _short(re.sub(r"[\x00-\x1f\x7f]", "_", words[0])) if words else "run"


def folder_name(typed: str) -> str:
    """Names the folder of one run of a sweep: ``model.lmax=0,seed=1`` is used unchanged.

    A name that is too long, or contains a slash, is shortened and made unique by a hash.

    Args:
      typed: The swept settings as ``key=value``.
    """
    if not typed:
        return _ALONE
    flat = re.sub(r"[/\x00-\x1f\x7f]", "_", typed)
    return _short(flat, always=flat != typed, whole=typed)


def _short(name: str, always: bool = False, whole: str | None = None) -> str:
    """The name, or its beginning followed by a hash of the whole name."""
    data = name.encode()
    if len(data) <= _LONGEST and not always:
        return name
    digest = hashlib.sha256((whole or name).encode()).hexdigest()[:10]
    return f"{data[: _LONGEST - 11].decode(errors='ignore')}-{digest}"
