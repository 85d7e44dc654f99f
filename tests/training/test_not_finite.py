import dataclasses
from typing import Any

import numpy as np
import pytest

from equipot.graphs import batching
from equipot.quantities import Label
from equipot.training import not_finite

NAN = float("nan")


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"energy": 1.0, "forces": NAN}, "the forces loss is not finite (energy 1)"),
        ({"energy": NAN, "forces": 2.0}, "the energy loss is not finite (forces 2)"),
        ({"energy": 1.0, "forces": 2.0}, "the gradient is not finite; the largest term of the"),
        ({"energy": NAN, "forces": NAN}, "the losses of energy and forces are not finite: the mo"),
        ({"forces": NAN}, "the forces loss is not finite"),
    ],
)
def test_the_term_that_was_not_finite_first_is_named(terms: dict[str, float], message: str):
    assert not_finite.cause(terms).startswith(message)


def test_structures_with_the_largest_forces_are_named_first(lennard_jones: Any):
    graph = batching.build_graph(lennard_jones[0], 4.5, (18, 36), np.zeros(2))
    forces = graph.labels["forces"].value
    graphs = [
        dataclasses.replace(
            graph, source=f"a.xyz, frame {i}", labels={"forces": Label(0 * forces + size, 1.0)}
        )
        for i, size in enumerate([1.0, 7e7, 2.0, 3.0])
    ]
    named = not_finite.structures(graphs)
    assert named.startswith("a.xyz, frame 1 (up to 7e+07 eV/Å); a.xyz, frame 3 (up to 3 eV/Å); ")
    assert named.endswith("; and 1 more")
