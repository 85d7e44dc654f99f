"""The batches of a run: of how many structures or edges, in which shapes, and what is said of it.

A batch is what one device takes at a time; one step of the optimizer takes one or several.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from equipot import config as configuration
from equipot import errors
from equipot.data import columns
from equipot.graphs.loader import Loader
from equipot.potential.potential import PotentialSpec
from equipot.process import Process
from equipot.store import packing, sampling
from equipot.store.graph_store import GraphStore
from equipot.training.config import TrainConfig, TrainerConfig
from equipot.training.length import Length


def loaders(
    config: TrainConfig,
    length: Length,
    graphs: Mapping[str, GraphStore],
    spec: PotentialSpec,
    devices: tuple[int, int],
    process: Process,
) -> dict[str, Loader]:
    """Batches of the splits that there are; where edges are counted, so they are when validating.

    Args:
      config: The run.
      length: Size of batches.
      graphs: Those of both splits.
      spec: The potential.
      devices: How many each batch is spread over, and how many the run began on, whose steps are
        kept.
      process: Which of the processes that train.

    Raises:
      CheckpointError: If the number of devices has changed, and steps cannot be spread anew.
      GraphTooLargeError: If a structure has more edges than a batch may have.
    """
    trainer = config.trainer
    _check_devices(trainer, devices)
    begun = {"train": devices[1], "valid": devices[0]}
    sizes = {"train": length.batch_size, "valid": trainer.eval_batch_size or length.batch_size}
    made = {}
    for name, size in sizes.items():
        if name not in graphs:
            continue
        own, budget = graphs[name], None
        if size is not None:  # A batch need not be larger than the split.
            budget = packing.plan_sizes(own.sizes, min(size, -(-len(own) // begun[name])))
        made[name] = Loader(
            own,
            budget,
            batch_edges=_pairs(trainer.batch_edges) if budget is None else None,
            accumulate=trainer.accumulate if name == "train" else 1,
            cutoff=spec.cutoff,
            num_devices=devices[0],
            begun_devices=begun[name],
            seed=config.seed if name == "train" else 0,
            shuffle=name == "train",
            dtype=spec.dtype,
            process=process,
            quantities=own.settings.quantities,
            draw=_draw(config, own) if name == "train" else None,
        )
    return made


def _draw(config: TrainConfig, graphs: GraphStore) -> Callable[[int, int], np.ndarray] | None:
    """Which structures an epoch has, where it is not each of them once."""
    if config.trainer.sampling == "all":
        return None
    return sampling.balanced(columns.groups(graphs.structures))


def _check_devices(trainer: TrainerConfig, devices: tuple[int, int]) -> None:
    now, begun = devices
    if now != begun and (trainer.batch_edges is not None or trainer.accumulate > 1):
        what = "trainer.accumulate" if trainer.batch_edges is None else "trainer.batch_edges"
        raise errors.CheckpointError(
            f"{what}: a run with it keeps its number of devices, which was {begun} when it began,"
            f" now it is {now}; set trainer.num_devices={begun}, or take another name or run_dir"
        )


def facts(made: Mapping[str, Loader]) -> dict[str, Any]:
    """The shapes of batches of both splits, as plain JSON."""
    shapes = {
        name: [configuration.to_mapping(b) for b in own.budgets] for name, own in made.items()
    }
    return {name: own[0] if len(own) == 1 else own for name, own in shapes.items()}


def notes(made: Mapping[str, Loader]) -> tuple[str, ...]:
    """What is said of the batches of both splits."""
    budgets = {budget for own in made.values() for budget in own.budgets}
    return (
        *(_note(name, own) for name, own in made.items()),
        f"Shapes to compile: {packing.compiled_shapes(*budgets)}",
    )


def _note(name: str, own: Loader) -> str:
    shapes = " or ".join(f"{b.nodes} nodes and {b.edges} pairs" for b in own.budgets)
    together = f", {own.accumulate} of them for a step" if own.accumulate > 1 else ""
    return (
        f"Batches of {name}: {own.num_batches(0)} an epoch{together} on {own.num_devices}"
        f" device(s), {shapes} each; {own.padding_waste()}"
    )


def _pairs(edges: int | None) -> int | None:
    """A number of edges as pairs, which graphs list once."""
    return None if edges is None else max(1, edges // 2)
