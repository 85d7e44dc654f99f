"""What to report when a training step was not finite: which term, and which structures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from equipot.data import writers
from equipot.data.structure import Structure
from equipot.graphs.batching import HostGraph
from equipot.quantities import Quantity

_MOST_NAMED = 3


def cause(terms: Mapping[str, float]) -> str:
    """Names the first thing that was not finite, from the terms of the loss at that step.

    Args:
      terms: Weighted terms of the loss.
    """
    bad = [name for name, value in terms.items() if not np.isfinite(value)]
    if not bad:
        largest = max(terms, key=lambda name: terms[name])
        return (
            f"the gradient is not finite; the largest term of the loss is {largest},"
            f" {terms[largest]:.4g}"
        )
    if len(bad) == len(terms) > 1:
        return f"the losses of {' and '.join(bad)} are not finite: the model itself has run away"
    rest = ", ".join(f"{n} {value:.4g}" for n, value in terms.items() if n not in bad)
    return f"the {' and '.join(bad)} loss is not finite{f' ({rest})' if rest else ''}"


def structures(graphs: Sequence[HostGraph]) -> str:
    """Names some structures of a step, those with the largest labels of forces first.

    Args:
      graphs: Of the step.
    """
    labels = [graph.labels.get("forces") for graph in graphs]
    sizes = [0.0 if own is None else float(np.abs(own.value).max(initial=0.0)) for own in labels]
    order = np.argsort([-size for size in sizes], kind="stable")
    named = [f"{graphs[i].source} (up to {sizes[i]:.4g} eV/Å)" for i in order[:_MOST_NAMED]]
    rest = len(graphs) - len(named)
    return "; ".join(named) + (f"; and {rest} more" if rest else "")


def write(path: Path, structures: Sequence[Structure], quantities: Mapping[str, Quantity]) -> None:
    """Writes the structures of a step as extended xyz, with their labels and where they come from.

    Args:
      path: Name of the file.
      structures: Of the step.
      quantities: What they may be labelled with, by name.

    Raises:
      DataError: If the file cannot be written.
    """
    writers.write_frames(path, [writers.labelled(own, quantities) for own in structures])
