"""The location of the YAML files of the configuration, and the groups and options they define."""

from collections.abc import Iterable, Mapping
from importlib import metadata, util
from pathlib import Path

Groups = Mapping[str, Mapping[str, Path]]


def shipped_folder() -> Path:
    """The folder ``configs`` of the installed package, or of the checkout from which it is run."""
    package = Path(__file__).parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def outside_folders() -> list[Path]:
    """The folders ``configs`` next to the models that other packages provide.

    The modules themselves are located but not imported, because they import jax.
    """
    found = []
    for entry in metadata.entry_points(group="equipot.models"):
        try:
            spec = util.find_spec(entry.module)
        except ImportError:  # reported when the model is requested
            continue
        if spec is not None and spec.origin is not None:
            folder = Path(spec.origin).parent / "configs"
            found += [folder] if folder.is_dir() else []
    return found


def groups(folders: Iterable[Path]) -> dict[str, dict[str, Path]]:
    """Lists the options of every group, as ``{"model": {"nequip": path, …}, …}``.

    Args:
      folders: Folders of configurations; later ones extend and override earlier ones.
    """
    found: dict[str, dict[str, Path]] = {}
    for folder in folders:
        for path in sorted(folder.glob("*/**/*.yaml")):
            group = path.parent.relative_to(folder).as_posix()
            found.setdefault(group, {})[path.stem] = path
    return found


def headline(path: Path) -> str:
    """The first line of the comment that opens a YAML file, without a package directive."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and not line.startswith("# @package"):
            return line.lstrip("# ").rstrip()
        if line and not line.startswith("#"):
            break
    return ""
