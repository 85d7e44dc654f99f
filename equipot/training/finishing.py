"""The end of a run: the best potential is saved, measured on all splits, and shown."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from equipot import compilations
from equipot import config as configuration
from equipot.data import columns, distance_range
from equipot.data import dataset as datasets
from equipot.data.stored.structures import StoredStructures
from equipot.potential import artefact, evaluate
from equipot.potential import potential as potentials
from equipot.quantities import Quantity
from equipot.store import stored_graphs
from equipot.store.graph_store import GraphStore
from equipot.training import folder, plots, reports, run_files, run_log, trainer
from equipot.training.run_page import writer
from equipot.typing import PyTree

MEASURED = 20_000
"""Structures of a split in a store that are measured at the end, drawn at random."""


def finish(
    run: trainer.Trainer,
    first: PyTree,
    dataset: datasets.Dataset,
    place: folder.RunFolder,
    compiled: compilations.Compilations,
    page: writer.RunPage,
) -> None:
    """Saves the best potential, measures it on all splits, and writes tables and pictures.

    The potential is there before it is measured, and then states its errors.

    Args:
      run: After its last step.
      first: Parameters that somebody gave it to begin with, which are measured too; else None.
      dataset: Its data.
      place: Its folder.
      compiled: What has been compiled.
      page: Its page.
    """
    best = _best(run, dataset)
    artefact.save(place.artefact, best)
    evaluated = _evaluate(best, run.parts.graphs, dataset, run.batch_size)
    known = run.parts.quantities
    table = {name: reports.split_errors(*own, known) for name, own in evaluated.items()}
    stated = {name: errors_.summary(known) for name, errors_ in table.items()}
    provenance = {**best.provenance, "errors": stated}
    artefact.save(place.artefact, dataclasses.replace(best, provenance=provenance))
    text = _table(run, table)
    text += "".join(
        f"\n{name}: errors of {MEASURED:,} of {len(split):,} structures, drawn at random"
        for name, split in dataset.splits.items()
        if len(columns.drawn(split, MEASURED)) < len(split)
    )
    before = _errors_before(run, first, dataset)
    if before:
        text += f"\nBefore training, of {run.config.init_from}:\n"
        text += _table(run, before)
    _draw(run, evaluated, table, before, place, page)
    text += "".join(f"\n{line}" for line in _unlearnt(table, known))
    run_files.write_text(place.table, text + "\n")
    which = "last" if run.parts.valid is None else "best"
    run.log.say(f"Errors of {place.artefact} (step {run.progress.best_step}, the {which}):\n{text}")
    run.log.say(f"Compiled: {compiled}. All of the run: {place.path}, {run.seconds:.0f} s")
    empty = dict.fromkeys(dataset.splits)
    found: dict[str, Any] = {name: errors_.to_json() for name, errors_ in table.items()}
    if before:
        found["before"] = {name: errors_.to_json() for name, errors_ in before.items()}
    facts = {"best_step": run.progress.best_step, "units": reports.units(known)}
    seconds = round(run.seconds, 3)
    run_files.write_json(place.metrics, {**empty, **found, **facts, "seconds": seconds})


def _best(run: trainer.Trainer, dataset: datasets.Dataset) -> potentials.Potential:
    """The potential of the best checkpoint."""
    return potentials.Potential(
        spec=run.parts.spec,
        params=run.saved.load_ema(run.progress.best_step, run.state),
        provenance=_provenance(run, dataset),
        distance_range=distance_range_of(run.parts.spec, dataset),
    )


def _table(run: trainer.Trainer, table: Mapping[str, reports.SplitErrors]) -> str:
    """Errors by split, for people."""
    data = run.config.data
    return reports.error_table(table, run.parts.quantities, data.group_key, data.head_key)


def _unlearnt(table: Mapping[str, reports.SplitErrors], known: Mapping[str, Quantity]) -> list[str]:
    """What no split but that of training can tell, and what to do about it."""
    others = {name: own for name, own in table.items() if name != "train"}
    lines = reports.no_better_than_zeros(others, known)
    advice = (
        "More data, more steps, or a published potential to start from (docs/foundation.md) help"
    )
    return [*lines, advice] if lines else []


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
    settings = graphs["train"].settings
    splits, stores = {}, []
    for name, whole in dataset.splits.items():
        split = columns.drawn(whole, MEASURED)
        if split:
            splits[name] = split
            is_built = name in graphs and split is whole
            stores.append(graphs[name] if is_built else GraphStore.build(split, settings))
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
    found = None
    if isinstance(dataset.train, StoredStructures):
        found = stored_graphs.distance_range_of(dataset.train, spec.cutoff, sorted(elements))
    return found or distance_range.measure(dataset.train, spec.cutoff, elements)
