"""The same numbers however they are computed: padded, batched, compiled; and always finite."""

import jax
import numpy as np

from equipot.graphs import batching
from equipot.testing import structures, symmetry
from equipot.testing.subject import BUDGET, Subject
from equipot.testing.tolerances import F64_EXACT, assert_close

_MORE_PADDING = batching.Budget(BUDGET.nodes + 13, BUDGET.edges + 96, BUDGET.graphs + 3)
_TOO_CLOSE = 0.1  # Å


def check_padding(subject: Subject) -> None:
    """Predictions do not depend on how much padding the batch has."""
    chosen = symmetry.general(subject)
    more = subject.observe(*chosen, budget=_MORE_PADDING)
    for a, b in zip(more, subject.observe(*chosen), strict=True):
        symmetry.assert_same(a, b, "more padding")


def check_batching(subject: Subject) -> None:
    """A structure in a batch, in any place, is predicted as it is alone."""
    first = structures.atom(subject.species_table[-1])
    chosen = (*symmetry.general(subject), first)
    for batch in (chosen, chosen[::-1]):
        for together, structure in zip(subject.observe(*batch), batch, strict=True):
            symmetry.assert_same(together, subject.observe(structure)[0], "company in a batch")


def check_gradients_within_graphs(subject: Subject) -> None:
    """The energy of a structure has no gradient in the edges of another of the batch."""
    chosen = symmetry.general(subject)
    sizes = [graph.num_edges for graph in subject.graphs(chosen)]
    owner = np.repeat(np.arange(len(chosen)), sizes)
    for i, weights in enumerate(np.eye(len(chosen))):
        gradient = subject.edge_gradients(chosen, weights.tolist())
        inside, outside = gradient[owner == i], gradient[owner != i]
        if not np.abs(inside).max() > F64_EXACT:
            raise AssertionError(f"the energy of the {chosen[i].source} depends on its edges")
        what = f"the energy of the {chosen[i].source} has no gradient in other structures"
        assert_close(outside, np.zeros_like(outside), F64_EXACT, what)


def check_finite(subject: Subject) -> None:
    """Two atoms at 0.1 Å, and an atom without neighbors, have finite predictions."""
    numbers = subject.species_table
    pairs = [structures.pair(_TOO_CLOSE, numbers[0], z) for z in numbers]
    for structure in (*pairs, structures.atom(numbers[0])):
        found = subject.observe(structure)[0]
        others = dict(found.others)
        values = {name: value for name, value in vars(found).items() if name != "others"}
        for name, value in (values | others).items():
            if not np.isfinite(value).all():
                raise AssertionError(f"{name} of {structure.source} are finite: found {value}")


def check_jit(subject: Subject) -> None:
    """Compiled and run operation by operation, the numbers are the same."""
    chosen = symmetry.general(subject)
    eager = subject.observe_eagerly(*chosen)
    for a, b in zip(eager, subject.observe(*chosen), strict=True):
        symmetry.assert_same(a, b, "running without compilation")


def check_parameter_gradients(subject: Subject) -> None:
    """Gradients of a force loss are finite with padding and an atom without neighbors."""
    numbers = subject.species_table
    chosen = (*symmetry.general(subject), structures.atom(numbers[-1]))
    gradients = jax.tree_util.tree_flatten_with_path(subject.loss_gradients(*chosen))[0]
    for path, leaf in gradients:
        name = jax.tree_util.keystr(path)
        if not np.isfinite(leaf).all():
            raise AssertionError(f"gradients of a force loss are finite: {name} is {leaf}")
    if not any(np.any(leaf != 0) for _, leaf in gradients):
        raise AssertionError("a force loss depends on the parameters")
