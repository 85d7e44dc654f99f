"""One optimizer step and one evaluation step, as pure functions of (state, batch).

Every leaf of a batch has a leading axis of devices. Sums and weights of the loss are added over
that axis before they are divided: the gradient does not depend on how structures were spread.
"""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, PartitionSpec

from equipot.graphs.graph import Batch, Graph
from equipot.potential.potential import Prediction
from equipot.quantities import DERIVED, Quantity
from equipot.training import accumulation, metrics, moments, optimizer, schedule_free, sharding
from equipot.training import loss as losses
from equipot.training.config import LossConfig
from equipot.training.metrics import Sum, Sums, Tally
from equipot.training.optimizer import Course
from equipot.training.state import TrainState
from equipot.typing import Array, PyTree

Predict = Callable[[PyTree, Graph], Prediction]
TrainStep = Callable[..., tuple[TrainState, Tally]]
EvalStep = Callable[[PyTree, Batch], tuple[Sums, Sums]]


def make_eval_step(
    predict: Predict,
    loss: LossConfig,
    mesh: Mesh,
    quantities: Mapping[str, Quantity] = DERIVED,
) -> EvalStep:
    """Returns ``eval_step(params, batch) -> (terms of the loss, sums of errors)``.

    Each device runs the program of a single batch on its share (under ``vmap`` gathers and scatters
    are several times slower), and the sums are added over devices. Take derivatives of the returned
    values: inside the function, sums of gradients would be added twice.

    Args:
      predict: Energies, forces and stress of a padded batch.
      loss: Terms of the loss.
      mesh: The devices.
      quantities: What predictions and batches hold, by name.
    """
    loss_terms = losses.make_loss(loss)

    def eval_step(params: PyTree, share: Batch) -> tuple[Sums, Sums]:
        batch = jax.tree.map(lambda leaf: leaf[0], share)
        residuals = metrics.residuals(predict(params, batch.graph), batch, quantities)
        sums = loss_terms(residuals), metrics.error_sums(residuals)
        return jax.lax.psum(sums, sharding.AXIS)

    return jax.shard_map(
        eval_step,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(sharding.AXIS)),
        out_specs=PartitionSpec(),
    )


def make_train_step(
    predict: Predict,
    loss: LossConfig,
    updates: optimizer.Updates,
    mesh: Mesh,
    quantities: Mapping[str, Quantity] = DERIVED,
    accumulate: int = 1,
) -> TrainStep:
    """Returns ``train_step(state, tally, batch, course) -> (state, tally)``.

    If several batches are accumulated, leaves of ``batch`` are [devices, accumulate, ...].

    Args:
      predict: Energies, forces and stress of a padded batch.
      loss: Terms of the loss.
      updates: How gradients change parameters.
      mesh: The devices.
      quantities: What predictions and batches hold, by name.
      accumulate: Batches of one step.
    """
    sums_of = make_eval_step(predict, loss, mesh, quantities)
    weights_at = moments.loss_weights(loss)

    def loss_fn(
        params: PyTree, batch: Batch, weights: moments.Weights
    ) -> tuple[Array, tuple[Sums, Sums]]:
        terms, sums = sums_of(params, batch)
        return losses.combine(terms, loss, weights), (terms, sums)

    differentiated = jax.value_and_grad(loss_fn, has_aux=True)
    if accumulate > 1:
        weights_of = make_eval_step(_nothing_like(predict), loss, mesh, quantities)
        differentiated = accumulation.make_gradient(
            sums_of, weights_of, lambda terms, weights: losses.combine(terms, loss, weights)
        )

    def train_step(
        state: TrainState, tally: Tally, batch: Batch, course: Course
    ) -> tuple[TrainState, Tally]:
        weights = weights_at(state.step, course.num_steps)
        (value, (terms, sums)), grads = differentiated(state.params, batch, weights)
        change, opt_state = updates.transformation.update(grads, state.opt_state, state.params)
        if updates.is_schedule_free:
            params = jax.tree.map(jnp.add, state.params, change)
        else:
            rate = updates.rate(state.step, state.rate_factor, course)
            params = jax.tree.map(lambda p, u: p + rate.astype(p.dtype) * u, state.params, change)
        new = dataclasses.replace(
            state,
            step=state.step + 1,
            params=params,
            ema_params=_average(state, params, opt_state, updates, course),
            opt_state=opt_state,
        )
        norm = optax.tree.norm(grads)
        shares = {name: losses.weighted(weights[name], term) for name, term in terms.items()}
        return new, _count(tally, state.step, sums, terms, shares, value, norm)

    return train_step


def _nothing_like(predict: Predict) -> Predict:
    """Predictions of zero, of the right shapes: weights of labels do not depend on them."""

    def nothing(params: PyTree, graph: Graph) -> Prediction:
        shapes = jax.eval_shape(predict, params, graph)
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    return nothing


def empty_tally(
    loss: LossConfig, dtype: str, quantities: Mapping[str, Quantity] = DERIVED
) -> Tally:
    """Nothing counted yet."""
    names = [f"{q}_{kind}" for q in quantities for kind in ("squared", "absolute")]
    used = [name for name, weight in loss.largest_terms.items() if weight > 0]
    names += [f"loss_{name}" for name in used]
    zero = jnp.zeros((), dtype)
    sums = {name: Sum(total=zero, weight=zero) for name in [*names, "loss", "grad_norm"]}
    shares = dict.fromkeys(used, zero)
    return Tally(sums=sums, bad_step=jnp.asarray(-1, jnp.int32), bad_terms=shares)


def _average(
    state: TrainState,
    params: PyTree,
    opt_state: PyTree,
    updates: optimizer.Updates,
    course: Course,
) -> PyTree:
    """The average after one more step, or the optimizer's own.

    If there is none, the parameters themselves.
    """
    if updates.is_schedule_free:
        return schedule_free.averaged(opt_state, params)
    keep = updates.average_decay(state.step, course.num_steps)
    if keep is None:
        return params
    return jax.tree.map(
        lambda old, new: new + keep.astype(new.dtype) * (old - new), state.ema_params, params
    )


def _count(
    tally: Tally,
    step: Array,
    sums: Sums,
    terms: Sums,
    shares: dict[str, Array],
    value: Array,
    norm: Array,
) -> Tally:
    """Adds one step to the tally."""
    one = jnp.ones((), value.dtype)
    step_sums = {
        **sums,
        **{f"loss_{name}": term for name, term in terms.items()},
        "loss": Sum(total=value, weight=one),
        "grad_norm": Sum(total=norm, weight=one),
    }
    bad = ~(jnp.isfinite(value) & jnp.isfinite(norm))
    is_first = (tally.bad_step < 0) & bad
    return Tally(
        sums=jax.tree.map(jnp.add, tally.sums, step_sums),
        bad_step=jnp.where(is_first, step, tally.bad_step),
        bad_terms={
            name: jnp.where(is_first, shares[name], before)
            for name, before in tally.bad_terms.items()
        },
    )
