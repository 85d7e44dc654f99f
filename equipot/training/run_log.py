"""What a run reports: lines on the screen and in train.log, metrics as JSONL and CSV.

The length of each file is part of every checkpoint; a resumed run cuts its files back to it, so no
line appears twice. Numbers are in eV, Å and seconds; the screen shows meV.
"""

import contextlib
import csv
import io
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich import console as rich_console
from rich import progress as rich_progress

from equipot import errors, files
from equipot.process import ALONE, Process
from equipot.quantities import DERIVED
from equipot.training import trackers
from equipot.training.config import LoggerConfig

JSONL, CSV, TEXT = "metrics.jsonl", "metrics.csv", "train.log"


def columns(quantities: Iterable[str]) -> tuple[str, ...]:
    """Names of the columns of metrics.csv, and of the keys of metrics.jsonl.

    Args:
      quantities: Names of those whose errors are measured.
    """
    errors_ = [f"{name}_{kind}" for name in quantities for kind in ("mae", "rmse")]
    return (
        *("step", "epoch", "learning_rate", "loss", *errors_, "grad_norm"),
        *("valid_loss", *(f"valid_{name}" for name in errors_)),
        *("structures_per_second", "seconds", "waiting"),
    )


class _Console(rich_console.Console):
    """A console whose reader may leave: training goes on, and its log is in the folder."""

    def on_broken_pipe(self) -> None:
        """Discards further output; rich itself would end the process."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell(text: str) -> None:
    """Shows a line before there is a log."""
    _console().print(text, markup=False)


def _console(quiet: bool = False) -> _Console:
    return _Console(highlight=False, soft_wrap=True, quiet=quiet)


class RunLog:
    """The log files of one run, its progress bar, and the tracker if one is configured.

    Of several processes the first tells; what the others say and record goes nowhere.
    """

    def __init__(
        self,
        folder: Path,
        lengths: Mapping[str, int],
        process: Process = ALONE,
        quantities: Iterable[str] = tuple(DERIVED),
    ) -> None:
        """Opens the files, cut back to what they held when the checkpoint was made.

        Args:
          folder: The run folder.
          lengths: Bytes to keep of each file; a file that is not named is emptied.
          process: Which of the processes of the run.
          quantities: Names of those whose errors are measured.
        """
        self._tells, self._columns = process.is_first, columns(quantities)
        self._cells: Sequence[str] = self._columns  # of the table: those that it began with
        self.console = _console(quiet=not self._tells)
        self._files: dict[str, io.FileIO] = {}
        self._bar = _bar(self.console)
        self._tracker: trackers.Tracker | None = None
        if self._tells:
            self._open(folder, lengths)

    def _open(self, folder: Path, lengths: Mapping[str, int]) -> None:
        with contextlib.ExitStack() as opened:
            self._files = {
                name: opened.enter_context(_cut(folder / name, lengths.get(name, 0)))
                for name in (JSONL, CSV, TEXT)
            }
            opened.pop_all()  # all are there: closed by ``__exit__``
        if lengths.get(CSV):
            self._cells = _header(folder / CSV) or self._cells
        else:
            self._write(CSV, ",".join(self._cells) + "\n")
        damaged = read_lines(folder / JSONL)[1]
        if damaged:
            self.say(f"{JSONL}: lines {damaged} are damaged, and left out of the learning curve")

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()
        if self._tracker is not None:
            self._tracker.close(error is not None)
        for file in self._files.values():
            file.close()

    def say(self, text: str) -> None:
        """Shows lines and keeps them in train.log."""
        self.console.print(text, markup=False)
        self._write(TEXT, text + "\n")

    def tell(self, text: str) -> None:
        """Shows lines that are not kept: what depends on the clock alone."""
        self.console.print(text, markup=False)

    def record(self, values: Mapping[str, float | int]) -> None:
        """Writes one line of metrics; keys are among ``columns``."""
        if not self._tells:
            return
        known = {key: values[key] for key in self._columns if key in values}
        finite = {k: v if math.isfinite(v) else None for k, v in known.items()}
        self._write(JSONL, json.dumps(finite) + "\n")
        row = io.StringIO()
        cells = [known.get(key, "") for key in self._cells]
        csv.writer(row, lineterminator="\n").writerow(cells)
        self._write(CSV, row.getvalue())
        if self._tracker is not None:
            self._tracker.log(known)

    def lengths(self) -> dict[str, int]:
        """Bytes in each file, all of them on the disk; of the first process, which saves them."""
        for file in self._files.values():
            try:
                os.fsync(file.fileno())
            except OSError as failure:
                raise _unwritten(file, failure) from failure
        return {name: os.fstat(file.fileno()).st_size for name, file in self._files.items()}

    def start_bar(self, num_steps: int, step: int) -> None:
        """Shows the progress bar, on a terminal only."""
        self._bar.add_task("training", total=num_steps, completed=step, rate=0.0)
        if self._tells and self.console.is_terminal:
            self._bar.start()

    def advance(self, step: int, structures_per_second: float | None = None) -> None:
        """Moves the progress bar."""
        fields: dict[str, Any] = (
            {} if structures_per_second is None else {"rate": structures_per_second}
        )
        self._bar.update(rich_progress.TaskID(0), completed=step, **fields)

    def stop_bar(self) -> None:
        """Removes the progress bar."""
        self._bar.stop()

    def start_tracker(
        self, config: LoggerConfig, run: Mapping[str, Any], folder: Path, step: int = 0
    ) -> None:
        """Begins, or goes on with, a run at the tracker that is configured.

        Args:
          config: Which.
          run: The configuration of the run.
          folder: The run folder.
          step: Steps that are done.

        Raises:
          ConfigError: If its package is not there, or it refuses, for lack of a key for instance.
        """
        if self._tells:
            self._tracker = trackers.begin(config, run, folder, step)

    def finish_tracker(
        self, found: Mapping[str, Any], pictures: Iterable[Path], potential: Path
    ) -> None:
        """Gives the tracker, where there is one, what a finished run has.

        Args:
          found: RMSE, MAE and unit of each quantity by split and name.
          pictures: Files.
          potential: The file of the potential.
        """
        if self._tracker is None:
            return
        if sentence := self._tracker.finish(found, list(pictures), potential):
            self.say(sentence)

    def _write(self, name: str, text: str) -> None:
        if not self._tells:
            return
        left = memoryview(text.encode())
        try:
            while left:  # a disk that is nearly full takes less than it is given
                left = left[self._files[name].write(left) :]
        except OSError as failure:
            raise _unwritten(self._files[name], failure) from failure


def _unwritten(file: io.FileIO, failure: OSError) -> errors.CheckpointError:
    return errors.CheckpointError(
        f"{file.name}: could not be written ({failure.strerror}); free some space and start again"
        " with the same command"
    )


def read_lines(path: Path) -> tuple[list[dict[str, float | int]], list[int]]:
    """The lines of metrics.jsonl, and the numbers of those that are damaged.

    Args:
      path: The file.
    """
    lines, damaged = [], []
    for number, text in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            line = None
        values = line if isinstance(line, dict) else {}
        if "step" in values and all(_is_number(value) for value in values.values()):
            lines.append({key: value for key, value in values.items() if value is not None})
        else:
            damaged.append(number)
    return lines, damaged


def _header(path: Path) -> list[str]:
    """The columns that a table began with; runs of earlier versions have fewer."""
    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file), [])


def _is_number(value: Any) -> bool:
    """Whether it is what ``RunLog.record`` writes: a finite number, or null for one that is not."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return abs(value) <= sys.float_info.max
    return value is None


def _cut(path: Path, length: int) -> io.FileIO:
    """Opens a file for writing after its first ``length`` bytes; anything after them is lost."""
    try:
        file = io.FileIO(path, "r+" if path.exists() else "w+")
    except OSError as failure:
        raise errors.CheckpointError(
            f"{path}: could not be written ({files.cause(failure)})"
        ) from failure
    if os.fstat(file.fileno()).st_size < length:
        file.close()
        raise errors.CheckpointError(
            f"{path}: has {path.stat().st_size} bytes, the checkpoint knows of {length}; the run"
            " folder has been changed by hand, take another name or run_dir"
        )
    file.truncate(length)
    file.seek(length)
    return file


def _bar(console: rich_console.Console) -> rich_progress.Progress:
    return rich_progress.Progress(
        rich_progress.BarColumn(bar_width=None),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TextColumn("{task.fields[rate]:.1f} structures/s"),
        rich_progress.TimeElapsedColumn(),
        rich_progress.TimeRemainingColumn(),
        console=console,
        transient=True,
        refresh_per_second=4,
        disable=not console.is_terminal,
    )
