"""The run folder: which run it belongs to, what it holds, and whether a run may resume in it.

config.yaml     the resolved configuration
versions.json   of Python, the packages and the devices
dataset.json    fingerprint of the data and what was computed from them
changes.json    settings that changed while the run went on, with the steps done by then
checkpoints/    the latest and the best
metrics.jsonl, metrics.csv, train.log
metrics.json    the final errors; there only when the run is finished
plots/*.png
report.html     the page of the run
<name>.equipot  the potential
"""

import contextlib
import dataclasses
import fcntl
import importlib.metadata
import platform
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import jax
import numpy as np

from equipot import config as configuration
from equipot import errors
from equipot.data.config import DataConfig
from equipot.process import ALONE, Process
from equipot.quantities import DERIVED
from equipot.training import changed_settings, run_files, saved_settings
from equipot.training.config import TrainConfig

_PACKAGES = (
    "equipot",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "ase",
    "vesin",
)
_AGAIN = "remove {}, and the same command measures the potential again"
_RESTORE = (
    "restore it, or remove it: the same command then writes it anew, and cannot tell whether data"
    " have changed"
)


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """Paths in the folder of one run.

    Attributes:
      path: The folder.
      name: Name of the run.
    """

    path: Path
    name: str

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def dataset(self) -> Path:
        """Fingerprint of the data and what was computed from them."""
        return self.path / "dataset.json"

    @property
    def length(self) -> Path:
        """What was chosen or timed where the settings leave the length of the run open."""
        return self.path / "length.json"

    @property
    def changes(self) -> Path:
        """Settings that changed while the run went on."""
        return self.path / "changes.json"

    @property
    def checkpoints(self) -> Path:
        """The checkpoints."""
        return self.path / "checkpoints"

    @property
    def plots(self) -> Path:
        """The pictures."""
        return self.path / "plots"

    @property
    def page(self) -> Path:
        """The page of the run."""
        return self.path / "report.html"

    @property
    def metrics(self) -> Path:
        """The final errors."""
        return self.path / "metrics.json"

    @property
    def table(self) -> Path:
        """The final errors, for people."""
        return self.path / "errors.txt"

    @property
    def artefact(self) -> Path:
        """The potential."""
        return self.path / f"{self.name}.equipot"

    @property
    def is_finished(self) -> bool:
        """Whether the run has ended; the final errors are written last."""
        return self.metrics.exists()


def find_folder(config: TrainConfig) -> RunFolder:
    """Looks at the run folder and changes nothing.

    Raises:
      CheckpointError: If the folder belongs to something else, or to a run with another
        configuration with which it cannot go on, or was not asked to; the message names what
        differs.
    """
    folder = RunFolder(Path(config.folder), config.name)
    if folder.config.exists():
        changed_settings.check(changed(folder, config), config.resume, folder.path)
        return folder
    # What is hidden or a log may be there before: a launcher writes them first.
    strangers = [p.name for p in _listing(folder.path) if p.suffix != ".log" and p.name[0] != "."]
    if strangers:
        raise errors.CheckpointError(
            f"{folder.path}: expected a run folder or an empty one, found {strangers[0]} and no"
            " config.yaml; take another name or run_dir"
        )
    return folder


@contextlib.contextmanager
def occupied(
    folder: RunFolder, config: TrainConfig, facts: Mapping[str, Any], process: Process = ALONE
) -> Iterator[RunFolder]:
    """Makes the folder if it is new and keeps other runs out of it.

    Of several processes of one run the first does so, for all.

    Args:
      folder: From ``find_folder``.
      config: The configuration, written once.
      facts: ``fingerprint`` of the data, ``num_devices`` and whatever else is to be kept; written
        once and compared afterwards.
      process: Which of the processes of the run.

    Raises:
      CheckpointError: If another process is training there, if data or devices have changed, or if
        the folder cannot be written.
      MemoryLimitError: As it was raised inside; then a new run leaves nothing behind.
    """
    if not process.is_first:
        yield folder
        return
    with _lock_file(folder.path) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as failure:
            raise errors.CheckpointError(
                f"{folder.path}: another process is training there; wait for it, or take another"
                " name or run_dir"
            ) from failure
        except OSError:
            pass  # a file system without locks
        is_new, before = not folder.config.exists(), set(_listing(folder.path))
        # The configuration comes first: without it nobody would know the folder again.
        if not folder.config.exists():
            saved_settings.write(folder.config, config)
        if folder.dataset.exists():
            _check_facts(folder, facts)
        else:
            run_files.write_json(folder.path / "versions.json", versions())
            run_files.write_json(folder.dataset, facts)
        try:
            yield folder
        except errors.MemoryLimitError:
            if is_new:
                _clear(folder.path, before)
            raise


def _clear(path: Path, before: Collection[Path]) -> None:
    """Removes what a run has written that could not begin, so that it may with other settings."""
    for own in _listing(path):
        if own not in before and own.is_dir():
            shutil.rmtree(own, ignore_errors=True)
        elif own not in before:
            own.unlink(missing_ok=True)


def versions() -> dict[str, Any]:
    """Versions of what computes, and on what."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    devices = [f"{d.platform}: {d.device_kind}" for d in jax.devices()]
    return {**found, "devices": devices}


def read_metrics(folder: RunFolder) -> dict[str, Any]:
    """The final errors of a finished run, by split.

    Raises:
      CheckpointError: If the file is damaged.
    """
    found = run_files.read_json(folder.metrics, _AGAIN.format(folder.metrics.name))
    for split in ("train", "valid", "test"):
        errors_ = found.get(split, "")
        if errors_ is None:
            continue
        known = errors_ if isinstance(errors_, dict) else {}
        for quantity in {**DERIVED, **known}.keys() - {"elements", "groups"}:
            own = known.get(quantity, "")
            if own is not None and not (isinstance(own, dict) and _is_float(own.get("rmse"))):
                raise errors.CheckpointError(
                    f"{folder.metrics}: expected the RMSE of '{quantity}' in '{split}', found none;"
                    f" {_AGAIN.format(folder.metrics.name)}"
                )
    return found


def _is_float(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)


def read_table(folder: RunFolder) -> str:
    """The final errors of a finished run, for people.

    Raises:
      CheckpointError: If one of the files that make a run finished is missing or damaged.
    """
    read_metrics(folder)
    return run_files.read_text(folder.table, _AGAIN.format(folder.metrics.name))


def _lock_file(path: Path) -> TextIO:
    """Makes the folder and opens the file that the process which trains there holds."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        return (path / ".lock").open("w")
    except OSError as failure:
        raise errors.CheckpointError(
            f"{path}: the folder of the run could not be made ({failure.strerror}); take another"
            " run_dir"
        ) from failure


def _check_facts(folder: RunFolder, facts: Mapping[str, Any]) -> None:
    advice = _RESTORE
    before = run_files.read_json(folder.dataset, advice)
    compared = {
        "fingerprint": "dataset",
        "num_devices": "number of devices that its batches are for",
        "init_from": "potential to start from",
    }
    for key, what in compared.items():
        if key in facts and key not in before and key != "init_from":
            raise errors.CheckpointError(f"{folder.dataset}: lacks '{key}'; {advice}")
        if before.get(key) != facts.get(key):
            raise errors.CheckpointError(
                f"{folder.path}: the {what} was {before.get(key)} when the run began, now it is"
                f" {facts[key]}; restore it (or the version that began the run), or take another"
                " name or run_dir"
            )
    if _has_moved(before, facts):
        raise errors.CheckpointError(
            f"{folder.path}: an earlier version began this run with another wall or with other"
            " reference energies; take another name or run_dir"
        )


_MOVED = 1e-2  # eV: more than rounding on another machine


def _has_moved(before: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    """Whether an earlier version began a fine-tuning from other numbers than this one would."""
    if not facts.get("init_from") or "atomic_energies" not in before:
        return False
    if facts.get("new_elements") and "new_elements" not in before:  # they had another wall
        return True
    old, new = (np.array(own["atomic_energies"], np.float64) for own in (before, facts))
    return old.shape != new.shape or bool(np.abs(old - new).max(initial=0.0) > _MOVED)


def _listing(path: Path) -> list[Path]:
    if path.exists() and not path.is_dir():
        raise errors.CheckpointError(f"{path}: expected a folder for the run, found a file")
    return sorted(path.iterdir()) if path.exists() else []


def changed(folder: RunFolder, config: TrainConfig) -> list[changed_settings.Change]:
    """The settings that differ from those of the run in the folder; none where there is no run.

    Raises:
      CheckpointError: If those cannot be read.
    """
    if not folder.config.exists():
        return []
    old = configuration.flat(saved_settings.read(folder.config))
    new = configuration.flat(configuration.to_mapping(config))
    # A key that the version which began the run did not know acted as its default does.
    known = {k: v for k, v in _defaults(config).items() if k in new and not k.startswith("model.")}
    return changed_settings.between({**known, **old}, new)


def accept(
    folder: RunFolder, config: TrainConfig, found: Sequence[changed_settings.Change], step: int
) -> None:
    """Keeps changed settings as those of the run, which is not finished any more.

    Args:
      folder: Occupied by this process.
      config: With the changed settings.
      found: What changed.
      step: Steps done by now.

    Raises:
      CheckpointError: If the record of earlier changes is damaged, or the disk refuses.
    """
    advice = "restore it, or remove it: only the record of earlier changes is lost"
    known = run_files.read_json(folder.changes, advice) if folder.changes.exists() else {}
    own = {change.key: [change.before, change.now] for change in found}
    record = {**known, str(step): {**_mapping(known.get(str(step))), **own}}
    run_files.write_json(folder.changes, record)
    folder.metrics.unlink(missing_ok=True)
    saved_settings.write(folder.config, config)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


class Begun(NamedTuple):
    """How a run began: on how many devices, and whether it read its data from an unnamed store.

    The latter is None for runs of earlier versions.
    """

    num_devices: int
    reads_store: bool | None


def begun(folder: RunFolder) -> Begun | None:
    """How the run began; None for a new one.

    Raises:
      CheckpointError: If the file that says so is damaged.
    """
    if not folder.dataset.exists():
        return None
    found = run_files.read_json(folder.dataset, _RESTORE)
    devices, reads_store = found.get("num_devices"), found.get("reads_store")
    if not isinstance(devices, int) or devices < 1:
        raise errors.CheckpointError(f"{folder.dataset}: lacks 'num_devices'; {_RESTORE}")
    return Begun(devices, reads_store if isinstance(reads_store, bool) else None)


def _defaults(config: TrainConfig) -> dict[str, Any]:
    """Every setting as it is without being given; files and model are those of the run."""
    data = DataConfig(train=config.data.train)
    return configuration.flat(configuration.to_mapping(TrainConfig(data=data, model=config.model)))
