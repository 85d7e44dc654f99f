"""A sweep: at its end members are compared, and those that failed are listed with their reasons.

A failing member raises an exception, which Hydra records as a failed job; launchers continue with
the next one, and search sweepers count it as a failed trial. Launchers may run members in other
processes, so how each ended is added to a file that the first process names in the environment.
"""

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

from equipot import errors, files
from equipot.cli import compare, console
from equipot.training import launcher

_RECORD = "EQUIPOT_SWEEP_MEMBERS"
_PLACES = ".place"
TABLE, PICTURE, SETTINGS = "comparison.txt", "comparison.png", "members.json"
"""Beside the folders of the members."""


@contextlib.contextmanager
def member(folder: str, typed: Sequence[str] = ()) -> Iterator[None]:
    """Reports at once that a member of a sweep failed, and records how it ended.

    A run that was asked to stop stops the sweep.

    Args:
      folder: Folder of the run.
      typed: Its settings as ``key=value``, which the name of the folder may have shortened.
    """
    try:
        yield
    except errors.StoppedError as error:
        print(f"{console.TRAIN}: {folder}: {error}", file=sys.stderr)
        raise SystemExit(console.exit_code(error)) from None
    except errors.EquipotError as error:
        print(f"{console.TRAIN}: {folder}: {error}", file=sys.stderr)
        _record(folder, str(error), typed)
        raise
    _record(folder, "", typed)


class KeepRecord(Callback):
    """Keeps the record of a sweep in its folder, which processes on other hosts see too."""

    def on_multirun_start(self, config: Any, **_: Any) -> None:
        """Called by Hydra before it launches anything.

        Args:
          config: A ``DictConfig``, with the settings of Hydra.
        """
        if _RECORD in os.environ:
            place = Path(config.hydra.sweep.dir).absolute()
            place.mkdir(parents=True, exist_ok=True)
            os.environ[_RECORD] = str(place / f".{Path(os.environ[_RECORD]).name}")


def places() -> str | None:
    """Beginning of the names of files by which processes of a sweep tell their places apart."""
    return f"{os.environ[_RECORD]}{_PLACES}" if _RECORD in os.environ else None


def _record(folder: str, failure: str, typed: Sequence[str]) -> None:
    if _RECORD in os.environ:
        with open(os.environ[_RECORD], "a", encoding="utf-8") as file:
            line = json.dumps([folder, failure, *typed])
            file.write(line + "\n")  # at once: members may end together


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Compares the members of a sweep, and ends with an error that lists those that failed.

    Raises:
      SystemExit: With the exit code of wrong input.
    """
    handle, name = tempfile.mkstemp(prefix="equipot-sweep-", suffix=".jsonl")
    os.close(handle)
    os.environ[_RECORD] = name
    members: dict[str, tuple[str, list[str]]] = {}
    try:
        yield
    except errors.EquipotError:
        members = _members()
        if not any(why for why, _ in members.values()):
            raise
    else:
        members = _members()
    finally:
        record = Path(os.environ.pop(_RECORD))
        for path in (Path(name), record, *record.parent.glob(f"{record.name}{_PLACES}.*")):
            path.unlink(missing_ok=True)
    if len(members) > 1:
        try:
            _compare(members)
        except errors.EquipotError as error:  # a damaged file, a full disk: the runs are there
            print(f"{console.TRAIN}: the members are not compared: {error}", file=sys.stderr)
    failed = [(folder, why) for folder, (why, _) in members.items() if why]
    if failed:
        noun = "member" if len(failed) == 1 else "members"
        print(f"{console.TRAIN}: {len(failed)} {noun} of the sweep failed:", file=sys.stderr)
        print("\n".join(f"  {folder}: {why}" for folder, why in failed), file=sys.stderr)
        raise SystemExit(console.WRONG_INPUT)


def check_hosts(num_hosts: int | None) -> None:
    """Refuses a sweep under several hosts.

    Args:
      num_hosts: By the settings.

    Raises:
      ConfigError: If several processes were started, or are asked for.
    """
    by = launcher.several(os.environ) or ("trainer.num_hosts" if (num_hosts or 1) > 1 else "")
    if by:
        raise errors.ConfigError(
            f"--multirun: expected one process, received several by {by}; start the sweep as one"
            " process, or each member by itself on all hosts"
        )


def settings(keys: Sequence[str], values: Sequence[str]) -> list[str]:
    """Settings of Hydra that a sweep needs in addition to those given.

    A search continues after failed trials, unless ``hydra.sweeper.max_failure_rate`` is given.

    Args:
      keys: Keys of the arguments.
      values: ``key=value``, as typed.
    """
    searches = any(value.lstrip("+").startswith("hydra/sweeper=optuna") for value in values)
    if searches and "hydra.sweeper.max_failure_rate" not in keys:
        return ["++hydra.sweeper.max_failure_rate=1.0"]
    return []


def _members() -> dict[str, tuple[str, list[str]]]:
    """Folders, each with why it failed, or with an empty text, and its settings as typed."""
    path = Path(os.environ[_RECORD])
    text = path.read_text(encoding="utf-8") if path.exists() else ""  # else nothing has ended
    rows = map(json.loads, text.splitlines())
    return {folder: (failure, typed) for folder, failure, *typed in rows}


def _compare(members: Mapping[str, tuple[str, list[str]]]) -> None:
    """Prints a table of the members, and writes it and a picture beside their folders.

    A file has the settings of each as they were typed.
    """
    from equipot.training import comparison

    runs = [
        comparison.read(Path(folder), errors.brief(why)) for folder, (why, _) in members.items()
    ]
    names = compare.short_names([run.path for run in runs])
    place = Path(os.path.commonpath([run.path.parent for run in runs]))
    text = comparison.table(runs, names)
    print(f"{len(runs)} members, the best first (RMSE):\n{text}")
    files.write(place / TABLE, text + "\n")
    typed = {names[Path(folder)]: own for folder, (_, own) in members.items()}
    files.write(place / SETTINGS, json.dumps(typed, indent=2, ensure_ascii=False) + "\n")
    if any(run.validations for run in runs):
        comparison.save_picture(place / PICTURE, runs, names)
    print(f"table, picture and settings of each: {place}")
