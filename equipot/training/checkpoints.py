"""Checkpoints of a run, by Orbax: the latest few and the best, written while training continues.

Each step is a folder with four parts: ``params``, ``ema``, ``opt`` (the optimizer and what belongs
to the step) and ``meta`` (``Progress``, and shapes and digests of all arrays). A checkpoint is
complete or not there: Orbax writes under another name and renames last.

The latest few are kept, and for each of them the one that was the best at its time: when a damaged
one is moved away, the one before it can go on.

Of several processes the first alone opens, saves and loads, see ``SharedCheckpoints``: parameters
are the same in all, and Orbax, which would wait for the others, is told to leave them alone.
"""

import dataclasses
import errno
import math
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from equipot import errors, files
from equipot.training import checkpoint_meta, orbax_alone, orbax_noise
from equipot.training import state as states
from equipot.training.state import Progress, TrainState
from equipot.typing import PyTree

# Orbax and TensorStore raise these for whatever goes wrong with files.
_FAILURES = (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError)
_FULL = tuple(errno.errorcode[number] for number in files.FULL)
_PARTS = {"params", "ema", "opt", "meta", "_CHECKPOINT_METADATA", "commit_success.txt"}
_OVERHEAD = 100_000  # bytes of names and shapes beside the arrays, generously
_when = ocp.training.save_decision_policies


class Checkpoints:
    """The checkpoints of one run folder.

    Attributes:
      folder: Where they are.
      lost_best: The step that a loaded run called its best and that is not there any more.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        """Opens the folder, making it if needed; removes what a killed run left half-written.

        Args:
          folder: Where they are.
          keep: How many of the latest are kept beside the best.

        Raises:
          CheckpointError: If the folder cannot be used, or a checkpoint is damaged.
        """
        self.folder = folder
        self.lost_best: int | None = None
        self._kept = _Kept(keep)
        self._quiet = orbax_noise.Quiet()
        self._quiet.enter()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for unfinished in (*folder.glob("*.orbax-checkpoint-tmp"), *folder.glob(".probe")):
                shutil.rmtree(unfinished)
            # Orbax's policies do not match its own protocols in the eyes of a type checker.
            always: Any = _when.ContinuousCheckpointingPolicy()
            kept: Any = self._kept
            self._checkpointer = orbax_alone.checkpointer(
                folder, save_decision_policy=always, preservation_policy=kept
            )
        except _FAILURES as failure:
            self._quiet.leave()
            raise self._cannot_open(failure) from failure
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
            self._quiet.leave()

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps of all complete checkpoints, ascending."""
        return tuple(checkpoint.step for checkpoint in self._checkpointer.checkpoints)

    @property
    def latest_step(self) -> int | None:
        """The step of the latest complete checkpoint."""
        return max(self.steps, default=None)

    def save(self, state: TrainState, progress: Progress) -> None:
        """Copies the state and begins to write it; returns while the disk is still busy.

        Nothing happens where this step is saved already.

        Args:
          state: What to save.
          progress: Where the run stands; the checkpoint of its best step is kept.

        Raises:
          CheckpointError: If this or the previous checkpoint cannot be written.
        """
        if progress.step == self._last:
            return
        host = states.to_host(state)
        parts = {"params": host.params, "ema": host.ema_params, "opt": _rest(host)}
        meta = checkpoint_meta.to_strings(progress, parts)
        self._kept.best[progress.step] = progress.best_step
        try:
            self._checkpointer.wait()
            self._check_room(sum(leaf.nbytes for leaf in jax.tree.leaves(host)))
            self._checkpointer.save_checkpointables_async(progress.step, {**parts, "meta": meta})
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

        Where the best is not there any more, this one takes its place.

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
        meta = self._meta(step)
        self._check_shapes(step, meta, target)
        loaded = self._load(step, target, meta)
        restored = TrainState(params=loaded["params"], ema_params=loaded["ema"], **loaded["opt"])
        if not meta.digests and restored.step != step:
            raise self._damaged(step, f"its optimizer is at step {restored.step}")
        progress = meta.progress
        if progress.best_step >= 0 and progress.best_step not in self.steps:
            self.lost_best = progress.best_step
            progress = dataclasses.replace(progress, best_step=step, best_loss=math.inf)
        self._kept.best = {own: self._best_step(own) for own in self.steps[:-1]}
        self._kept.best[step] = progress.best_step
        self._finish_deleting(step)
        return restored, progress

    def set_aside(self, step: int) -> None:
        """Moves the latest checkpoint, if its parameters turned out to be bad, out of the way.

        It is kept beside the folder of checkpoints. Nothing happens where it is the only one.

        Args:
          step: The step whose parameters are bad, on the disk or not.

        Raises:
          CheckpointError: If it cannot be moved.
        """
        if step != self.latest_step or len(self.steps) == 1:
            return
        target = self.folder.parent / f"bad_checkpoint_{step}"
        try:
            shutil.rmtree(target, ignore_errors=True)
            (self.folder / str(step)).rename(target)
            self._checkpointer.reload()
        except _FAILURES as failure:
            raise self._cannot_write(failure) from failure

    def load_ema(self, step: int, like: TrainState) -> PyTree:
        """Reads the averaged parameters of one checkpoint, such as the best, into NumPy arrays.

        Raises:
          CheckpointError: If it is damaged or was made by another program.
        """
        target = {"ema": states.to_host(like.ema_params)}
        return self._load(step, target, self._meta(step))["ema"]

    def _finish_deleting(self, latest: int) -> None:
        """Removes older checkpoints that nothing needs: Orbax was killed while it deleted them."""
        wanted = self._kept.wanted(self.steps)
        for path in self.folder.glob("[0-9]*"):
            is_old = path.name.isdecimal() and path.is_dir() and int(path.name) < latest
            if is_old and int(path.name) not in wanted and set(os.listdir(path)) <= _PARTS:
                shutil.rmtree(path, ignore_errors=True)
        self._checkpointer.reload()

    def _check_room(self, size: int) -> None:
        """Reserves room for a checkpoint and frees it: where that fails, Orbax would hang."""
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

    def _meta(self, step: int) -> checkpoint_meta.Meta:
        strings = self._read(step, {"meta": None})["meta"]
        try:
            return checkpoint_meta.from_strings(strings, step)
        except errors.CheckpointError as error:
            raise self._damaged(step, str(error)) from error

    def _best_step(self, step: int) -> int:
        """The best step recorded in a checkpoint; its own step where none is recorded."""
        try:
            return self._meta(step).progress.best_step
        except errors.CheckpointError:
            return step  # damaged: it will be said when somebody needs it

    def _check_shapes(
        self, step: int, meta: checkpoint_meta.Meta, target: dict[str, PyTree]
    ) -> None:
        """Compares shapes, which Orbax reports misleadingly."""
        found, expected = meta.shapes, checkpoint_meta.shapes(target)
        for path in sorted(found.keys() | expected.keys()):
            if found.get(path) != expected.get(path):
                raise errors.CheckpointError(
                    f"{self.folder / str(step)}: {path} is {found.get(path, 'missing')}, expected"
                    f" {expected.get(path, 'nothing of that name')}; it was made for another model"
                )

    def _load(
        self, step: int, target: dict[str, PyTree], meta: checkpoint_meta.Meta
    ) -> dict[str, PyTree]:
        """Reads parts and compares them with their digests."""
        loaded = self._read(step, target)
        for name in target:
            found = checkpoint_meta.digest(loaded[name])
            if meta.digests.get(name, found) != found:
                raise self._damaged(step, f"the checksum of '{name}' differs")
        return loaded

    def _read(self, step: int, target: dict[str, PyTree]) -> dict[str, PyTree]:
        self.wait()
        with orbax_noise.new_alone():
            try:
                return self._checkpointer.load_checkpointables(step, target)
            except _FAILURES as failure:
                why = _first_line(failure)
            # Without the failure as its cause, which would keep what Orbax left undone.
            orbax_noise.collect_quietly()
        raise self._damaged(step, why)

    def _damaged(self, step: int, why: str) -> errors.CheckpointError:
        """Says what to do; following this advice lets the run continue."""
        others = [own for own in self.steps if own != step]
        if not others:
            advice = f"move {self.folder} away, and the same command begins anew"
        elif step > others[-1]:
            advice = f"move that folder away, and the same command goes on from step {others[-1]}"
        else:
            advice = (
                "move that folder away, and the same command goes on with the latest,"
                f" step {others[-1]}, in its place"
            )
        return errors.CheckpointError(
            f"{self.folder / str(step)}: expected a checkpoint of equipot, found a damaged or"
            f" foreign one ({why}); {advice}"
        )

    def _cannot_open(self, failure: BaseException) -> errors.CheckpointError:
        """Names the checkpoint whose description Orbax could not read, if it is that."""
        steps = (path for path in self.folder.glob("*") if path.name.isdecimal())
        damaged = next((path for path in sorted(steps) if not _opens_alone(path)), self.folder)
        goes_on = "begins anew" if damaged == self.folder else "goes on from what is left"
        return errors.CheckpointError(
            f"{damaged}: expected a checkpoint of equipot, found a damaged or foreign one"
            f" ({_first_line(failure)}); move that folder away, and the same command {goes_on}"
        )

    def _cannot_write(self, failure: BaseException) -> errors.CheckpointError:
        try:
            self._checkpointer.reload()
            latest = self.latest_step
        except _FAILURES:
            latest = None
        good = (
            "there is none before it" if latest is None else f"the last good one is step {latest}"
        )
        free = "Free some space and start" if _is_full(failure) else "Mend that and start"
        return errors.CheckpointError(
            f"{self.folder}: the checkpoint could not be written ({_first_line(failure)}); {good}."
            f" {free} again with the same command"
        )


class _Kept:
    """Orbax's policy of what to keep: the latest, and the best step recorded in each of them.

    Attributes:
      best: The best step by the account of each checkpoint.
    """

    def __init__(self, latest: int) -> None:
        self._latest = latest
        self.best: dict[int, int] = {}

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        steps = [checkpoint.step for checkpoint in checkpoints]
        wanted = self.wanted(steps)
        return [step in wanted for step in steps]

    def wanted(self, steps: Sequence[int]) -> set[int]:
        """The steps that are to stay, of those that are there."""
        latest = sorted(steps)[-self._latest :]
        return {*latest, *(self.best.get(step, step) for step in latest)}


def _rest(state: TrainState) -> dict[str, PyTree]:
    """The state without the parameters."""
    return {
        "step": state.step,
        "opt_state": state.opt_state,
        "rate_factor": state.rate_factor,
    }


def _opens_alone(checkpoint: Path) -> bool:
    """Whether Orbax opens a folder that holds nothing but this checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / checkpoint.name).symlink_to(checkpoint.absolute())
        try:
            orbax_alone.checkpointer(Path(folder)).close()
        except _FAILURES:
            return False
    return True


def _is_full(failure: BaseException | None) -> bool:
    """Whether the disk is full, by the number of the system or by TensorStore's words."""
    while failure is not None:
        if files.is_full(failure) or any(word in str(failure) for word in _FULL):
            return True
        failure = failure.__cause__ or failure.__context__
    return False


def _first_line(failure: BaseException) -> str:
    """The cause, on the first line of what Orbax says."""
    if isinstance(failure, KeyError):  # whose words hold all registered handlers and all arrays
        return "what describes its parts cannot be read"
    if isinstance(failure, OSError) and failure.strerror:
        return failure.strerror
    lines = str(failure).strip().splitlines()
    return errors.brief(lines[0]) if lines else type(failure).__name__
