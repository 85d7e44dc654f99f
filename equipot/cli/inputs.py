"""Files that a command reads or writes, looked at before anything that takes its time is imported.

What they hold is checked by who reads them: here only whether they are there, or may be written.
"""

from collections.abc import Iterable
from pathlib import Path

from equipot import errors
from equipot.data import paths
from equipot.potential import archive, known
from equipot.training.config import TrainConfig

_FINISHED = "metrics.json"  # of a run that only shows its errors


def potential(name: str | Path) -> None:
    """Stops if there is no such potential.

    Args:
      name: A file, or the name of a published potential.

    Raises:
      ArtefactError: With the nearest name.
    """
    archive.check_is_there(known.resolve(name))


def structures(names: Iterable[str]) -> None:
    """Stops if a file or folder of structures is missing.

    Args:
      names: As ``paths.resolve`` takes them.

    Raises:
      DataError: With the nearest name.
    """
    for name in names:
        paths.resolve(name)


def file(name: str | Path) -> None:
    """Stops if there is no such file.

    Raises:
      DataError: With the nearest name.
    """
    path = paths.resolve(name)
    if not path.is_file():
        raise errors.DataError(f"{name}: expected a file, found a folder")


def new(name: str | Path, overwrite: bool) -> None:
    """Stops if an output stands there already, or could not be written.

    Raises:
      ConfigError: With the options that help.
    """
    output(name)
    if Path(name).exists() and not overwrite:
        raise errors.ConfigError(
            f"{name}: already stands there; --overwrite replaces it, --output names another file"
        )


def output(name: str | Path | None) -> None:
    """Stops if no file of this name could be written.

    Raises:
      ConfigError: If it is a folder, or a file stands where its folder should be.
    """
    if not name:
        return
    path = Path(name)
    if path.is_dir():
        raise errors.ConfigError(f"{name}: expected the name of a file to write, found a folder")
    for parent in path.parents:
        if parent.exists():
            if not parent.is_dir():
                raise errors.ConfigError(
                    f"{name}: cannot be written, because {parent} is a file and no folder"
                )
            return


def of_training(config: TrainConfig) -> None:
    """Stops if a file that training reads is missing; a finished run reads none.

    Raises:
      DataError: Naming the file.
      ArtefactError: Naming the potential that training starts from.
    """
    if (Path(config.folder) / _FINISHED).exists():
        return
    data = config.data
    splits = (*data.files("train"), *data.files("valid"), *data.files("test"))
    others = (data.isolated_atoms, data.split_file)
    structures((*splits, *(name for name in others if name is not None)))
    if config.init_from is not None:
        potential(config.init_from)
