"""The trainer: takes steps, and from time to time checks the progress of the run."""

import dataclasses
import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from equipot import errors
from equipot.graphs import loader
from equipot.graphs.graph import Batch
from equipot.store.graph_store import GraphStore
from equipot.training import (
    judging,
    length,
    metrics,
    not_finite,
    optimizer,
    pace,
    preparation,
    run_log,
    sharding,
    shared_checkpoints,
    state,
    step,
)
from equipot.training.config import VALID_LOSS, TrainConfig
from equipot.training.programs import Programs

_IN_FLIGHT = (
    2  # steps handed to the device before the host waits: it stays busy, memory stays small
)
_UNTIMED, _FEW_TIMED, _TIMED = 5, 3, 50  # steps, where a run is to last for some minutes
_TIMED_VALIDATION = 8  # batches
_CHECKPOINTS, _FEWEST_BETWEEN = 50, 500  # of a run whose validations are rarer; steps


class Trainer:
    """A run in progress: the state on the devices, its progress, its checkpoints and its log.

    Attributes:
      config: The configuration.
      parts: Everything fixed before the first step.
      num_steps: Length of the run.
      batch_size: Structures at once when evaluating.
      state: The state on the devices.
      progress: The progress of the run.
      saved: The checkpoints of the run.
      log: The log of the run.
      waited: Seconds in which the loop waited for batches, since the last line of the log.
      is_asked: Whether the run is to stop, which a validation is not to delay.
      programs: What is compiled.
    """

    def __init__(
        self,
        config: TrainConfig,
        parts: preparation.Preparation,
        mesh: jax.sharding.Mesh,
        initial: state.TrainState,
        progress: state.Progress,
        saved: shared_checkpoints.SharedCheckpoints,
        log: run_log.RunLog,
        start: float,
        programs: Programs | None = None,
    ) -> None:
        """Compiles nothing yet; ``start`` is when this process began with the run."""
        self.config, self.parts, self.mesh = config, parts, mesh
        self.progress, self.saved, self.log = progress, saved, log
        self._start = start - progress.seconds
        per_epoch = parts.train.num_steps(0)
        self.last_for(parts.num_steps, parts.length.valid_every)
        average = math.ceil(len(parts.train.graphs) / (parts.train.num_batches(0) * mesh.size))
        self.batch_size = config.trainer.eval_batch_size or parts.length.batch_size or average
        self._structures_per_step = len(parts.train.graphs) / per_epoch
        self.programs = programs or Programs(parts, mesh)
        self._train_step, self._eval_step = self.programs.train_step, self.programs.eval_step
        self.state = sharding.replicate(initial, mesh)
        nothing = step.empty_tally(parts.loss, parts.spec.dtype, parts.quantities)
        self._nothing = sharding.replicate(nothing, mesh)
        self._tally = sharding.replicate(nothing.plus(progress.counted), mesh)
        self._in_flight = deque()
        self._window = (time.monotonic(), progress.step)
        self._pace = pace.PaceMeter()
        self._has_validated = False  # in this process
        self._places: dict[int, tuple[int, int]] = {}  # of the batches in the tally, by step
        self.waited = 0.0  # seconds for batches, since the last line
        self.is_asked: Callable[[], bool] = lambda: False

    def last_for(self, num_steps: int, valid_every: int | None) -> None:
        """Sets the length of the run, before its first step.

        Args:
          num_steps: Steps.
          valid_every: Steps between validations; null for one each epoch.
        """
        trainer = self.config.trainer
        valid_every = valid_every or self.parts.train.num_steps(0)
        seldom = max(math.ceil(num_steps / _CHECKPOINTS), _FEWEST_BETWEEN)
        save_every = trainer.checkpoint_every or min(valid_every, seldom)
        self.num_steps = num_steps
        self._plan = _Plan(num_steps, trainer.log_every, valid_every, save_every)
        self._judge = judging.Judge.of(self.config, num_steps)
        course = optimizer.Course.of(self.config.optimizer, num_steps)
        self._course = sharding.replicate(course, self.mesh)

    def time_steps(self, batches: Iterable[Batch], most: float) -> length.Pace:
        """Times steps and validations, compiling both; the run itself does not advance.

        Args:
          batches: As many of the training split as are asked for.
          most: Seconds after which enough steps are timed.
        """
        held = state.to_host((self.state, self._tally))
        now, tally = sharding.replicate(held, self.mesh)
        running, began, enough = deque(), math.inf, _FEW_TIMED
        for done, batch in enumerate(batches, start=1 - _UNTIMED):
            shards = sharding.shard(batch, self.mesh)
            now, tally = self._train_step(now, tally, shards, self._course)
            running.append(tally.bad_step)
            if len(running) > _IN_FLIGHT or done <= 0:
                running.popleft().block_until_ready()
            if done == 0:
                began = time.monotonic()
            if done == _FEW_TIMED:  # all processes take as many more
                few = (time.monotonic() - began) / done
                enough = length.of_first(min(_TIMED, max(done, int(most / few))))
            if done == enough:
                break
        jax.block_until_ready(tally)
        return length.Pace((time.monotonic() - began) / done, self._time_validation())

    def _time_validation(self) -> float:
        """Seconds of a validation, from some of its batches."""
        valid = self.parts.valid
        if valid is None:
            return 0.0
        chosen = itertools.islice(valid.batches(0), _TIMED_VALIDATION)
        shards = [sharding.shard(batch, self.mesh) for batch in chosen]
        jax.block_until_ready(self._eval_step(self.state.ema_params, shards[0]))
        began = time.monotonic()
        jax.block_until_ready([self._eval_step(self.state.ema_params, own) for own in shards])
        seconds = (time.monotonic() - began) / len(shards)
        return seconds * valid.num_batches(0)

    @property
    def seconds(self) -> float:
        """Time spent on the run, in this process and in those before."""
        return time.monotonic() - self._start

    @property
    def goes_on(self) -> bool:
        """Whether steps are left and early stopping has not been reached."""
        return self.progress.step < self.num_steps and not self._judge.stops(self.progress)

    @property
    def has_validated(self) -> bool:
        """Whether a validation followed the last step."""
        return self._plan.validates(self.progress.step) and not self.progress.is_due

    def take_step(self, epoch: int, position: int, batch: Batch) -> None:
        """Hands one step to the devices; ``position`` batches of the epoch are done after it."""
        shards = sharding.shard(batch, self.mesh)
        self.state, self._tally = self._train_step(self.state, self._tally, shards, self._course)
        self.progress = dataclasses.replace(
            self.progress, step=self.progress.step + 1, epoch=epoch, position=position
        )
        self._places[self.progress.step] = (epoch, position)
        self._in_flight.append(self._tally.bad_step)
        if len(self._in_flight) > _IN_FLIGHT:
            self._in_flight.popleft().block_until_ready()
        self.log.advance(self.progress.step)

    def look_at_start(self) -> None:
        """Validates before the first step what training starts from, which may stay the best."""
        if self.progress.step == 0 and self.parts.valid is not None:
            self._validate(self.parts.valid)

    def look_around(self) -> None:
        """Logs, validates and saves if it is time to; all three are functions of the step alone.

        A validation in which the run is asked to stop is given up, and due when the run goes on.
        """
        done = self.progress.step
        if not self._plan.logs(done):
            return
        counted = self._tally, dict(self._places)
        values = self._count_up()
        self.progress = dataclasses.replace(self.progress, is_due=False)
        if self._plan.validates(done) and self.parts.valid is not None:
            found = self._validate(self.parts.valid)
            if found is None:
                self._tally, self._places = counted
                self.progress = dataclasses.replace(self.progress, is_due=True)
                return
            values |= found
        elif self._plan.validates(done):
            self._keep(values)
        self.log.record(values)
        if self._plan.saves(done) or self.progress.best_step == done:
            self.save()
        self._window, self.waited = (time.monotonic(), done), 0.0
        self._pace.begin(done)  # later windows hold steps and nothing that is compiled

    def save(self) -> None:
        """Begins to write a checkpoint, with the lengths of the logs as they are now.

        Raises:
          NonFiniteError: If a step since the last line of the log was not finite.
        """
        tally = jax.device_get(self._tally)
        self._check_finite(tally)
        self.progress = dataclasses.replace(
            self.progress,
            seconds=self.seconds,
            logs=self.log.lengths(),
            counted=tally.counted(),
        )
        self.saved.save(self.state, self.progress)

    def _count_up(self) -> dict[str, float | int]:
        """Metrics since the last line; begins a new tally."""
        tally = jax.device_get(self._tally)
        self._check_finite(tally)
        began, first = self._window
        done = self.progress.step
        elapsed = time.monotonic() - began
        speed = (done - first) * self._structures_per_step / elapsed
        self._tally = self._nothing
        self._places.clear()
        self.log.advance(done, speed)
        course = optimizer.Course.of(self.config.optimizer, self.num_steps)  # of this process alone
        rate = self.parts.updates.rate(
            jnp.asarray(done - 1, jnp.int32), self.progress.plateau.factor, course
        )
        return {
            "step": done,
            "epoch": self.progress.epoch,
            "learning_rate": float(rate),
            "loss": metrics.mean(tally.sums["loss"]),
            **metrics.errors(tally.sums, self.parts.quantities),
            "grad_norm": metrics.mean(tally.sums["grad_norm"]),
            "structures_per_second": speed,
            "seconds": self.seconds,
            "waiting": self.waited / elapsed,
        }

    def _check_finite(self, tally: metrics.Tally) -> None:
        if tally.bad_step < 0:
            return
        bad = int(tally.bad_step) + 1
        what = not_finite.cause({name: float(value) for name, value in tally.bad_terms.items()})
        epoch, position = self._places[bad]
        raise self._not_finite(f"step {bad}: {what}", bad, self.parts.train, epoch, position - 1)

    def _not_finite(
        self, what: str, at: int, data: loader.Loader, epoch: int, position: int
    ) -> errors.NonFiniteError:
        """With the last good checkpoint, the structures of one batch, and what to do."""
        members = data.members(epoch, position)
        which = not_finite.structures([data.graphs[i] for i in members])
        path = self.saved.folder.parent / f"not_finite_at_step_{at}.extxyz"
        kept = ""
        if data.process.is_first and isinstance(data.graphs, GraphStore):
            not_finite.write(path, [data.graphs.structures[i] for i in members], data.quantities)
            kept = f" (written to {path})"
        self.saved.wait()
        self.saved.set_aside(at - 1)  # its own parameters led to this
        good = self.saved.latest_step
        rate = self.config.optimizer.learning_rate
        return errors.NonFiniteError(
            f"{what}; the last good checkpoint is {'none' if good is None else f'step {good}'} in"
            f" {self.saved.folder}. Look for strange labels in the structures of that step{kept},"
            f" the largest forces first: {which}. If they are right, go on from the checkpoint with"
            f" a lower rate, as in optimizer.learning_rate={rate / 4:.2g} resume=changed, or begin"
            " again under another name with optimizer.clip_norm"
        )

    def _keep(self, values: Mapping[str, float | int]) -> None:
        """Without a validation split the latest parameters are the ones to keep."""
        self.progress = dataclasses.replace(self.progress, best_step=self.progress.step)
        self.log.say(self._line("train", values, f"loss {values['loss']:.4g}"))

    def _validate(self, valid: loader.Loader) -> dict[str, float | int] | None:
        """Measures the averaged parameters on the validation split; decides on rate and best.

        Nothing is decided, and None returned, if the run is asked to stop meanwhile.
        """
        began, parts, compiling = time.monotonic(), [], 0.0
        for batch in valid.batches(0):
            parts.append(self._eval_step(self.state.ema_params, sharding.shard(batch, self.mesh)))
            if not self._has_validated:  # the first call returns when its program is compiled
                compiling, self._has_validated = time.monotonic() - began, True
            if len(parts) > _IN_FLIGHT:
                jax.block_until_ready(parts[-1 - _IN_FLIGHT])
            if self.is_asked():
                return None
        found_in = jax.device_get(parts)
        self._pace.validated(time.monotonic() - began, compiling)
        terms, sums = jax.tree.map(
            lambda *leaves: np.sum(np.asarray(leaves, np.float64)), *found_in
        )
        value = sum(self._weighted(terms).values())
        if not np.isfinite(value):
            raise self._invalid([self._weighted(own) for own, _ in found_in], valid)
        measured = metrics.errors(sums, self.parts.quantities)
        found = {VALID_LOSS: value} | {f"valid_{key}": error for key, error in measured.items()}
        before = self.progress.plateau.factor
        self.progress = self._judge.validated(self.progress, found[self.config.best_column])
        if self.progress.plateau.factor != before:
            factor = np.asarray(self.progress.plateau.factor, np.float32)
            self.state = self.state.replace(rate_factor=sharding.replicate(factor, self.mesh))
        best = " (best)" if self.progress.best_step == self.progress.step else ""
        self.log.say(self._line("valid", found, f"loss {value:.4g}{best}"))
        return found

    def _weighted(self, terms: metrics.Sums) -> dict[str, float]:
        """The contribution of each term to the loss of the stage."""
        weights = self._judge.loss(self.progress).last_terms
        return {name: weights[name] * metrics.mean(term) for name, term in terms.items()}

    def _invalid(
        self, batches: Sequence[Mapping[str, float]], valid: loader.Loader
    ) -> errors.NonFiniteError:
        """Names the term and the structures, from the terms of each batch of the validation."""
        finite = [bool(np.isfinite(sum(own.values()))) for own in batches]
        bad = finite.index(False) if False in finite else 0  # only their sum is too large
        what = f"step {self.progress.step}: in validation {not_finite.cause(batches[bad])}"
        return self._not_finite(what, self.progress.step, valid, 0, bad)

    def _line(self, split: str, found: Mapping[str, float | int], loss: str) -> str:
        """The errors on a split as a readable line."""
        prefix = "valid_" if split == "valid" else ""
        shown = [
            f"{name} {quantity.show(found[f'{prefix}{name}_rmse'])} {quantity.shown}".rstrip()
            for name, quantity in self.parts.quantities.items()
            if f"{prefix}{name}_rmse" in found
        ]
        return (
            f"step {self.progress.step}/{self.num_steps}  epoch {self.progress.epoch}"
            f"  {split} RMSE: {', '.join(shown)}  {loss}  {self.seconds:.0f} s{self._to_go()}"
        )

    def _to_go(self) -> str:
        """How long the rest takes at the pace so far; nothing where none has been measured."""
        plan, done = self._plan, self.progress.step
        validations = -(-self.num_steps // plan.valid_every) - -(-done // plan.valid_every)
        left = self._pace.left(done, self.num_steps - done, validations) if self.goes_on else None
        return "" if left is None else f", {pace.in_words(left)} to go"


@dataclasses.dataclass(frozen=True)
class _Plan:
    """After which steps the trainer logs, validates and saves."""

    num_steps: int
    log_every: int
    valid_every: int
    save_every: int

    def validates(self, step: int) -> bool:
        return self._is_due(step, self.valid_every)

    def saves(self, step: int) -> bool:
        return self._is_due(step, self.save_every)

    def logs(self, step: int) -> bool:
        """Also whenever something else is done: a checkpoint stands between two lines."""
        return step % self.log_every == 0 or self.validates(step) or self.saves(step)

    def _is_due(self, step: int, every: int) -> bool:
        return step % every == 0 or step == self.num_steps
