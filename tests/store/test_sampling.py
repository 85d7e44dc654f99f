"""Epochs in which groups of different sizes have the same share."""

from collections import Counter

import numpy as np
import pytest

from equipot.graphs import loader
from equipot.store import sampling

GROUPS = 2 * ["rare"] + 11 * ["common"] + 4 * ["some"]


def test_each_group_has_the_same_share_of_an_epoch():
    draw = sampling.balanced(GROUPS)
    for epoch in range(5):
        counts = Counter(GROUPS[i] for i in draw(0, epoch).tolist())
        assert sum(counts.values()) == len(GROUPS)
        assert set(counts.values()) <= {5, 6} and len(counts) == 3


def test_within_a_group_all_structures_are_drawn_equally_often():
    draw = sampling.balanced(GROUPS)
    total = Counter(i for epoch in range(33) for i in draw(3, epoch).tolist())
    for name in set(GROUPS):
        often = [total[i] for i, group in enumerate(GROUPS) if group == name]
        assert max(often) - min(often) <= 1
    sums = Counter(GROUPS[i] for i in total.elements())
    assert max(sums.values()) - min(sums.values()) <= 1


def test_an_epoch_is_a_function_of_seed_and_number():
    draw = sampling.balanced(GROUPS)
    np.testing.assert_array_equal(draw(1, 7), sampling.balanced(GROUPS)(1, 7))
    assert not np.array_equal(draw(1, 7), draw(1, 8))
    assert not np.array_equal(draw(1, 7), draw(2, 7))


def test_equal_groups_are_gone_through_once_an_epoch():
    draw = sampling.balanced(["a", "b", "a", "b", "b", "a"])
    for epoch in range(3):
        assert sorted(draw(0, epoch).tolist()) == list(range(6))


@pytest.mark.parametrize("devices", [1, 2])
def test_a_loader_goes_on_within_such_an_epoch(devices, lennard_jones):
    from equipot.graphs import batching

    graphs = [batching.build_graph(s, 3.5, (18, 36), np.zeros(2)) for s in lennard_jones[:6]]
    groups = ["a", "b", "b", "b", "b", "b"]
    own = loader.Loader(
        graphs, cutoff=3.5, batch_size=2, num_devices=devices, draw=sampling.balanced(groups)
    )
    dealt = Counter(i for step in own.steps(4) for members in step for i in members)
    assert dealt[0] == 3 and sum(dealt.values()) == 6
    whole, rest = list(own.batches(4)), list(own.batches(4, 1))
    np.testing.assert_array_equal(whole[1].graph.nodes.positions, rest[0].graph.nodes.positions)
