"""ASE's own formats, looked through before ASE reads them: json, db and traj.

ASE passes over rows that a list or a counter leaves out, and lets NumPy cast or repeat numbers.
"""

import contextlib
import json
import math
import pathlib
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from equipot import errors

_ULM_BLOCK = 42  # the table of frames has room for 1, 42, 42², … of them
_ULM_START = 24  # bytes before the counter and the place of the table
_NEEDED = ("numbers", "positions")  # ASE takes zeros for positions that are not there
_AGAIN = "it is damaged, fetch or make it again"


def check_json(path: pathlib.Path, name: str) -> int:
    """Counts rows; stops where keys repeat, rows are not listed, or arrays contradict themselves.

    Raises:
      DataError: If ASE would leave something out or change a number.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise errors.DataError(
            f"{name}: could not be read as a database of ASE in JSON: {str(error)[:200]}; mend "
            f"the file or set data.format"
        ) from error
    if not isinstance(content, dict):
        raise errors.DataError(f"{name}: expected a database of ASE, an object in JSON")
    rows = {key for key in content if key.isdigit()}
    ids = content.get("ids", ["1"])
    listed = [str(i) for i in ids] if isinstance(ids, list) else []
    if sorted(rows) != sorted(listed):
        raise errors.DataError(
            f"{name}: its list 'ids' is {str(ids)[:60]}, but it holds the rows "
            f"{', '.join(sorted(rows))[:60] or 'none'}; mend the list"
        )
    for key in sorted(rows):
        for what in _NEEDED:
            if not isinstance(content[key], dict) or content[key].get(what) is None:
                raise errors.DataError(f"{name}: row {key} has no {what}; mend or remove it")
    return len(rows)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [key for key, _ in pairs]
        repeated = next(key for key in names if names.count(key) > 1)
        raise ValueError(f"the key '{repeated}' stands there twice")
    if "__ndarray__" in found:
        _check_array(found["__ndarray__"])
    return found


def _check_array(value: Any) -> None:
    """Shape, type and numbers of an array must fit."""
    sound = isinstance(value, list) and len(value) == 3 and isinstance(value[0], list)
    sound = sound and isinstance(value[1], str) and isinstance(value[2], list)
    sound = sound and all(type(length) is int and length >= 0 for length in value[0])
    if not sound:
        raise ValueError(f"expected an array as [shape, type, numbers], found {str(value)[:60]}")
    shape, name, entries = value
    try:
        kind = np.dtype(name).kind
    except TypeError:
        raise ValueError(f"'{name[:40]}' is no type of numbers") from None
    allowed = {"f": (int, float), "c": (int, float), "i": (int,), "u": (int,), "b": (bool,)}
    types = allowed.get(kind, (str,))
    if math.prod(shape) * (2 if kind == "c" else 1) != len(entries):
        raise ValueError(f"an array of shape {shape} has {len(entries)} numbers")
    wrong = [entry for entry in entries if type(entry) not in types]
    if wrong:
        raise ValueError(f"an array of type {name} holds {str(wrong[0])[:40]}")


def check_db(path: pathlib.Path, name: str) -> int:
    """Counts rows; stops at damaged pages.

    Raises:
      DataError: With what SQLite finds.
    """
    with contextlib.closing(
        sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    ) as database:
        try:
            (found,) = database.execute("PRAGMA integrity_check(1)").fetchone()
            (rows,) = database.execute("SELECT count(*) FROM systems").fetchone()
            empty = " OR ".join(f"{what} IS NULL" for what in _NEEDED)
            lacking = database.execute(f"SELECT id FROM systems WHERE {empty}").fetchone()
        except sqlite3.Error as error:
            raise errors.DataError(f"{name}: {error}; {_AGAIN}") from error
    if found != "ok":
        raise errors.DataError(f"{name}: {' '.join(str(found).split())[:200]}; {_AGAIN}")
    if lacking is not None:
        raise errors.DataError(
            f"{name}: row {lacking[0]} has no {' or no '.join(_NEEDED)}; mend or remove it"
        )
    return int(rows)


def check_traj(path: pathlib.Path, name: str) -> int:
    """Counts frames; stops where the table of them holds more than the counter says.

    Raises:
      DataError: If it is no trajectory, or frames would be left out.
    """
    with path.open("rb") as file:
        file.seek(_ULM_START)
        head = _integers(file.read(24))
        if len(head) != 3:
            raise errors.DataError(f"{name}: expected a trajectory of ASE; {_AGAIN}")
        size = path.stat().st_size
        count, place = int(head[1]), int(head[2])
        if not (0 <= count <= size and 0 <= place <= size):
            raise errors.DataError(f"{name}: says it has {count} frames; {_AGAIN}")
        room = 1
        while room < count:
            room *= _ULM_BLOCK
        file.seek(place)
        table = _integers(file.read(8 * min(room, size)))
    if len(table) < count or (table[count:] > 0).any():
        raise errors.DataError(
            f"{name}: says it has {count} frames, but its table lists "
            f"{int((table > 0).sum())}; {_AGAIN}"
        )
    return count


def _integers(data: bytes) -> np.ndarray:
    return np.frombuffer(data[: len(data) // 8 * 8], "<i8")


CHECKS: Mapping[str, Callable[[pathlib.Path, str], int]] = {
    "json": check_json,
    "db": check_db,
    "traj": check_traj,
}
