"""The gradient of several batches, one after another: exactly that of one batch with all of them.

Each term of the loss is a sum over structures divided by the number of labels,

    L(θ) = Σ_t c_t (Σ_m T_tm(θ)) / (Σ_m W_tm),   ∇L = Σ_m ∇ Σ_t c_t T_tm / W_t,   W_t = Σ_m W_tm,

with terms t and batches m. The W_tm do not depend on the parameters: they are added up first, and
then the gradients of the batches, each divided by the sum of all. Only one batch is differentiated
at a time.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from equipot.graphs.graph import Batch
from equipot.training.metrics import Sum, Sums
from equipot.training.moments import Weights
from equipot.typing import Array, Int, PyTree

SumsOf = Callable[[PyTree, Batch], tuple[Sums, Sums]]
Gradient = Callable[[PyTree, Batch, Weights], tuple[tuple[Array, tuple[Sums, Sums]], PyTree]]


def make_gradient(
    sums_of: SumsOf, weights_of: SumsOf, combine: Callable[[Sums, Weights], Array]
) -> Gradient:
    """Returns ``gradient(params, batch, weights) -> ((loss, (terms, sums)), gradient)``.

    It returns what ``jax.value_and_grad`` of the loss would. Leaves of the batch are [devices,
    accumulate, ...]; batches at the end that are all padding are left out.

    Args:
      sums_of: Terms of the loss and sums of errors of one batch, with leaves [devices, ...].
      weights_of: The same of which only the weights of the terms count; takes little time.
      combine: The loss of its terms and their weights in it, a linear function of their totals.
    """

    def loss_fn(
        params: PyTree, batch: Batch, labels: Sums, weights: Weights
    ) -> tuple[Array, tuple[Sums, Sums]]:
        terms, sums = sums_of(params, batch)
        terms = {name: Sum(term.total, labels[name].weight) for name, term in terms.items()}
        return combine(terms, weights), (terms, sums)

    def gradient(
        params: PyTree, batches: Batch, weights: Weights
    ) -> tuple[tuple[Array, tuple[Sums, Sums]], PyTree]:
        count = _number_of_real(batches)
        labels = _added(lambda m: weights_of(params, _one(batches, m))[0], count)

        def part(m: Int[Array, ""]) -> tuple[PyTree, Sums, Sums]:
            differentiated = jax.grad(loss_fn, has_aux=True)
            grads, (terms, sums) = differentiated(params, _one(batches, m), labels, weights)
            return grads, terms, sums

        grads, terms, sums = _added(part, count)
        terms = {name: Sum(term.total, labels[name].weight) for name, term in terms.items()}
        return (combine(terms, weights), (terms, sums)), grads

    return gradient


def _one(batches: Batch, m: Int[Array, ""]) -> Batch:
    """One of the batches, with leaves [devices, ...]."""
    return jax.tree.map(
        lambda leaf: jax.lax.dynamic_index_in_dim(leaf, m, axis=1, keepdims=False), batches
    )


def _number_of_real(batches: Batch) -> Int[Array, ""]:
    """How many of the batches there are up to the last one that holds a structure."""
    n_node = jnp.asarray(batches.graph.n_node)
    is_real = jnp.any(n_node[:, :, :-1] > 0, axis=(0, 2))
    return jnp.max(jnp.where(is_real, jnp.arange(1, is_real.size + 1, dtype=jnp.int32), 0))


def _added(part: Callable[[Int[Array, ""]], PyTree], count: Int[Array, ""]) -> PyTree:
    """Σ_m part(m) for m from 0 to below ``count``."""
    first = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype),
        jax.eval_shape(part, jnp.zeros((), jnp.int32)),
    )
    return jax.lax.fori_loop(0, count, lambda m, sums: jax.tree.map(jnp.add, sums, part(m)), first)
