"""The loop: ``fit`` reads as the table of contents of a training run."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from equipot import compilations, errors
from equipot import config as configuration
from equipot.data import audit, distance_range
from equipot.data import dataset as datasets
from equipot.graphs.graph import Batch
from equipot.models import registry
from equipot.potential import artefact, evaluate, precision
from equipot.potential import potential as potentials
from equipot.process import ALONE, Process
from equipot.store.graph_store import GraphStore
from equipot.training import (
    capacity,
    centering,
    changes,
    checkpoints,
    earlier,
    folder,
    group_weights,
    judging,
    memory,
    plots,
    preparation,
    reports,
    run_log,
    sharding,
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
from equipot.typing import PyTree

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
      StoppedError: After SIGINT, SIGTERM, SIGHUP or SIGUSR1; while steps are taken, when a
        checkpoint has been written.
      TimeUpError: At the limit of time, when a checkpoint has been written.
    """
    began = time.monotonic()
    registry.config_from_mapping(config.model)  # a wrong setting is said first
    trackers.check(config.logger)
    config = earlier.as_begun(config)
    model = registry.config_from_mapping(config.model)
    place = folder.find_folder(config)
    changed = folder.changed(place, config)
    if place.is_finished and not changed:
        if process.is_first:
            print(f"{place.path}: this run is finished.\n{folder.read_table(place)}")
        return place.path
    if process.is_first:
        run_log.tell(f"Run folder: {place.path}")
    with contextlib.ExitStack() as stack:
        stack.enter_context(precision.of(config.potential.dtype))
        compiled = stack.enter_context(compilations.Compilations())
        mesh = sharding.make_mesh(config.trainer.num_devices)
        dataset = group_weights.weighted(datasets.read_dataset(config.data), config.loss.groups)
        config = preparation.with_stress(config, dataset, earlier.open_stress(place))
        report = audit.audit(dataset, config.staged_loss.largest_terms)
        other_minutes = any(change.key == "trainer.minutes" for change in changed)
        length = lengths.begun(config, place, dataset, mesh.size, other_minutes)
        parts = preparation.prepare(config, dataset, mesh.size, model, process, length)
        programs = None
        if config.trainer.batch_size == "auto" and not place.length.exists():
            most = memory.agreed(memory.limit(mesh), process)
            parts, programs = capacity.as_many_as_fit(config, dataset, parts, mesh, most)
        stack.enter_context(folder.occupied(place, config, parts.facts, process))
        is_new = other_minutes or not place.length.exists()
        if process.is_first and lengths.is_open(config.trainer) and is_new:
            lengths.write(place, parts.length)

        stop = stop or stack.enter_context(stopping.Stop(process=process))
        first = None if config.init_from is None else jax.device_get(parts.params)
        run = _begin(config, parts, mesh, place, process, stack, began, report.lines, programs)
        if changed:
            _accept(run, changed, place, process)
        run.save()  # before anything is compiled, if it is a new run
        _compile(run, process)
        if config.trainer.minutes is not None:
            _take_time(run, config.trainer.minutes, place, process)
        if config.init_from is not None:
            run.look_at_start()
        run.log.start_bar(run.num_steps, run.progress.step)
        page = writer.RunPage(run, place, report.lines, compiled, process.is_first)
        with page.told():
            _train(run, stop, time_limit.TimeLimit.of(config.trainer, began), page)
            run.log.stop_bar()
            best = _best(run, dataset)
            if process.is_first:
                _finish(run, best, first, dataset, place, compiled, page)
    return place.path


def _begin(
    config: TrainConfig,
    parts: preparation.Preparation,
    mesh: Mesh,
    place: folder.RunFolder,
    process: Process,
    stack: contextlib.ExitStack,
    began: float,
    lines: Sequence[str],
    programs: Programs | None,
) -> trainer.Trainer:
    """The run at its first step, or where its last checkpoint stands, and the log that says so."""
    saved = stack.enter_context(
        checkpoints.Checkpoints(place.checkpoints, config.trainer.keep_checkpoints, process)
    )
    progress = state.Progress(seed=config.seed)
    goes_on = saved.latest_step is not None
    if not goes_on and config.init_from is None:
        parts = centering.centered(parts)
    initial = state.init_state(parts.params, parts.updates.transformation)
    if goes_on:
        initial, progress = saved.load(initial)
    log = stack.enter_context(run_log.RunLog(place.path, progress.logs, process, parts.quantities))
    log.start_tracker(config.logger, configuration.to_mapping(config), place.path, progress.step)
    if goes_on:
        log.say(f"going on after step {progress.step}, from the checkpoint")
    else:
        log.say("\n".join((*lines, *parts.notes, *parts.batch_notes)))
    if saved.lost_best is not None:
        log.say(
            f"The best checkpoint, step {saved.lost_best}, is not there any more: step"
            f" {progress.step} takes its place until a validation finds a better one"
        )
    return trainer.Trainer(config, parts, mesh, initial, progress, saved, log, began, programs)


def _compile(run: trainer.Trainer, process: Process) -> None:
    """Compiles the training step, which may take minutes, and says what memory it takes."""
    run.log.tell("Compiling the training step …")
    began = time.monotonic()
    run.programs.bytes_of(*run.parts.train.budgets)  # before what is left is measured
    most = memory.agreed(memory.limit(run.mesh), process)
    taken = capacity.check(run.config, run.parts, run.programs, most)
    run.log.tell(f"Compiled in {time.monotonic() - began:.1f} s")
    run.log.say(taken)


def _accept(
    run: trainer.Trainer,
    changed: Sequence[changes.Change],
    place: folder.RunFolder,
    process: Process,
) -> None:
    """Goes on with changed settings, and says so."""
    if process.is_first:
        folder.accept(place, run.config, changed, run.progress.step)
    listed = "".join(f"\n  {change}" for change in changed)
    run.log.say(f"From step {run.progress.step} on, settings of this run have changed:{listed}")


def _train(
    run: trainer.Trainer,
    stop: stopping.Stop,
    limit: time_limit.TimeLimit,
    page: writer.RunPage,
) -> None:
    """Steps until the end, validating and saving on the way.

    Raises:
      StoppedError: After a signal.
      TimeUpError: At the limit of time, if steps are left.
    """
    with stop.between_steps(), contextlib.closing(_stream(run)) as stream:
        while run.goes_on:
            began = time.monotonic()
            item = next(stream)
            run.waited += time.monotonic() - began
            run.take_step(*item)
            run.look_around()
            limit.note_step()
            page.follow()
            if stop.received:
                stop.saves()
                raise errors.StoppedError(_stopped(run, stop.received))
            if limit.is_reached and run.goes_on:
                raise errors.TimeUpError(_stopped(run, limit.what))
        run.saved.wait()


def _stopped(run: trainer.Trainer, by: str) -> str:
    """Writes a checkpoint, and says where."""
    run.save()
    run.saved.wait()
    return (
        f"stopped by {by} after step {run.progress.step} of {run.num_steps}; a checkpoint is in"
        f" {run.saved.folder}. The same command goes on from there"
    )


def _take_time(
    run: trainer.Trainer, minutes: float, place: folder.RunFolder, process: Process
) -> None:
    """Computes how many steps there are from the time of the first ones, once for a run.

    Raises:
      CheckpointError: If steps are done and their number is not known any more.
    """
    found = run.parts.length
    if found.num_steps is None:
        if run.progress.step and run.config.resume != "changed":
            raise errors.CheckpointError(
                f"{place.length}: expected the number of steps of a run that has begun, found none;"
                " restore it, or take another name or run_dir"
            )
        with contextlib.closing(_stream(run)) as stream:
            pace = run.time_steps((batch for *_, batch in stream), _TIMING * 60 * minutes)
        found = lengths.fill(found, run.config.trainer, pace, 60 * minutes - run.seconds)
        found = dataclasses.replace(found, num_steps=run.progress.step + (found.num_steps or 0))
        if process.is_first:
            lengths.write(place, found)
        run.log.say(
            f"Timed: {1e3 * pace.step:.3g} ms a step, {pace.validation:.2g} s a validation;"
            f" {found.num_steps} steps in all, a validation every {found.valid_every}, fit into"
            f" {minutes:g} minutes. Measuring all splits at the end comes on top"
        )
    run.last_for(*lengths.agreed(found))
    judging.check_stage(run.config, run.num_steps)


def _stream(run: trainer.Trainer) -> Generator[tuple[int, int, Batch], None, None]:
    """Batches from where the run stands, each with the epoch and the batches of it then done."""
    epoch, position = run.progress.epoch, run.progress.position
    while True:
        for batch in run.parts.train.batches(epoch, position):
            position = run.parts.train.after(epoch, position)
            yield epoch, position, batch
        epoch, position = epoch + 1, 0


def _best(run: trainer.Trainer, dataset: datasets.Dataset) -> potentials.Potential:
    """The potential of the best checkpoint, which all processes read."""
    return potentials.Potential(
        spec=run.parts.spec,
        params=run.saved.load_ema(run.progress.best_step, run.state),
        provenance=_provenance(run, dataset),
        distance_range=distance_range_of(run.parts.spec, dataset),
    )


def _finish(
    run: trainer.Trainer,
    best: potentials.Potential,
    first: PyTree,
    dataset: datasets.Dataset,
    place: folder.RunFolder,
    compiled: compilations.Compilations,
    page: writer.RunPage,
) -> None:
    """Saves the best potential, measures it on all splits, and writes tables and pictures.

    The potential is there before it is measured, and then states its errors.

    The first parameters are measured too, where there are any that somebody gave.
    """
    artefact.save(place.artefact, best)
    evaluated = _evaluate(best, run.parts.graphs, dataset, run.batch_size)
    known = run.parts.quantities
    table = {name: reports.split_errors(*own, known) for name, own in evaluated.items()}
    stated = {name: errors_.summary(known) for name, errors_ in table.items()}
    provenance = {**best.provenance, "errors": stated}
    artefact.save(place.artefact, dataclasses.replace(best, provenance=provenance))
    text = _table(run, table)
    before = _errors_before(run, first, dataset)
    if before:
        text += f"\nBefore training, of {run.config.init_from}:\n"
        text += _table(run, before)
    _draw(run, evaluated, table, before, place, page)
    folder.write_text(place.table, text + "\n")
    which = "last" if run.parts.valid is None else "best"
    run.log.say(f"Errors of {place.artefact} (step {run.progress.best_step}, the {which}):\n{text}")
    run.log.say(f"Compiled: {compiled}. All of the run: {place.path}, {run.seconds:.0f} s")
    empty = dict.fromkeys(dataset.splits)
    found: dict[str, Any] = {name: errors_.to_json() for name, errors_ in table.items()}
    if before:
        found["before"] = {name: errors_.to_json() for name, errors_ in before.items()}
    facts = {"best_step": run.progress.best_step, "units": reports.units(known)}
    seconds = round(run.seconds, 3)
    folder.write_json(place.metrics, {**empty, **found, **facts, "seconds": seconds})


def _table(run: trainer.Trainer, table: Mapping[str, reports.SplitErrors]) -> str:
    """Errors by split, for people."""
    data = run.config.data
    return reports.error_table(table, run.parts.quantities, data.group_key, data.head_key)


def _draw(
    run: trainer.Trainer,
    evaluated: plots.Evaluated,
    table: Mapping[str, reports.SplitErrors],
    before: Mapping[str, reports.SplitErrors],
    place: folder.RunFolder,
    page: writer.RunPage,
) -> None:
    """Pictures and the page, which trackers get too."""
    lines, known = place.path / run_log.JSONL, run.parts.quantities
    best, names = run.progress.best_step, writer.names_of(run.config)
    drawn = plots.save_plots(place.plots, evaluated, lines, known, best, names)
    page.finish(evaluated, table, before)
    stated = {name: own.summary(known) for name, own in table.items()}
    run.log.finish_tracker(stated, drawn, place.artefact)


def _errors_before(
    run: trainer.Trainer, first: PyTree, dataset: datasets.Dataset
) -> dict[str, reports.SplitErrors]:
    """Errors of the given first parameters on all splits."""
    if first is None:
        return {}
    potential = potentials.Potential(spec=run.parts.spec, params=first)
    evaluated = _evaluate(potential, run.parts.graphs, dataset, run.batch_size)
    known = run.parts.quantities
    return {name: reports.split_errors(*own, known) for name, own in evaluated.items()}


def _evaluate(
    potential: potentials.Potential,
    graphs: Mapping[str, GraphStore],
    dataset: datasets.Dataset,
    batch_size: int,
) -> plots.Evaluated:
    """Predictions for all splits that hold structures, through one compiled program.

    Those that training used have their graphs; only now those of the others are built.
    """
    splits = {name: split for name, split in dataset.splits.items() if split}
    settings = graphs["train"].settings
    stores = [
        graphs[name] if name in graphs else GraphStore.build(split, settings)
        for name, split in splits.items()
    ]
    predictions = iter(evaluate.evaluate(potential, GraphStore.joined(stores), batch_size))
    return {name: (split, [next(predictions) for _ in split]) for name, split in splits.items()}


def _provenance(run: trainer.Trainer, dataset: datasets.Dataset) -> dict[str, Any]:
    """How the potential came to be, as plain JSON."""
    value = run.progress.best_loss
    return {
        "config": configuration.to_mapping(run.config),
        "dataset": dataset.fingerprint,
        "step": run.progress.best_step,
        run.config.best_column: value if math.isfinite(value) else None,
        "seconds": round(run.seconds, 3),
        "versions": folder.versions(),
        "undetermined": run.parts.facts["undetermined"],
    }


def distance_range_of(
    spec: potentials.PotentialSpec, dataset: datasets.Dataset
) -> distance_range.DistanceRange:
    """The distances of the training split, of all levels of theory.

    Elements whose isolated atom has its exact energy at each level may be alone. What a potential
    that training started from was trained on is not added: its parameters have moved on.

    Args:
      spec: The potential.
      dataset: The data of this training.
    """
    known = [dataset.isolated_by_head.get(head, dataset.isolated_atoms) for head in spec.heads]
    exact = set.intersection(*map(set, known)) if spec.anchor_isolated else set()
    elements = exact.intersection(spec.species_table)
    return distance_range.measure(dataset.train, spec.cutoff, elements)
