"""From a configuration and a dataset to what a run is made of: potential, parameters, batches."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from equipot import config as configuration
from equipot import errors
from equipot.data.dataset import Dataset
from equipot.data.structure import Structure, symbol
from equipot.graphs import batching, loader
from equipot.potential import binding, repulsion
from equipot.potential import potential as potentials
from equipot.potential.potential import PotentialSpec
from equipot.store import statistics
from equipot.training import starting_point
from equipot.training.config import TrainConfig
from equipot.typing import PyTree


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Preparation:
    """What is fixed before the first step.

    Attributes:
      spec: The potential without its parameters.
      params: Initial parameters.
      train: Batches of the training split, shuffled.
      valid: Batches of the validation split, in order.
      facts: What goes into dataset.json.
      notes: Sentences for the user.
    """

    spec: PotentialSpec
    params: PyTree
    train: loader.Loader
    valid: loader.Loader
    facts: dict[str, Any]
    notes: tuple[str, ...]


def prepare(config: TrainConfig, dataset: Dataset, num_devices: int) -> Preparation:
    """Computes statistics on the training split, builds all graphs and draws the parameters.

    In float64 this must be called inside ``jax.enable_x64``.

    Args:
      config: The run.
      dataset: Its data.
      num_devices: Devices that each batch is spread over.

    Raises:
      DataError: If there is no validation split, or a structure cannot become a graph.
      ArtefactError: If ``init_from`` is no intact potential.
    """
    if not dataset.valid:
        raise errors.DataError(
            "data: expected validation frames, received none; set data.valid, data.num_valid or"
            " data.valid_fraction"
        )
    point = starting_point.find(config, dataset)
    fitted = point.references

    def graphs(structures: Sequence[Structure]) -> Sequence[batching.HostGraph]:
        cutoff, table = point.model_config.cutoff, point.species_table
        return batching.build_graphs(
            structures, cutoff, table, fitted.atomic_energies, heads=point.heads
        )

    train, valid = graphs(dataset.train), graphs(dataset.valid)
    if point.potential is None:
        spec = _spec(config, point, statistics.average_num_neighbors(train))
        scale, shift = (jnp.asarray(x, spec.dtype) for x in (fitted.scale, fitted.shift))
        params = potentials.init_params(spec, jax.random.key(config.seed), scale, shift)
    else:
        spec = point.potential.spec
        params = jax.tree.map(jnp.asarray, point.potential.params)
    trainer = config.trainer
    loaders = {
        "train": _loader(spec, train, trainer.batch_size, num_devices, config.seed, True),
        "valid": _loader(
            spec, valid, trainer.eval_batch_size or trainer.batch_size, num_devices, 0, False
        ),
    }
    return Preparation(
        spec=spec,
        params=params,
        **loaders,
        facts=_facts(dataset, spec, point, loaders, num_devices),
        notes=(*fitted.notes, *_notes(spec, params, loaders)),
    )


def _spec(
    config: TrainConfig, point: starting_point.StartingPoint, avg_num_neighbors: float
) -> PotentialSpec:
    """The specification of a new potential."""
    settings, table = config.potential, point.species_table
    return PotentialSpec(
        model_name=point.model_name,
        model_config=point.model_config,
        species_table=table,
        atomic_energies=tuple(float(e) for e in point.references.atomic_energies.ravel()),
        avg_num_neighbors=avg_num_neighbors,
        dtype=settings.dtype,
        anchor_isolated=settings.shift != "constant",
        bond_radii=binding.bond_radii(table) if settings.shift == "bonds" else None,
        train_shift=settings.train_shift,
        matmul_precision=settings.matmul_precision,
        repulsion=repulsion.between_covalent_radii(table) if settings.repulsion == "zbl" else None,
        heads=point.heads,
    )


def count_parameters(params: PyTree) -> int:
    """How many numbers the model learns; scale and shift are not counted."""
    return sum(leaf.size for leaf in jax.tree.leaves(params["model"]))


def _loader(
    spec: PotentialSpec,
    graphs: Sequence[batching.HostGraph],
    batch_size: int,
    num_devices: int,
    seed: int,
    shuffle: bool,
) -> loader.Loader:
    share = -(-len(graphs) // num_devices)  # a batch need not be larger than the split
    return loader.Loader(
        graphs,
        batching.plan_budget(graphs, min(batch_size, share)),
        cutoff=spec.cutoff,
        num_devices=num_devices,
        seed=seed,
        shuffle=shuffle,
        dtype=spec.dtype,
    )


def _facts(
    dataset: Dataset,
    spec: PotentialSpec,
    point: starting_point.StartingPoint,
    loaders: dict[str, loader.Loader],
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
        "avg_num_neighbors": spec.avg_num_neighbors,
        "budgets": {k: configuration.to_mapping(own.budget) for k, own in loaders.items()},
    }


def _notes(
    spec: PotentialSpec, params: PyTree, loaders: dict[str, loader.Loader]
) -> tuple[str, ...]:
    budgets = [own.budget for own in loaders.values()]
    return (
        f"Neighbors per atom within {spec.cutoff:g} Å: {spec.avg_num_neighbors:.1f}",
        f"Model {spec.model_name} with {count_parameters(params):,} parameters in {spec.dtype}",
        *(
            f"Batches of {name}: {own.num_batches(0)} an epoch on {own.num_devices} device(s),"
            f" {own.budget.nodes} nodes and {own.budget.edges} pairs each; {own.padding_waste()}"
            for name, own in loaders.items()
        ),
        f"Shapes to compile: {batching.compiled_shapes(*budgets)}",
    )
