"""From a configuration and a dataset to what a run is made of: potential, parameters, batches."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from equipot import errors
from equipot.data import columns
from equipot.data.dataset import Dataset
from equipot.data.structure import symbol
from equipot.graphs import loader
from equipot.models import registry
from equipot.potential import binding, repulsion, scales, wall
from equipot.potential import potential as potentials
from equipot.potential.potential import PotentialSpec
from equipot.process import ALONE, Process
from equipot.quantities import Quantity, every
from equipot.store import graph_store
from equipot.store.graph_store import GraphStore
from equipot.training import alike, batches, folder, judging, optimizer, starting_point
from equipot.training import length as lengths
from equipot.training.config import (
    OPEN_STRESS,
    SCHEDULE_FREE,
    LossConfig,
    OptimizerConfig,
    TrainConfig,
)
from equipot.typing import PyTree


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Preparation:
    """What is fixed before the first step.

    Attributes:
      spec: The potential without its parameters.
      quantities: What it is trained on and measured in, by name.
      params: Initial parameters.
      train: Batches of the training split, shuffled.
      valid: Batches of the validation split, in order; None where there is none.
      graphs: The graphs of both splits, by name.
      length: Size of batches, and what is known of the number of steps and of validations.
      num_steps: Length of the run; 0 where it is to be timed.
      updates: Optimizer and schedule.
      loss: Terms of the loss, none of them open.
      facts: What goes into dataset.json.
      notes: Sentences for the user.
      batch_notes: Sentences on the batches and the length of the run.
    """

    spec: PotentialSpec
    quantities: Mapping[str, Quantity]
    params: PyTree
    train: loader.Loader
    valid: loader.Loader | None
    graphs: Mapping[str, GraphStore]
    length: lengths.Length
    num_steps: int
    updates: optimizer.Updates
    loss: LossConfig
    facts: dict[str, Any]
    notes: tuple[str, ...]
    batch_notes: tuple[str, ...]


def prepare(
    config: TrainConfig,
    dataset: Dataset,
    num_devices: int,
    model: tuple[str, Any] | None = None,
    process: Process = ALONE,
    length: lengths.Length | None = None,
    begun_devices: int | None = None,
) -> Preparation:
    """Computes statistics on the training split, builds all graphs and draws the parameters.

    In float64 this must be called inside ``potential.precision.of``.

    Args:
      config: The run.
      dataset: Its data.
      num_devices: Devices that each batch is spread over.
      model: Name and settings of the model, where they are known already.
      process: Which of the processes that train.
      length: What the run began with; chosen anew where there is none.
      begun_devices: Devices that the run began on, where it goes on on others.

    Raises:
      ConfigError: If a setting asks for a validation split and there is none, or the second stage
        would begin after the end.
      DataError: If there is no validation split although nobody asked for that, the measure that
        decides on the best has no labels, or a structure cannot become a graph.
      ArtefactError: If ``init_from`` is no intact potential.
    """
    judging.check(config, dataset)
    point = starting_point.find(config, dataset, model)
    fitted = point.references
    quantities = every(config.data.declared)
    settings = graph_store.Settings(
        quantities=quantities,
        cutoff=point.model_config.cutoff,
        species_table=point.species_table,
        atomic_energies=fitted.atomic_energies,
        heads=point.heads,
    )
    found = point.graphs
    graphs = {
        "train": GraphStore.build(dataset.train, settings)
        if found is None
        else found.relabelled(settings),
    }
    if dataset.valid:
        graphs["valid"] = GraphStore.build(dataset.valid, settings)
    spec, params = _potential(config, dataset, point, graphs["train"])
    begun = begun_devices or num_devices
    length = length or lengths.choose(config.trainer, dataset, begun)
    facts = _facts(dataset, spec, point, begun)
    batched = _batched(config, length, graphs, spec, facts, num_devices, process)
    return Preparation(
        spec=spec,
        quantities=quantities,
        params=params,
        graphs=graphs,
        loss=config.staged_loss,
        notes=(
            *fitted.notes,
            *_notes(spec, params, graphs["train"].avg_num_neighbors),
            *_choices(config),
            *judging.notes(config, dataset, batched["num_steps"]),
            *_frozen(config, params),
        ),
        **batched,
    )


def resized(parts: Preparation, config: TrainConfig, length: lengths.Length) -> Preparation:
    """The same with batches of another size, before the first step."""
    own, facts = parts.train, parts.facts
    devices = own.num_devices
    batched = _batched(config, length, parts.graphs, parts.spec, facts, devices, own.process)
    return dataclasses.replace(parts, **batched)


def _batched(
    config: TrainConfig,
    length: lengths.Length,
    graphs: Mapping[str, GraphStore],
    spec: PotentialSpec,
    facts: Mapping[str, Any],
    num_devices: int,
    process: Process,
) -> dict[str, Any]:
    """The fields of a preparation that depend on the size of batches."""
    devices = (num_devices, facts["num_devices"])
    loaders = batches.loaders(config, length, graphs, spec, devices, process)
    per_epoch = loaders["train"].num_steps(0)
    valid = loaders.get("valid")
    measured = 0 if valid is None else valid.num_batches(0)
    length = lengths.counted(length, config.trainer, per_epoch, measured)
    num_steps = length.num_steps or (config.trainer.num_epochs or 0) * per_epoch
    if config.trainer.batch_size != "auto":  # or when it is known how many fit
        is_new = not folder.RunFolder(Path(config.folder), config.name).config.exists()
        judging.check_moments(config, num_steps, is_new)
    said = lengths.sentence(config.trainer, length, per_epoch)
    return {
        "train": loaders["train"],
        "valid": valid,
        "length": length,
        "num_steps": num_steps,
        "updates": optimizer.Updates.of(config.optimizer, config.stage_two),
        "facts": {**facts, "budgets": batches.facts(loaders)},
        "batch_notes": (*batches.notes(loaders), *([said] if said else [])),
    }


def with_stress(config: TrainConfig, dataset: Dataset, weight: float = OPEN_STRESS) -> TrainConfig:
    """With a weight of the stress, where it is left open and the training split has stresses."""
    is_labelled = columns.any_labelled(dataset.train, "stress")
    return dataclasses.replace(config, loss=config.loss.with_stress(is_labelled, weight))


def _about_stress(config: TrainConfig) -> tuple[str, ...]:
    if not config.loss.stress:
        return ()
    return (f"Stresses are trained on with weight {config.loss.stress:g} (set by loss.stress)",)


def _about_rate(config: TrainConfig) -> tuple[str, ...]:
    own, usual = config.optimizer, OptimizerConfig()
    same = (own.name, own.learning_rate) == (usual.name, usual.learning_rate)
    if config.init_from is None or not same:
        return ()
    return (
        f"The learning rate of {own.learning_rate:g} is that of training from scratch, and what the"
        " potential knows may be lost; optimizer=fine_tuning has a tenth of it",
    )


def _frozen(config: TrainConfig, params: PyTree) -> tuple[str, ...]:
    """What stays as it is.

    Raises:
      ConfigError: If a name is that of no parameters.
    """
    if not config.optimizer.freeze:
        return ()
    leaves = jax.tree.leaves(params)
    total = count_parameters(params)
    for name in config.optimizer.freeze:
        if not any(jax.tree.leaves(optimizer.frozen_mask([name])(params["model"]))):
            flat = jax.tree_util.tree_flatten_with_path(params["model"])[0]
            names = sorted({part.key for path, _ in flat for part in path[:2]})
            raise errors.ConfigError(
                f"optimizer.freeze: no parameters are named '{name}'."
                f"{errors.did_you_mean(name, names)} Known: {', '.join(names)}"
            )
    mask = jax.tree.leaves(optimizer.frozen_mask(config.optimizer.freeze)(params))
    kept = sum(leaf.size for leaf, is_kept in zip(leaves, mask, strict=True) if is_kept)
    if kept >= total:
        raise errors.ConfigError(
            f"optimizer.freeze: expected some parameters to be trained, received"
            f" {list(config.optimizer.freeze)}, which are all"
        )
    return (f"Frozen: {', '.join(config.optimizer.freeze)}, {kept:,} of {total:,} parameters",)


def _potential(
    config: TrainConfig,
    dataset: Dataset,
    point: starting_point.StartingPoint,
    graphs: GraphStore,
) -> tuple[PotentialSpec, PyTree]:
    """What training begins with: the given potential, or a new one."""
    if point.potential is not None:
        spec = starting_point.with_wall(point.potential.spec, graphs, point.new)
        return spec, jax.tree.map(jnp.asarray, point.potential.params)
    spec, fitted = _spec(config, point, graphs), point.references
    scale, shift = (jnp.asarray(x, spec.dtype) for x in (fitted.scale, fitted.shift))
    own = scales.quantity_scales(dataset.train, spec.quantities, spec.species_table)
    key = jax.random.key(config.seed)
    params = potentials.init_params(spec, key, scale, shift, quantity_scales=own)
    model = registry.model_class(spec.model_name)
    return spec, {**params, "model": alike.alike(params["model"], model, spec.species_table)}


_WALLS = {"wall": {}, "fitted": wall.FORMER}
"""What differs from the shape of today's wall, by ``potential.repulsion``."""


def _spec(
    config: TrainConfig, point: starting_point.StartingPoint, graphs: GraphStore
) -> PotentialSpec:
    """The specification of a new potential."""
    settings, table, own = config.potential, point.species_table, None
    if settings.repulsion in _WALLS:
        cutoff, shape = point.model_config.cutoff, _WALLS[settings.repulsion]
        own = wall.fitted(graphs.closest_pairs(len(table)), table, cutoff, shape)
    return PotentialSpec(
        model_name=point.model_name,
        model_config=point.model_config,
        species_table=table,
        atomic_energies=tuple(float(e) for e in point.references.atomic_energies.ravel()),
        avg_num_neighbors=graphs.avg_num_neighbors,
        dtype=settings.dtype,
        anchor_isolated=settings.shift != "constant",
        bond_radii=binding.bond_radii(table) if settings.shift == "bonds" else None,
        train_shift=settings.train_shift,
        matmul_precision=settings.matmul_precision,
        repulsion=repulsion.between_covalent_radii(table) if settings.repulsion == "zbl" else None,
        heads=point.heads,
        quantities=tuple(config.data.declared.values()),
        wall=own,
    )


def _choices(config: TrainConfig) -> tuple[str, ...]:
    """What was chosen for the user, and where the moving average is not what is validated."""
    notes = [*_about_stress(config), *_about_rate(config)]
    if config.optimizer.name == SCHEDULE_FREE:
        notes.append("Schedule-free: the optimizer's own average is what is validated and kept")
    return tuple(notes)


def count_parameters(params: PyTree) -> int:
    """How many numbers the model learns; scale and shift are not counted."""
    return sum(leaf.size for leaf in jax.tree.leaves(params["model"]))


def _facts(
    dataset: Dataset,
    spec: PotentialSpec,
    point: starting_point.StartingPoint,
    num_devices: int,
) -> dict[str, Any]:
    return {
        "fingerprint": dataset.fingerprint,
        "num_devices": num_devices,
        "structures": {name: len(split) for name, split in dataset.splits.items()},
        "species_table": list(spec.species_table),
        "atomic_energies": list(spec.atomic_energies),
        "heads": list(spec.heads),
        "shift": point.references.shift.tolist(),
        "scale": point.references.scale.tolist(),
        "undetermined": [symbol(z) for z in point.references.undetermined],
        "init_from": point.fingerprint,
        "new_elements": [symbol(z) for z in point.new],
        "avg_num_neighbors": spec.avg_num_neighbors,
    }


def _notes(spec: PotentialSpec, params: PyTree, neighbors: float) -> tuple[str, ...]:
    average = spec.avg_num_neighbors
    other = "" if average == neighbors else f" (the potential was made for {average:.1f})"
    return (
        f"Neighbors per atom within {spec.cutoff:g} Å: {neighbors:.1f}{other}",
        f"Model {spec.model_name} with {count_parameters(params):,} parameters in {spec.dtype}",
    )
