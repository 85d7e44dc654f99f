"""Checkpoints of a run, by Orbax: the latest few and the best, written while training goes on.

Each step is a folder with four parts: ``params``, ``ema``, ``opt`` (the optimiser and what belongs
to the step) and ``meta`` (``Progress`` and the shapes of all arrays, as JSON). A checkpoint is
complete or not there: Orbax writes under another name and renames last.
"""

import json
import logging
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from equipot import config as configuration
from equipot import errors
from equipot.training import state as states
from equipot.training.state import Progress, TrainState
from equipot.typing import PyTree

# Orbax and TensorStore raise these for whatever goes wrong with files.
_FAILURES = (OSError, ValueError, RuntimeError, LookupError, TypeError)
_OVERHEAD = 100_000  # bytes of names and shapes beside the arrays, generously
_policies = ocp.training.preservation_policies
_when = ocp.training.save_decision_policies


class Checkpoints:
    """The checkpoints of one run folder."""

    def __init__(self, folder: Path, keep: int) -> None:
        """Opens the folder, making it if needed; what a killed run left half-written is removed.

        Args:
          folder: Where they are.
          keep: How many of the latest are kept beside the best.
        """
        self.folder = folder
        for unfinished in (*folder.glob("*.orbax-checkpoint-tmp"), *folder.glob(".probe")):
            shutil.rmtree(unfinished)
        self._quiet = _Quiet()
        logging.getLogger("absl").addFilter(self._quiet)
        best = _policies.BestN(
            get_metric_fn=lambda metrics: metrics["loss"],
            reverse=True,
            n=1,
            keep_checkpoints_without_metrics=False,
        )
        # Orbax's policies do not match its own protocols in the eyes of a type checker.
        always: Any = _when.ContinuousCheckpointingPolicy()
        kept: Any = _policies.AnyPreservationPolicy([_policies.LatestN(keep), best])
        self._checkpointer = ocp.training.Checkpointer(
            str(folder.absolute()), save_decision_policy=always, preservation_policy=kept
        )
        self._last = self.latest_step

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._checkpointer.close()
        except _FAILURES as failure:
            if error is None:
                raise self._cannot_write(failure) from failure
        finally:
            logging.getLogger("absl").removeFilter(self._quiet)

    @property
    def latest_step(self) -> int | None:
        """The step of the latest complete checkpoint."""
        latest = self._checkpointer.latest
        return None if latest is None else latest.step

    def save(self, state: TrainState, progress: Progress) -> None:
        """Copies the state and begins to write it; returns while the disk is still busy.

        Nothing happens where this step is saved already.

        Args:
          state: What to save.
          progress: Where the run stands; kept as the best if its best step is this one.

        Raises:
          CheckpointError: If this or the previous checkpoint cannot be written.
        """
        if progress.step == self._last:
            return
        host = states.to_host(state)
        parts = {"params": host.params, "ema": host.ema_params, "opt": _rest(host)}
        meta = {"progress": configuration.to_mapping(progress), "shapes": _shapes(parts)}
        is_best = progress.best_step == progress.step
        try:
            self._checkpointer.wait()
            self._check_room(sum(leaf.nbytes for leaf in jax.tree.leaves(host)))
            self._checkpointer.save_checkpointables_async(
                progress.step,
                {**parts, "meta": {"json": json.dumps(meta)}},
                metrics={"loss": progress.best_loss} if is_best else None,
            )
        except _FAILURES as failure:
            raise self._cannot_write(failure) from failure
        self._last = progress.step

    def wait(self) -> None:
        """Waits until the last checkpoint is on the disk.

        Raises:
          CheckpointError: If it cannot be written.
        """
        try:
            self._checkpointer.wait()
        except _FAILURES as failure:
            raise self._cannot_write(failure) from failure

    def load(self, like: TrainState) -> tuple[TrainState, Progress]:
        """Reads the latest checkpoint into NumPy arrays.

        Args:
          like: A state of the same shape.

        Raises:
          CheckpointError: If it is damaged, or was made by another program or for another model.
        """
        step = self.latest_step
        if step is None:
            raise errors.CheckpointError(f"{self.folder}: expected a checkpoint, found none")
        host = states.to_host(like)
        target = {"params": host.params, "ema": host.ema_params, "opt": _rest(host)}
        meta = self._meta(step, target)
        loaded = self._load(step, target)
        restored = TrainState(params=loaded["params"], ema_params=loaded["ema"], **loaded["opt"])
        return restored, Progress.from_mapping(meta["progress"])

    def load_ema(self, step: int, like: TrainState) -> PyTree:
        """Reads the averaged parameters of one checkpoint, the best say, into NumPy arrays.

        Raises:
          CheckpointError: If it is damaged or was made by another program.
        """
        return self._load(step, {"ema": states.to_host(like.ema_params)})["ema"]

    def _check_room(self, size: int) -> None:
        """Claims room for a checkpoint and gives it back: where that fails Orbax would wait."""
        probe = self.folder / ".probe"
        probe.mkdir()
        try:
            with (probe / "file").open("wb") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size + _OVERHEAD)
                else:  # macOS
                    file.write(bytes(size + _OVERHEAD))
        finally:
            shutil.rmtree(probe)

    def _meta(self, step: int, target: dict[str, PyTree]) -> dict:
        """Reads the JSON part and compares shapes, which Orbax reports misleadingly."""
        text = self._load(step, {"meta": None})["meta"]
        if not isinstance(text, dict) or "json" not in text:
            raise errors.CheckpointError(
                f"{self.folder / str(step)}: not a checkpoint of equipot; move it away, or take"
                " another run_dir"
            )
        meta = json.loads(text["json"])
        found, expected = meta["shapes"], _shapes(target)
        for path in sorted(found.keys() | expected.keys()):
            if found.get(path) != expected.get(path):
                raise errors.CheckpointError(
                    f"{self.folder / str(step)}: {path} is {found.get(path, 'missing')}, expected"
                    f" {expected.get(path, 'nothing of that name')}; it was made for another model"
                )
        return meta

    def _load(self, step: int, target: dict[str, PyTree]) -> dict[str, PyTree]:
        self.wait()
        try:
            return self._checkpointer.load_checkpointables(step, target)
        except _FAILURES as failure:
            raise errors.CheckpointError(
                f"{self.folder / str(step)}: expected a checkpoint of equipot, found a damaged or"
                f" foreign one ({_first_line(failure)}); move that folder away to go on from the"
                " one before"
            ) from failure

    def _cannot_write(self, failure: BaseException) -> errors.CheckpointError:
        self._checkpointer.reload()
        latest = self.latest_step
        good = (
            "there is none before it" if latest is None else f"the last good one is step {latest}"
        )
        return errors.CheckpointError(
            f"{self.folder}: the checkpoint could not be written ({_first_line(failure)}); {good}."
            " Free some space and start again with the same command"
        )


class _Quiet(logging.Filter):
    """Keeps Orbax's own log lines away: what goes wrong is raised, once, as a sentence."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "orbax" not in record.pathname


def _rest(state: TrainState) -> dict[str, PyTree]:
    """The state without the parameters."""
    return {
        "step": state.step,
        "opt_state": state.opt_state,
        "rate_factor": state.rate_factor,
    }


def _shapes(tree: PyTree) -> dict[str, str]:
    """``float32[64, 64]`` and the like for each leaf, by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): f"{x.dtype}{list(x.shape)}" for path, x in leaves}


def _first_line(failure: BaseException) -> str:
    """The cause, which TensorStore puts last."""
    if isinstance(failure, OSError) and failure.strerror:
        return failure.strerror
    text = str(failure).strip().splitlines() or [type(failure).__name__]
    return text[0] if len(text[0]) < 200 else f"…{text[0][-160:]}"
