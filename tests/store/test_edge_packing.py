"""Batches of a number of edges: nothing is dropped, little is padded, chance decides who meets."""

import pathlib

import numpy as np
import pytest

from equipot import errors
from equipot.store import edge_packing, packing


def mixed(count=300, seed=0):
    """Structures of 2 to 190 atoms with 10 to 30 pairs for each atom."""
    rng = np.random.default_rng(seed)
    nodes = rng.integers(2, 190, count)
    return np.stack([nodes, (nodes * rng.uniform(10, 30, count)).astype(int)], axis=1)


def planned(sizes, times, together=1):
    """Batches of so many times the edges of the largest structure."""
    return edge_packing.plan_edges(sizes, times * int(sizes[:, 1].max()), together)


def dealt(sizes, plan, epoch=0, seed=0):
    order = np.random.default_rng((seed, epoch)).permutation(len(sizes))
    return edge_packing.deal(sizes, order, plan, (seed, epoch, 1))


def waste(sizes, plan, epoch=0):
    steps = dealt(sizes, plan, epoch)
    return packing.padding_waste(sizes, steps, plan.shapes(sizes, steps))


@pytest.mark.parametrize("together", [1, 2, 4])
@pytest.mark.parametrize("times", [1, 1.5, 4, 30])
def test_each_structure_is_dealt_once_to_a_batch_that_holds_it(times, together):
    sizes = mixed()
    limit = int(times * sizes[:, 1].max())
    plan = edge_packing.plan_edges(sizes, limit, together)
    assert 1 <= len(plan.budgets) <= edge_packing.MOST_SHAPES
    for epoch in range(4):
        steps = dealt(sizes, plan, epoch)
        assert sorted(i for step in steps for own in step for i in own) == list(range(len(sizes)))
        assert all(len(step) == together for step in steps)
        for step, budget in zip(steps, plan.shapes(sizes, steps), strict=True):
            assert budget in plan.budgets and budget.edges <= limit
            for own in step:
                nodes, edges = sizes[list(own)].sum(axis=0)
                assert budget.holds(nodes, edges, len(own))


def test_the_deal_is_a_function_of_seed_and_epoch_and_differs_between_them():
    sizes = mixed()
    plan = planned(sizes, 4)
    assert dealt(sizes, plan, 3) == dealt(sizes, planned(sizes, 4), 3)
    assert dealt(sizes, plan, 3) != dealt(sizes, plan, 4)
    assert dealt(sizes, plan, 3) != dealt(sizes, plan, 3, seed=1)


def test_any_two_structures_meet_as_often_as_chance_has_it():
    """The largest too, which are dealt first: in a fixed order they would never meet."""
    sizes = mixed(40)
    plan = planned(sizes, 8)
    met = np.zeros((40, 40))
    epochs = 400
    for epoch in range(epochs):
        for step in dealt(sizes, plan, epoch):
            met[np.ix_(step[0], step[0])] += 1
    together = met[~np.eye(40, dtype=bool)] / epochs
    assert plan.num_bins == 3
    assert together.min() > 0.1 and together.max() < 0.6  # about a third
    assert np.diag(met).min() == epochs


def test_little_of_mixed_sizes_is_padding():
    sizes = mixed()
    plan = planned(sizes, 4)
    for epoch in range(5):
        found = waste(sizes, plan, epoch)
        assert found.edges < 0.05 and found.nodes < 0.08


def test_batches_become_smaller_where_the_structures_do_not_fill_a_whole_number():
    sizes = np.array([[10, 100]] * 11)
    plan = edge_packing.plan_edges(sizes, 1000)  # 11 in batches of 10: six and five
    assert plan.num_bins == 2
    assert [budget.edges for budget in plan.budgets] == [500, 600]
    assert waste(sizes, plan).edges == 0


def test_batches_of_single_structures_have_shapes_of_their_own():
    """No two fit together: a third of the edges would be padding in one shape."""
    edges = np.linspace(2100, 4000, 60).astype(int)
    sizes = np.stack([np.full(60, 100), edges], axis=1)
    plan = edge_packing.plan_edges(sizes, 4000)
    assert plan.num_bins == 60 and 1 < len(plan.budgets) <= 3
    assert waste(sizes, plan).edges < 0.8 * (1 - edges.mean() / 4000)


def test_devices_have_equal_work_and_none_of_them_waits_for_an_empty_batch():
    sizes = mixed(350)
    plan = planned(sizes, 4, together=8)
    for step in dealt(sizes, plan):
        edges = [sizes[list(own), 1].sum() for own in step]
        assert min(edges) > 0.9 * max(edges)


def test_atoms_without_neighbors_are_counted_too():
    sizes = np.array([[1, 0]] * 500)
    plan = edge_packing.plan_edges(sizes, 100)
    assert plan.num_bins == 10  # an atom takes the memory of two pairs
    assert all(budget.nodes <= 52 and budget.edges >= 1 for budget in plan.budgets)
    assert sorted(i for (own,) in dealt(sizes, plan) for i in own) == list(range(500))


def test_lone_atoms_and_dense_structures_share_batches():
    sizes = np.concatenate([mixed(100), np.array([[1, 0]] * 400)])
    plan = planned(sizes, 4)
    found = waste(sizes, plan)
    assert found.edges < 0.05 and found.nodes < 0.1


@pytest.mark.parametrize("together", [1, 4])
def test_one_structure_and_batches_larger_than_the_data_are_planned(together):
    one = np.array([[5, 20]])
    plan = edge_packing.plan_edges(one, 10_000, together)
    assert plan.budgets == (packing.Budget(6, 20, 2),)
    assert dealt(one, plan) == [((0,), *[()] * (together - 1))]
    few = np.array([[5, 20]] * 8)
    plan = edge_packing.plan_edges(few, 10_000, together)
    assert plan.budgets[-1].edges == 160 // together


@pytest.mark.wide
def test_a_large_set_is_planned_from_a_sample():
    sizes = mixed(12_000)
    plan = planned(sizes, 4, together=2)
    steps = dealt(sizes, plan)
    assert abs(2 * len(steps) - plan.num_bins) <= 0.01 * plan.num_bins
    assert waste(sizes, plan).edges < 0.06


def test_a_structure_with_more_edges_is_refused_with_the_number_that_it_takes():
    sizes = np.array([[5, 20], [9, 60]])
    with pytest.raises(
        errors.GraphTooLargeError,
        match=r"trainer.batch_edges: x.xyz, frame 1 has 120 edges, expected at most 118; set it to"
        r" 120 or more",
    ):
        edge_packing.plan_edges(sizes, 59, names=["x.xyz, frame 0", "x.xyz, frame 1"])
    with pytest.raises(errors.DataError, match="expected structures to plan batches for"):
        edge_packing.plan_edges(sizes[:0], 59)


@pytest.mark.parametrize("together", [1, 4])
def test_a_tenth_of_the_edges_of_mptrj_are_padding_at_most(together):
    """900 crystals of 85 elements; batches of four times the edges of the largest.

    The table has the atoms of each structure of the training split of ``data=mptrj_sample``, and
    its pairs within 5 Å.
    """
    sizes = np.load(pathlib.Path(__file__).with_name("mptrj_sizes.npy")).astype(np.int64)
    plan = planned(sizes, 4, together)
    assert len(plan.budgets) == 1
    for epoch in range(5):
        found = waste(sizes, plan, epoch)
        assert found.edges < 0.04 and found.nodes < 0.05
