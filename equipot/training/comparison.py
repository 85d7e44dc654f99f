"""Runs side by side: how their settings differ, and which errors they end with."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipot import config as configuration
from equipot import errors, files
from equipot.quantities import DERIVED, Quantity
from equipot.training import folder, learning_curves, plots, run_log, saved_settings
from equipot.training.config import VALID_LOSS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_Line = Mapping[str, float | int]
_NO_DIFFERENCE = ("run_dir", "name", "logger")  # settings that change no number
_SPLITS = ("valid", "test")
_ROW = 0.2  # inches of a row of the legend
_LONGEST = 60  # characters of a value in the table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """What is known of a run.

    Attributes:
      path: Its folder.
      settings: As it began with, ``{"loss.energy": 1.0, …}``.
      metrics: Its final errors, by split; None until it is finished.
      lines: Of its metrics.jsonl.
      failure: Why it failed, where somebody knows.
    """

    path: Path
    settings: Mapping[str, Any]
    metrics: Mapping[str, Any] | None = None
    lines: Sequence[_Line] = ()
    failure: str = ""

    @property
    def validations(self) -> list[_Line]:
        """Lines that hold a validation."""
        return [line for line in self.lines if "valid_loss" in line]

    def rmse(self, split: str, name: str) -> float | None:
        """The RMSE of a quantity on a split; on validation so far where the run goes on."""
        if self.metrics is not None:
            return ((self.metrics.get(split) or {}).get(name) or {}).get("rmse")
        column = str(self.settings.get("trainer.best") or VALID_LOSS)
        column = column if column.startswith("valid_") else f"valid_{column}"
        found = [line for line in self.validations if column in line]
        best = min(found, key=lambda line: line[column], default={})
        return best.get(f"valid_{name}_rmse") if split == "valid" else None

    @property
    def seconds(self) -> float | None:
        """How long it has taken."""
        if self.metrics is not None:
            return self.metrics.get("seconds")
        return self.lines[-1].get("seconds") if self.lines else None

    @property
    def state(self) -> str:
        """In a few words."""
        if self.failure:
            return f"failed: {self.failure}"
        if self.metrics is not None:
            return "finished"
        return f"step {self.lines[-1]['step']:g}" if self.lines else "begun"


def find(paths: Iterable[str | Path]) -> list[Path]:
    """Folders of runs, or those that lie in a folder of runs, such as that of a sweep.

    Args:
      paths: Folders.

    Raises:
      DataError: If a folder is not there, or holds no run.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        inside = sorted(
            own.parent for own in path.rglob("config.yaml") if ".hydra" not in own.parts
        )
        own = [path] if (path / "config.yaml").is_file() else inside
        if not own:
            why = "holds no run" if path.is_dir() else "there is no such folder"
            raise errors.DataError(f"{path}: expected the folder of a run or of a sweep; {why}")
        found += own
    return list(dict.fromkeys(found))


def read(path: Path, failure: str = "") -> Run:
    """Reads what a run has left in its folder.

    Args:
      path: The folder.
      failure: Why it failed, if it did.

    Raises:
      CheckpointError: If a file is damaged.
    """
    place = folder.RunFolder(path, path.name)
    lines = path / run_log.JSONL
    return Run(
        path=path,
        settings=configuration.flat(saved_settings.read(place.config))
        if place.config.exists()
        else {},
        metrics=folder.read_metrics(place) if place.is_finished else None,
        lines=run_log.read_lines(lines)[0] if lines.exists() else (),
        failure=failure,
    )


def differences(runs: Sequence[Run]) -> list[str]:
    """Settings that not all runs share, those of a model among the runs whose model has them."""
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    known = [run.settings for run in runs if run.settings]
    return [
        key
        for key in keys
        if key.split(".")[0] not in _NO_DIFFERENCE
        and len({str(settings.get(key)) for settings in known if _has(settings, key)}) > 1
    ]


def _has(settings: Mapping[str, Any], key: str) -> bool:
    """Whether a setting says something of a run: a model does not have those of another."""
    return key in settings or not key.startswith("model.")


def table(runs: Sequence[Run], names: Mapping[Path, str]) -> str:
    """Runs in rows, the best first: RMSE, minutes, state; below, settings that they do not share.

    Where the number of training structures differs, the exponents of the learning curves follow.

    Args:
      runs: At least one.
      names: What a run is called.
    """
    ordered = sorted(runs, key=_order)
    columns = [
        (split, quantity)
        for split in _SPLITS
        for quantity in _quantities(runs)
        if any(run.rmse(split, quantity.name) is not None for run in runs)
    ]
    rows = [
        ["", "run", *(f"{split} {q.name}" for split, q in columns), "minutes", ""],
        ["", "", *(q.shown for _, q in columns), "", ""],
    ]
    for number, run in enumerate(ordered, start=1):
        shown = [_shown(run.rmse(split, q.name), q) for split, q in columns]
        minutes = "" if run.seconds is None else f"{run.seconds / 60:.1f}"
        rows.append([str(number), names[run.path], *shown, minutes, run.state])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [_aligned(row, widths) for row in rows]
    curves = learning_curves.lines(learning_curves.find(runs, names), _quantities(runs))
    return "\n".join([*lines, *_differences(ordered), *curves])


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    """Words at the left, numbers at the right."""
    first, name, *numbers, last = row
    shown = (cell.rjust(width) for cell, width in zip(numbers, widths[2:], strict=False))
    return "  ".join([first.rjust(widths[0]), name.ljust(widths[1]), *shown, last]).rstrip()


def _differences(runs: Sequence[Run]) -> list[str]:
    """A line for each setting that differs: its values, and the numbers of their runs."""
    lines = []
    for key in differences(runs):
        owners: dict[str, list[str]] = {}
        for number, run in enumerate(runs, start=1):
            if run.settings and _has(run.settings, key):
                owners.setdefault(_value(run.settings.get(key)), []).append(str(number))
        values = (f"{_short(value)} ({', '.join(own)})" for value, own in owners.items())
        lines.append(f"{key}: {'; '.join(values)}")
    return ["", "settings that differ, and the runs that had them:", *lines] if lines else []


def save_picture(path: str | Path, runs: Sequence[Run], names: Mapping[Path, str]) -> None:
    """Draws the validation errors of all runs against steps and against minutes.

    A third panel has the learning curves, where the number of training structures differs.

    Args:
      path: Of the picture.
      runs: Which.
      names: What a run is called.

    Raises:
      DataError: If no run has a validation, or the picture cannot be written.
    """
    drawn = [run for run in sorted(runs, key=_order) if run.validations]
    if not drawn:
        raise errors.DataError("none of these runs has a validation yet: there is nothing to draw")
    with files.whole(path) as draft:
        _figure(drawn, names).savefig(draft, dpi=150)


def _figure(runs: Sequence[Run], names: Mapping[Path, str]) -> "Figure":
    curves = learning_curves.find(runs, names)
    figure, (left, right, *more) = plots.panels(3 if curves else 2)
    quantity = next(q for q in _quantities(runs) if any(_curve(run, q) for run in runs))
    for run in runs:
        points = _curve(run, quantity)
        steps, minutes, values = zip(*points, strict=True) if points else ((), (), ())
        left.plot(steps, values, "o-", markersize=3, linewidth=1, label=names[run.path])
        right.plot(minutes, values, "o-", markersize=3, linewidth=1)
    for axis, label in ((left, "step"), (right, "minutes")):
        axis.set_xlabel(label)
        axis.set_ylabel(f"validation RMSE of {quantity.name}, {quantity.shown}")
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("{x:g}")
    for axis in more:
        learning_curves.draw(axis, curves, quantity)
    handles, labels = left.get_legend_handles_labels()
    columns = 3 if curves else 2
    figure.set_figheight(figure.get_figheight() + _ROW * math.ceil(len(runs) / columns))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize="small")
    return figure


def _curve(run: Run, quantity: Quantity) -> list[tuple[float | int, float, float]]:
    """Step, minutes and error of each validation."""
    key = f"valid_{quantity.name}_rmse"
    return [
        (line["step"], line.get("seconds", 0.0) / 60, quantity.factor * line[key])
        for line in run.validations
        if line.get(key) and line["step"]
    ]


def _quantities(runs: Sequence[Run]) -> list[Quantity]:
    """Forces first, then energy and stress, then what was declared."""
    own = [DERIVED[name] for name in ("forces", "energy", "stress")]
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    names = [key.split(".")[2] for key in keys if key.startswith("data.quantities.")]
    made = (Quantity(name=n, per="structure", irreps="0e", unit="", shown="") for n in names)
    return [*own, *{quantity.name: quantity for quantity in made}.values()]


def _order(run: Run) -> tuple[bool, float, str]:
    """By the validation error of the forces, or else of what there is; failed runs last."""
    found = (run.rmse("valid", name) for name in ("forces", "energy"))
    error = next((value for value in found if value is not None), float("inf"))
    error = float("inf") if math.isnan(error) else error
    return bool(run.failure), error, str(run.path)


def _shown(value: float | None, quantity: Quantity) -> str:
    return "" if value is None else quantity.show(value)


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "null" if value is None else str(value)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"…{text[1 - _LONGEST :]}"
