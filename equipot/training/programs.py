"""The compiled programs of a run, and the memory that a step takes, known before the first one."""

import json
from collections.abc import Callable, Hashable

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from equipot import config as configuration
from equipot.graphs import batching
from equipot.graphs.batching import Budget
from equipot.potential import potential as potentials
from equipot.training import sharding, state, step
from equipot.training.optimizer import Course
from equipot.training.preparation import Preparation
from equipot.typing import PyTree

_MOST_KEPT = 8
_kept: dict[Hashable, tuple[Callable, Callable]] = {}


class Programs:
    """One step of the optimizer and one of a validation, each compiled once for each shape.

    Runs of one process that differ in what a program does not depend on share them: members of a
    sweep over the learning rate, the number of steps or the seed compile once.

    Attributes:
      train_step: See ``step.make_train_step``; takes the buffers of its state.
      eval_step: See ``step.make_eval_step``.
    """

    def __init__(self, parts: Preparation, mesh: Mesh) -> None:
        """Compiles nothing yet.

        Args:
          parts: What is fixed before the first step.
          mesh: The devices.
        """
        self._parts, self._mesh = parts, mesh
        self._bytes: dict[Budget, int] = {}
        self.train_step, self.eval_step = _programs(parts, mesh)

    def bytes_of(self, *budgets: Budget) -> int:
        """Memory on each device during a step on batches of the largest of these shapes.

        The programs are compiled, and are those that the steps run.

        Args:
          budgets: Shapes of batches.
        """
        for budget in budgets:
            if budget not in self._bytes:
                self._bytes[budget] = self._compile(budget)
        return max(self._bytes[budget] for budget in budgets)

    @property
    def bytes_of_state(self) -> int:
        """Memory of what does not depend on batches: parameters and the optimizer's state."""
        leaves = jax.tree.leaves(self._state())
        return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in leaves)

    def _compile(self, budget: Budget) -> int:
        parts = self._parts
        tally = jax.eval_shape(
            lambda: step.empty_tally(parts.loss, parts.spec.dtype, parts.quantities)
        )
        everywhere = NamedSharding(self._mesh, PartitionSpec())
        course = jax.eval_shape(lambda: Course.of(parts.updates.settings, 1))
        lowered = self.train_step.lower(
            self._state(),
            _placed(tally, everywhere),
            self._batch(budget),
            _placed(course, everywhere),
        )
        found = lowered.compile().memory_analysis()
        return (
            found.argument_size_in_bytes
            + found.output_size_in_bytes
            - found.alias_size_in_bytes
            + found.temp_size_in_bytes
            + found.generated_code_size_in_bytes
        )

    def _state(self) -> PyTree:
        """What a state looks like."""
        transformation = self._parts.updates.transformation
        made = jax.eval_shape(
            lambda params: state.init_state(params, transformation), self._parts.params
        )
        return _placed(made, NamedSharding(self._mesh, PartitionSpec()))

    def _batch(self, budget: Budget) -> PyTree:
        """What a batch of this shape looks like."""
        own = self._parts.train
        empty = batching.collate_devices([()], budget, own.cutoff, own.dtype, own.quantities)
        front = (self._mesh.size,) if own.accumulate == 1 else (self._mesh.size, own.accumulate)
        place = NamedSharding(self._mesh, PartitionSpec(sharding.AXIS))
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                (*front, *leaf.shape[1:]), leaf.dtype, sharding=place
            ),
            empty,
        )


def forget() -> None:
    """The next run compiles anew."""
    _kept.clear()


def _programs(parts: Preparation, mesh: Mesh) -> tuple[Callable, Callable]:
    """Those of an earlier run where they would be the same, the last few of which are kept."""
    key = _key(parts, mesh)
    found = _kept.pop(key, None) or _made(parts, mesh)
    _kept[key] = found
    while len(_kept) > _MOST_KEPT:
        del _kept[next(iter(_kept))]
    return found


def _key(parts: Preparation, mesh: Mesh) -> Hashable:
    """Equal where the programs are, whatever the shapes of their arguments."""
    loss = json.dumps(configuration.to_mapping(parts.loss))
    known, accumulate = tuple(parts.quantities.items()), parts.train.accumulate
    return parts.spec, known, loss, parts.updates.constants, accumulate, mesh


def _made(parts: Preparation, mesh: Mesh) -> tuple[Callable, Callable]:
    spec, known, updates = parts.spec, parts.quantities, parts.updates
    predict = potentials.make_predict(spec, platform=mesh.devices.flat[0].platform)
    train = step.make_train_step(predict, parts.loss, updates, mesh, known, parts.train.accumulate)
    evaluate = step.make_eval_step(predict, parts.loss, mesh, known)
    return jax.jit(train, donate_argnums=0), jax.jit(evaluate)


def _placed(tree: PyTree, place: NamedSharding) -> PyTree:
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=place, weak_type=leaf.weak_type
        ),
        tree,
    )
