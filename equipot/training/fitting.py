"""The loop: ``fit`` reads as the table of contents of a training run."""

import contextlib
import dataclasses
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import jax
from jax.sharding import Mesh

from equipot import compilations, errors
from equipot import config as configuration
from equipot.data import audit
from equipot.data import dataset as datasets
from equipot.graphs.graph import Batch
from equipot.models import registry
from equipot.potential import precision
from equipot.process import ALONE, Process
from equipot.store import large
from equipot.training import (
    beginning,
    capacity,
    centering,
    changed_settings,
    finishing,
    folder,
    group_weights,
    hosts,
    judging,
    memory,
    preparation,
    run_log,
    sharding,
    shared_checkpoints,
    state,
    stopping,
    time_limit,
    trackers,
    trainer,
)
from equipot.training import length as lengths
from equipot.training.config import TrainConfig
from equipot.training.programs import Programs
from equipot.training.run_page import writer

_TIMING = 0.03  # share of the minutes that timing may take, unless three steps take longer


def fit(config: TrainConfig, stop: stopping.Stop | None = None, process: Process = ALONE) -> Path:
    """Trains a potential, or goes on with a run that was interrupted.

    Args:
      config: The run; its folder is resumed when it holds the same, unfinished run.
      stop: Entered, of a program that watches for signals itself.
      process: Which of the processes that train it.

    Returns:
      The run folder, see ``equipot.training.folder`` for what it holds.

    Raises:
      ConfigError: At a wrong setting, before any data is read.
      DataError: If the data cannot be trained on.
      CheckpointError: If the run folder belongs to another run, or cannot be written.
      MemoryLimitError: If a step does not fit into memory, before the first one.
      NonFiniteError: If the loss or its gradient is not finite.
      HostError: If another process of the run has ended.
      StoppedError: After SIGINT, SIGTERM, SIGHUP or SIGUSR1; while steps are taken, when a
        checkpoint has been written.
      TimeUpError: At the limit of time, when a checkpoint has been written.
    """
    began = time.monotonic()
    registry.config_from_mapping(config.model)  # a wrong setting is said first
    trackers.check(config.logger)
    begun = beginning.look(config, process)
    config = begun.config
    model = registry.config_from_mapping(config.model)
    place = beginning.path_of(config)
    if begun.is_finished:
        if process.is_first:
            print(f"{place.path}: this run is finished.\n{folder.read_table(place)}")
        return place.path
    if process.is_first:
        run_log.tell(f"Run folder: {place.path}")
    with contextlib.ExitStack() as stack:
        stack.enter_context(precision.of(config.potential.dtype))
        compiled = stack.enter_context(compilations.Compilations())
        mesh = sharding.make_mesh(config.trainer.num_devices, process)
        hosts.connect(process, mesh)
        devices = begun.num_devices or mesh.size
        reads_store = beginning.reads_store(begun, process)
        dataset = group_weights.weighted(
            _read(config, model[1].cutoff, reads_store), config.loss.groups
        )
        config = preparation.with_stress(config, dataset, begun.open_stress)
        report = audit.audit(dataset, config.staged_loss.largest_terms)
        is_another = any(change.key in changed_settings.LENGTHS for change in begun.changed)
        length = lengths.begun(config.trainer, begun.length, dataset, devices, is_another)
        parts = preparation.prepare(config, dataset, mesh.size, model, process, length, devices)
        beginning.check_data(dataset, parts.graphs, process)
        programs = None
        if config.trainer.batch_size == "auto" and begun.length is None:
            most = memory.agreed(memory.limit(mesh), process)
            parts, programs = capacity.as_many_as_fit(config, dataset, parts, mesh, most)
            judging.check_moments(config, parts.num_steps)
        facts = {**parts.facts, "reads_store": reads_store}
        stack.enter_context(folder.occupied(place, config, facts, process))
        is_open = lengths.is_open(config.trainer)
        if process.is_first and is_open and not place.length.exists():
            lengths.write(place, config.trainer, parts.length)

        stop = stop or stack.enter_context(stopping.Stop())
        first = None if config.init_from is None else jax.device_get(parts.params)
        run = _begin(config, parts, mesh, begun, process, stack, began, report.lines, programs)
        if begun.changed:
            _accept(run, begun.changed, place, process)
        run.save()  # before anything is compiled, if it is a new run
        _compile(run, begun, process)
        if config.trainer.minutes is not None:
            _take_time(run, config.trainer.minutes, place, process, begun.length is not None)
        if config.init_from is not None:
            run.look_at_start()
        run.log.start_bar(run.num_steps, run.progress.step)
        page = writer.RunPage(run, place, report.lines, compiled, process.is_first)
        limit = time_limit.TimeLimit.of(config.trainer, began)
        with page.told():
            _train(run, stop, limit, page, process)
            run.log.stop_bar()
            if process.is_first:
                finishing.finish(run, first, dataset, place, compiled, page)
    return place.path


def _read(config: TrainConfig, cutoff: float, reads_store: bool) -> datasets.Dataset:
    """The data, from a store if memory would not hold them when the run began."""
    data, said = large.from_store(config.data, cutoff, reads_store)
    dataset = datasets.read_dataset(data)
    return dataclasses.replace(dataset, found=(*dataset.found, said)) if said else dataset


def _begin(
    config: TrainConfig,
    parts: preparation.Preparation,
    mesh: Mesh,
    begun: beginning.Beginning,
    process: Process,
    stack: contextlib.ExitStack,
    began: float,
    lines: Sequence[str],
    programs: Programs | None,
) -> trainer.Trainer:
    """The run at its first step, or where its last checkpoint stands, and the log that says so.

    Raises:
      CheckpointError: If there is nothing to go on with; then nothing has changed.
    """
    place = beginning.path_of(config)
    saved = stack.enter_context(
        shared_checkpoints.SharedCheckpoints(
            place.checkpoints, config.trainer.keep_checkpoints, process
        )
    )
    progress = state.Progress(seed=config.seed)
    goes_on = saved.latest_step is not None
    if not goes_on and config.init_from is None:
        parts = centering.centered(parts)
    initial = state.init_state(parts.params, parts.updates.transformation)
    if goes_on:
        initial, progress = saved.load(initial)
        _check_length(config, parts.num_steps, progress, begun.changed, place)
    else:
        initial = hosts.given(process, initial)
    log = stack.enter_context(run_log.RunLog(place.path, progress.logs, process, parts.quantities))
    log.start_tracker(config.logger, configuration.to_mapping(config), place.path, progress.step)
    if goes_on:
        log.say(f"going on after step {progress.step}, from the checkpoint")
        if parts.facts["num_devices"] != mesh.size:
            log.say(
                f"The run began on {parts.facts['num_devices']} devices and goes on on"
                f" {mesh.size}: every step has the structures that it would have had, and results"
                " are equal to rounding"
            )
    else:
        log.say("\n".join((*lines, *parts.notes, *parts.batch_notes)))
    if saved.lost_best is not None:
        log.say(
            f"The best checkpoint, step {saved.lost_best}, is not there any more: step"
            f" {progress.step} takes its place until a validation finds a better one"
        )
    return trainer.Trainer(config, parts, mesh, initial, progress, saved, log, began, programs)


def _compile(run: trainer.Trainer, begun: beginning.Beginning, process: Process) -> None:
    """Compiles the training step, which may take minutes, and says what memory it takes."""
    run.log.tell("Compiling the training step …")
    began = time.monotonic()
    run.programs.bytes_of(*run.parts.train.budgets)  # before what is left is measured
    most = memory.agreed(memory.limit(run.mesh), process)
    taken = capacity.check(
        run.config, run.parts, run.programs, most, is_new=begun.num_devices is None
    )
    run.log.tell(f"Compiled in {time.monotonic() - began:.1f} s")
    run.log.say(taken)


def _check_length(
    config: TrainConfig,
    num_steps: int,
    progress: state.Progress,
    changed: Sequence[changed_settings.Change],
    place: folder.RunFolder,
) -> None:
    """Refuses another length than before if the run is longer already, or was stopped early.

    Raises:
      CheckpointError: If the run has gone further already, or early stopping has ended it.
    """
    keys = [change.key for change in changed if change.key in changed_settings.LENGTHS]
    is_over = 0 < num_steps <= progress.step
    if keys and is_over:
        raise errors.CheckpointError(
            f"{place.path}: {progress.step} steps are done, and with {', '.join(keys)} as given it"
            f" would end after {num_steps}; expected more than {progress.step}"
        )
    is_wanted = any(change.key == changed_settings.PATIENCE for change in changed)
    is_unknown = num_steps == 0 and config.stage_two.start is not None  # whether that has begun
    if not changed or is_over or is_wanted or is_unknown:
        return
    if judging.Judge.of(config, num_steps).stops(progress):
        raise errors.CheckpointError(
            f"{place.path}: early stopping has ended it after step {progress.step}, with"
            f" {progress.waited} validations without a better one; to go on, give a larger"
            f" {changed_settings.PATIENCE} too, or null"
        )


def _accept(
    run: trainer.Trainer,
    changed: Sequence[changed_settings.Change],
    place: folder.RunFolder,
    process: Process,
) -> None:
    """Goes on with changed settings, and says so."""
    if process.is_first:
        if place.length.exists() and any(c.key in changed_settings.LENGTHS for c in changed):
            lengths.write(place, run.config.trainer, run.parts.length)
        folder.accept(place, run.config, changed, run.progress.step)
    listed = "".join(f"\n  {change}" for change in changed)
    run.log.say(f"From step {run.progress.step} on, settings of this run have changed:{listed}")


def _train(
    run: trainer.Trainer,
    stop: stopping.Stop,
    limit: time_limit.TimeLimit,
    page: writer.RunPage,
    process: Process,
) -> None:
    """Steps until the end, validating and saving on the way.

    Raises:
      StoppedError: After a signal.
      TimeUpError: At the limit of time, if steps are left.
    """
    vote = hosts.StopVote(process, run.mesh, run.progress.step)
    if process.count > 1:
        stop.agrees()
    is_alone = process.count == 1  # several would have to agree after each batch
    with stop.between_steps(), contextlib.closing(_stream(run)) as stream:
        if run.progress.is_due:
            run.is_asked = lambda: is_alone and bool(stop.received)  # by no limit twice
            run.look_around()
            if run.progress.is_due:
                stop.saves()
                raise _stopped(run, stop.received, process)
        run.is_asked = lambda: is_alone and bool(stop.received or limit.is_over)
        while run.goes_on:
            began = time.monotonic()
            item = next(stream)
            run.waited += time.monotonic() - began
            run.take_step(*item)
            run.look_around()
            limit.note_step()
            page.follow()
            asked = stop.received or (limit.reached if run.goes_on else "")
            asked = asked or (limit.is_over if run.progress.is_due else "")
            if by := vote.after(run.progress.step, asked):
                stop.saves()
                raise _stopped(run, by, process)
        if by := vote.at_end(stop.received):
            raise _stopped(run, by, process)
        run.saved.wait()


def _stopped(run: trainer.Trainer, by: str, process: Process) -> errors.StoppedError:
    """Writes a checkpoint, and says where."""
    run.save()
    run.saved.wait()
    is_time_up = by.startswith(time_limit.LIMITS)
    kind = errors.TimeUpError if is_time_up else errors.StoppedError
    if process.count > 1:
        kind = hosts.TimeUpTogetherError if is_time_up else hosts.StoppedTogetherError
    return kind(
        f"stopped by {by} after step {run.progress.step} of {run.num_steps}; a checkpoint is in"
        f" {run.saved.folder}. The same command goes on from there"
    )


def _take_time(
    run: trainer.Trainer,
    minutes: float,
    place: folder.RunFolder,
    process: Process,
    is_known: bool,
) -> None:
    """Computes how many steps there are from the time of the first ones, once for a run.

    ``is_known`` means that the folder has a length file, which may say that this is still to do.

    Raises:
      CheckpointError: If steps are done and their number is not known any more.
    """
    found = run.parts.length
    is_new = found.num_steps is None
    if is_new:
        if run.progress.step and not is_known and run.config.resume != "changed":
            raise errors.CheckpointError(
                f"{place.length}: expected the number of steps of a run that has begun, found none;"
                " restore it, or take another name or run_dir"
            )
        with contextlib.closing(_stream(run)) as stream:
            pace = run.time_steps((batch for *_, batch in stream), _TIMING * 60 * minutes)
        gone = run.seconds
        found = lengths.fill(found, run.config.trainer, pace, 60 * minutes - gone)
        num_steps, valid_every = lengths.agreed(found)
        num_steps += run.progress.step
        found = dataclasses.replace(found, num_steps=num_steps, valid_every=valid_every)
        if process.is_first:
            lengths.write(place, run.config.trainer, found)
        run.log.say(lengths.timed(found, pace, minutes, gone - run.progress.seconds))
    run.last_for(found.num_steps or 0, found.valid_every)
    judging.check_moments(run.config, run.num_steps, is_new)


def _stream(run: trainer.Trainer) -> Generator[tuple[int, int, Batch], None, None]:
    """Batches from where the run stands, each with the epoch and the batches of it then done."""
    epoch, position = run.progress.epoch, run.progress.position
    while True:
        for batch in run.parts.train.batches(epoch, position):
            position = run.parts.train.after(epoch, position)
            yield epoch, position, batch
        epoch, position = epoch + 1, 0
