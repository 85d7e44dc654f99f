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
    beginning,
    centering,
    folder,
    hosts,
    plots,
    preparation,
    reports,
    run_log,
    sharding,
    shared_checkpoints,
    state,
    stopping,
    trainer,
)
from equipot.training import length as lengths
from equipot.training.config import TrainConfig
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
      NonFiniteError: If the loss or its gradient is not finite.
      HostError: If another process of the run has ended.
      StoppedError: After SIGINT, SIGTERM, SIGHUP or SIGUSR1; while steps are taken, when a
        checkpoint has been written.
    """
    began = time.monotonic()
    registry.config_from_mapping(config.model)  # a wrong setting is said first
    begun = beginning.look(config, process)
    config = begun.config
    model = registry.config_from_mapping(config.model)
    place = beginning.path_of(config)
    if begun.is_finished:
        if process.is_first:
            print(f"{place.path}: this run is finished.\n{folder.read_table(place)}")
        return place.path
    with contextlib.ExitStack() as stack:
        stack.enter_context(precision.of(config.potential.dtype))
        compiled = stack.enter_context(compilations.Compilations())
        mesh = sharding.make_mesh(config.trainer.num_devices, process)
        hosts.connect(process, mesh)
        devices = begun.num_devices or mesh.size
        dataset = datasets.read_dataset(config.data)
        config = preparation.with_stress(config, dataset, begun.open_stress)
        report = audit.audit(dataset, config.loss.terms)
        length = begun.length or lengths.choose(config.trainer, dataset, devices)
        parts = preparation.prepare(config, dataset, mesh.size, model, process, length, devices)
        beginning.check_data(dataset, parts.graphs, process)
        stack.enter_context(folder.occupied(place, config, parts.facts, process))
        if process.is_first and lengths.is_open(config.trainer) and not place.length.exists():
            lengths.write(place, length)

        stop = stop or stack.enter_context(stopping.Stop())
        first = None if config.init_from is None else jax.device_get(parts.params)
        run = _begin(config, parts, mesh, place, process, stack, began, report.lines)
        run.save()  # before anything is compiled, if it is a new run
        if config.trainer.minutes is not None:
            _take_time(run, config.trainer.minutes, place, process)
        if config.init_from is not None:
            run.look_at_start()
        run.log.start_bar(run.num_steps, run.progress.step)
        _train(run, stop, process)
        run.log.stop_bar()
        if process.is_first:
            _finish(run, _best(run, dataset), first, dataset, place, compiled)
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
) -> trainer.Trainer:
    """The run at its first step, or where its last checkpoint stands, and the log that says so."""
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
    else:
        initial = hosts.given(process, initial)
    log = stack.enter_context(run_log.RunLog(place.path, progress.logs, process, parts.quantities))
    log.start_tracker(config.logger, configuration.to_mapping(config), place.path)
    if goes_on:
        log.say(f"going on after step {progress.step}, from the checkpoint")
        if parts.facts["num_devices"] != mesh.size:
            log.say(
                f"The run began on {parts.facts['num_devices']} devices and goes on on"
                f" {mesh.size}: every step has the structures that it would have had, and results"
                " are equal to rounding"
            )
    else:
        log.say("\n".join((*lines, *parts.notes)))
    if saved.lost_best is not None:
        log.say(
            f"The best checkpoint, step {saved.lost_best}, is not there any more: step"
            f" {progress.step} takes its place until a validation finds a better one"
        )
    return trainer.Trainer(config, parts, mesh, initial, progress, saved, log, began)


def _train(run: trainer.Trainer, stop: stopping.Stop, process: Process) -> None:
    """Steps until the end, validating and saving on the way."""
    vote = hosts.StopVote(process, run.mesh, run.progress.step)
    kind = errors.StoppedError if process.count == 1 else hosts.StoppedTogetherError
    if process.count > 1:
        stop.agrees()
    with stop.between_steps(), contextlib.closing(_stream(run)) as stream:
        while run.goes_on:
            run.take_step(*next(stream))
            run.look_around()
            if received := vote.after(run.progress.step, stop.received):
                stop.saves()
                run.save()
                run.saved.wait()
                raise kind(
                    f"stopped by {received} after step {run.progress.step} of {run.num_steps};"
                    f" a checkpoint is in {run.saved.folder}. The same command goes on from there"
                )
        run.saved.wait()


def _take_time(
    run: trainer.Trainer, minutes: float, place: folder.RunFolder, process: Process
) -> None:
    """Computes how many steps there are from the time of the first ones, once for a run.

    Raises:
      CheckpointError: If steps are done and their number is not known any more.
    """
    found = run.parts.length
    if found.num_steps is None:
        if run.progress.step:
            raise errors.CheckpointError(
                f"{place.length}: expected the number of steps of a run that has begun, found none;"
                " restore it, or take another name or run_dir"
            )
        with contextlib.closing(_stream(run)) as stream:
            pace = run.time_steps((batch for *_, batch in stream), _TIMING * 60 * minutes)
        found = lengths.fill(found, run.config.trainer, pace, 60 * minutes - run.seconds)
        num_steps, valid_every = lengths.agreed(found)
        found = dataclasses.replace(found, num_steps=num_steps, valid_every=valid_every)
        if process.is_first:
            lengths.write(place, found)
        run.log.say(
            f"Timed: {1e3 * pace.step:.3g} ms a step, {pace.validation:.2g} s a validation;"
            f" {found.num_steps} steps, a validation every {found.valid_every}, fit into what is"
            f" left of {minutes:g} minutes. Measuring all splits at the end comes on top"
        )
    run.last_for(found.num_steps or 0, found.valid_every)


def _stream(run: trainer.Trainer) -> Generator[tuple[int, int, Batch], None, None]:
    """Batches from where the run stands, each with the epoch and the batches of it then done."""
    epoch, position = run.progress.epoch, run.progress.position
    while True:
        for batch in run.parts.train.batches(epoch, position):
            position += 1
            yield epoch, position, batch
        epoch, position = epoch + 1, 0


def _best(run: trainer.Trainer, dataset: datasets.Dataset) -> potentials.Potential:
    """The potential of the best checkpoint."""
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
    plots.save_plots(place.plots, evaluated, place.path / run_log.JSONL, known)
    text = reports.error_table(table, known)
    before = _errors_before(run, first, dataset)
    if before:
        text += f"\nBefore training, of {run.config.init_from}:\n"
        text += reports.error_table(before, known)
    folder.write_text(place.table, text + "\n")
    run.log.say(f"Errors of {place.artefact} (step {run.progress.best_step}, the best):\n{text}")
    run.log.say(f"Compiled: {compiled}. All of the run: {place.path}, {run.seconds:.0f} s")
    empty = dict.fromkeys(dataset.splits)
    found: dict[str, Any] = {name: errors_.to_json() for name, errors_ in table.items()}
    if before:
        found["before"] = {name: errors_.to_json() for name, errors_ in before.items()}
    folder.write_json(place.metrics, {**empty, **found, "seconds": round(run.seconds, 3)})


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
    return {
        "config": configuration.to_mapping(run.config),
        "dataset": dataset.fingerprint,
        "step": run.progress.best_step,
        "valid_loss": run.progress.best_loss if math.isfinite(run.progress.best_loss) else None,
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
