"""Where data lie: names the configuration may use, and the folders they stand for."""

import os
import pathlib

from equipot import errors

SCHEME = "equipot://"
REFERENCE_VARIABLE = "EQUIPOT_REFERENCE_DATA"
CACHE_VARIABLE = "EQUIPOT_CACHE"
_PACKAGE = pathlib.Path(__file__).resolve().parent.parent


def resolve(name: str | pathlib.Path) -> pathlib.Path:
    """Returns the file or folder a configuration names.

    Args:
      name: A path, relative to the current folder; ``equipot://data/…`` for a file shipped with the
        project; ``equipot://reference/…`` for one under ``$EQUIPOT_REFERENCE_DATA``.

    Raises:
      DataError: If there is nothing of that name.
    """
    text = str(name)
    path = _shipped(text.removeprefix(SCHEME)) if text.startswith(SCHEME) else pathlib.Path(text)
    try:
        path = path.expanduser()
        is_there = path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # too long a name, no such user, a zero
        raise errors.DataError(
            f"{text[:80]}: cannot be the name of a file or folder: {str(error)[:80]}"
        ) from error
    if not is_there:
        raise errors.DataError(f"{text}: no such file or folder ({path.absolute()}){_near(path)}")
    return path


def reference_folder() -> pathlib.Path:
    """Folder of public reference data: ``$EQUIPOT_REFERENCE_DATA``, else beside the checkout."""
    return pathlib.Path(
        os.environ.get(REFERENCE_VARIABLE) or _PACKAGE.parent.parent / "shared" / "data"
    )


def cache_folder() -> pathlib.Path:
    """Folder of cached structures: ``$EQUIPOT_CACHE``, else one in the user's cache folder."""
    own = os.environ.get(CACHE_VARIABLE)
    if own:
        return pathlib.Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base).expanduser() / "equipot"


def _shipped(name: str) -> pathlib.Path:
    """A shipped file lies inside an installed package, or at the root of a checkout."""
    first, _, rest = name.partition("/")
    if first == "reference":
        return reference_folder() / rest
    if first != "data":
        raise errors.DataError(
            f"{SCHEME}{name}: expected {SCHEME}data/… (shipped) or {SCHEME}reference/…"
        )
    installed = _PACKAGE / "data_files"
    return (installed if installed.is_dir() else _PACKAGE.parent / "data") / rest


def _near(path: pathlib.Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"; the folder {folder} does not exist either"
    suggestion = errors.did_you_mean(path.name, (p.name for p in folder.iterdir()))
    return f".{suggestion}" if suggestion else ""
