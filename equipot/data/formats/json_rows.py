"""ASE's database in JSON, looked through before ASE reads it: no row may be passed over."""

import json
import pathlib
from typing import Any

from equipot import errors


def check(path: pathlib.Path, name: str) -> None:
    """Stops where a key stands twice, or rows and the list of their numbers differ.

    Raises:
      DataError: If ASE would leave something out.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise errors.DataError(
            f"{name}: could not be read as a database of ASE in JSON: {error or 'too deep'}; mend "
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


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [key for key, _ in pairs]
        repeated = next(key for key in names if names.count(key) > 1)
        raise ValueError(f"the key '{repeated}' stands there twice")
    return found
