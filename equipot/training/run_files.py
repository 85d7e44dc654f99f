"""Files of a run folder: written whole or not at all, and a sentence where one cannot be read."""

import json
import reprlib
from pathlib import Path
from typing import Any

from equipot import errors, files

LARGEST = 2**28  # bytes of any of the files that are read; thousands of groups have many errors


def write_json(path: Path, content: Any) -> None:
    """Writes JSON so that the file is complete or not there."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a file so that it is complete or not there.

    Raises:
      CheckpointError: If the disk refuses.
    """
    files.write(path, text, errors.CheckpointError)


def read_json(path: Path, advice: str) -> dict[str, Any]:
    """Reads a mapping.

    Args:
      path: Of the file.
      advice: What to do where it is damaged.

    Raises:
      CheckpointError: If it cannot be read, or holds something else.
    """
    try:
        found = json.loads(read_text(path, advice))
    except (ValueError, RecursionError) as failure:
        raise errors.CheckpointError(
            f"{path}: expected JSON ({errors.brief(failure)}); {advice}"
        ) from failure
    if not isinstance(found, dict):
        raise errors.CheckpointError(
            f"{path}: expected a mapping, found {reprlib.repr(found)}; {advice}"
        )
    return found


def read_text(path: Path, advice: str, largest: int = LARGEST) -> str:
    """Reads a text.

    Args:
      path: Of the file.
      advice: What to do where it is damaged.
      largest: Bytes beyond which it is none of those that are written here.

    Raises:
      CheckpointError: If it cannot be read, or is too large.
    """
    try:
        if path.stat().st_size > largest:
            raise errors.CheckpointError(f"{path}: is larger than any of equipot; {advice}")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as failure:
        why = files.cause(failure) if isinstance(failure, OSError) else str(failure)
        raise errors.CheckpointError(f"{path}: could not be read ({why}); {advice}") from failure
