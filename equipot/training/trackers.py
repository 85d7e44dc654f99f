"""Programs that follow runs besides the run folder: Weights & Biases, and files of TensorBoard.

Each is imported only where it is asked for.
"""

import contextlib
import hashlib
import importlib
import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import yaml

from equipot import errors
from equipot.training.config import LoggerConfig

_PACKAGES = {"wandb": ("wandb", "wandb"), "tensorboard": ("tensorboardX", "'equipot[tensorboard]'")}
_VALID = "valid_"
_QUEUE = 1000  # numbers that wait to be written: more than a line has
_TRAINED = re.compile(r"loss|\w+_(mae|rmse)")


@runtime_checkable
class Tracker(Protocol):
    """What follows a run from its first line to its end."""

    def log(self, values: Mapping[str, float | int]) -> None:
        """Takes a line of metrics, ``step`` among them."""
        ...

    def finish(self, found: Mapping[str, Any], pictures: Sequence[Path], potential: Path) -> str:
        """Takes what a finished run has; says what could not be taken, which ends no run.

        Args:
          found: RMSE, MAE and unit of each quantity by split and name.
          pictures: Files.
          potential: The file of the potential.
        """
        ...

    def close(self, failed: bool) -> None:
        """Ends; ``failed`` says whether by an error."""
        ...


def check(config: LoggerConfig) -> None:
    """Stops where a package is needed that is not there.

    Raises:
      ConfigError: Naming it.
    """
    package, install = _PACKAGES.get(config.name, ("", ""))
    if package and importlib.util.find_spec(package) is None:
        raise errors.ConfigError(
            f"logger.name: {config.name} needs the package {package}, which is not installed; run"
            f" pip install {install}, or set logger=none"
        )


def begin(
    config: LoggerConfig, run: Mapping[str, Any], folder: Path, step: int = 0
) -> Tracker | None:
    """Begins, or goes on with, a run at the tracker that is configured.

    Args:
      config: Which, if any.
      run: The configuration of the run.
      folder: The run folder.
      step: Steps that are done; what was logged of later ones is lost and logged anew.

    Raises:
      ConfigError: If its package is not there, or it refuses, for lack of a key for instance.
    """
    check(config)
    if config.name == "wandb":
        return WeightsAndBiases(config, run, folder)
    return TensorBoard(run, folder, step) if config.name == "tensorboard" else None


class WeightsAndBiases:
    """A run at Weights & Biases, or kept for it in the run folder."""

    def __init__(self, config: LoggerConfig, run: Mapping[str, Any], folder: Path) -> None:
        """Begins; see ``begin``."""
        self._wandb = importlib.import_module("wandb")  # a second to import, and seldom used
        identity = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:12]
        try:
            self._run = self._wandb.init(
                project=config.project,
                name=run["name"],
                id=identity,
                resume="allow" if config.mode == "online" else None,
                config=dict(run),
                dir=str(folder),
                mode=config.mode,
                reinit="create_new",
            )
        except self._wandb.errors.Error as failure:
            raise errors.ConfigError(
                f"logger: wandb refused ({errors.brief(failure)}); run 'wandb login', or set"
                " logger.mode=offline"
            ) from failure

    def log(self, values: Mapping[str, float | int]) -> None:
        """Takes a line of metrics."""
        self._run.log(dict(values), step=int(values["step"]))

    def finish(self, found: Mapping[str, Any], pictures: Sequence[Path], potential: Path) -> str:
        """The errors go into the summary; pictures and potential are uploaded."""
        try:
            self._run.summary.update(flat(found))
            self._run.log({f"plots/{p.stem}": self._wandb.Image(str(p)) for p in pictures})
            name = re.sub(r"[^\w.-]", "_", potential.stem, flags=re.ASCII)
            artifact = self._wandb.Artifact(name, type="potential")
            artifact.add_file(str(potential))
            self._run.log_artifact(artifact)
        except (self._wandb.errors.Error, OSError, ValueError) as failure:
            return f"wandb did not take the results ({failure}); they are in the run folder"
        return ""

    def close(self, failed: bool) -> None:
        """Ends the run there."""
        self._run.finish(exit_code=1 if failed else 0)


class TensorBoard:
    """Files of TensorBoard, in the folder ``tensorboard`` of the run."""

    def __init__(self, run: Mapping[str, Any], folder: Path, step: int) -> None:
        """Begins a file; those of before lose what they have beyond the step."""
        package = importlib.import_module("tensorboardX")
        self._step = step
        try:
            self._writer = package.SummaryWriter(
                str(folder / "tensorboard"),
                purge_step=step + 1,
                flush_secs=10,
                max_queue=_QUEUE,
                filename_suffix=f".{step}",  # names of files are of the second when they begin
            )
        except OSError as failure:
            raise errors.CheckpointError(
                f"{folder / 'tensorboard'}: could not be written ({failure.strerror})"
            ) from failure
        if step == 0:
            text = yaml.safe_dump(dict(run), sort_keys=False, allow_unicode=True)
            self._writer.add_text("settings", "    " + text.replace("\n", "\n    "), 0)

    def log(self, values: Mapping[str, float | int]) -> None:
        """Takes a line of metrics: those of training, of validation, and of the run."""
        self._step = int(values["step"])
        if not self._is_written:
            return
        for name, value in values.items():
            if name != "step":
                self._writer.add_scalar(tag(name), value, self._step)

    @property
    def _is_written(self) -> bool:
        """Whether the thread that writes is there: after a failure nobody empties its queue."""
        worker = getattr(self._writer.file_writer.event_writer, "_worker", None)
        return worker is None or worker.is_alive()

    def finish(self, found: Mapping[str, Any], pictures: Sequence[Path], potential: Path) -> str:
        """The errors become scalars of the last step, beside the pictures."""
        if not self._is_written:
            return "tensorboard could not be written; all is in the run folder"
        for name, value in flat(found).items():
            if isinstance(value, float):
                self._writer.add_scalar(name, value, self._step)
        with contextlib.suppress(OSError):  # they are in the run folder
            for path in pictures:
                self._writer.add_image(f"plots/{path.stem}", _pixels(path), self._step)
        return ""

    def close(self, failed: bool) -> None:
        """Writes what is left."""
        if self._is_written:
            with contextlib.suppress(OSError):  # of the disk; what was logged is in metrics.jsonl
                self._writer.close()


def tag(name: str) -> str:
    """The name of a column of metrics at TensorBoard, whose panels are grouped by its first word.

    Args:
      name: As in metrics.jsonl.
    """
    if name.startswith(_VALID):
        return f"valid/{name.removeprefix(_VALID)}"
    return f"train/{name}" if _TRAINED.fullmatch(name) else f"run/{name}"


def flat(found: Mapping[str, Any]) -> dict[str, float | None]:
    """Final errors by ``final/test/forces_rmse``, in the units of tables.

    Args:
      found: RMSE, MAE and unit of each quantity by split and name.
    """
    return {
        f"final/{split}/{name}_{kind}": own[kind]
        for split, errors_ in found.items()
        for name, own in errors_.items()
        for kind in ("rmse", "mae")
    }


def _pixels(path: Path) -> np.ndarray:
    """Red, green and blue of a picture, [3, rows, columns]."""
    from matplotlib import image

    return np.asarray(image.imread(path))[..., :3].transpose(2, 0, 1)
