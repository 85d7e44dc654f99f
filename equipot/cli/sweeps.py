"""A sweep whose members may fail: the others run, and the final message says which failed and why.

A failing member raises an exception, which Hydra records as a failed job; launchers continue with
the next one, and search sweepers count it as a failed trial. Launchers may run members in other
processes, so each failure is added to a file whose name the first process puts in the environment.
"""

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from equipot import errors
from equipot.cli import console

_RECORD = "EQUIPOT_SWEEP_FAILURES"


@contextlib.contextmanager
def member(folder: str) -> Iterator[None]:
    """Reports at once that a member of a sweep failed, and records it for the end.

    A run that was asked to stop stops the sweep.

    Args:
      folder: Folder of the run.
    """
    try:
        yield
    except errors.StoppedError as error:
        print(f"{console.TRAIN}: {folder}: {error}", file=sys.stderr)
        raise SystemExit(console.INTERRUPTED) from None
    except errors.EquipotError as error:
        print(f"{console.TRAIN}: {folder}: {error}", file=sys.stderr)
        if _RECORD in os.environ:
            line = json.dumps([folder, str(error)]) + "\n"
            with open(os.environ[_RECORD], "a", encoding="utf-8") as file:
                file.write(line)  # in one write, as it is short: members may fail at the same time
        raise


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Ends a sweep with an error that lists the failed members, if there are any.

    Raises:
      SystemExit: With the exit code of wrong input.
    """
    handle, name = tempfile.mkstemp(prefix="equipot-sweep-", suffix=".jsonl")
    os.close(handle)
    os.environ[_RECORD] = name
    failed: list[tuple[str, str]] = []
    try:
        yield
    except errors.EquipotError:
        failed = _failures(name)
        if not failed:
            raise
    else:
        failed = _failures(name)
    finally:
        del os.environ[_RECORD]
        Path(name).unlink(missing_ok=True)
    if failed:
        noun = "member" if len(failed) == 1 else "members"
        print(f"{console.TRAIN}: {len(failed)} {noun} of the sweep failed:", file=sys.stderr)
        print("\n".join(f"  {folder}: {why}" for folder, why in failed), file=sys.stderr)
        raise SystemExit(console.WRONG_INPUT)


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


def _failures(name: str) -> list[tuple[str, str]]:
    lines = Path(name).read_text(encoding="utf-8").splitlines()
    return [(folder, why) for folder, why in map(json.loads, lines)]
