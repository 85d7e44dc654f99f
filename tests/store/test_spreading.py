import numpy as np
import pytest

from equipot.store import packing
from equipot.store.spreading import Spread

DEVICES = (1, 2, 3, 4, 8)


def table(seed, uniform=False, count=120):
    rng = np.random.default_rng(seed)
    atoms = np.full(count, 9) if uniform else rng.integers(2, 60, count)
    return np.stack([atoms, atoms * rng.integers(3, 30, count)], axis=1)


def steps_of(sizes, budget, devices, seed=0):
    order = np.random.default_rng(seed).permutation(len(sizes))
    return packing.group(packing.pack(sizes, order, budget), sizes, budget, devices)


def members(step):
    return sorted(i for b in step for i in b)


@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize("begun", DEVICES)
@pytest.mark.parametrize("now", DEVICES)
def test_each_step_keeps_its_structures_and_fits_on_every_device(uniform, begun, now):
    sizes = table(0, uniform)
    budget = packing.plan_sizes(sizes, 4)
    spread = Spread.plan(sizes, budget, begun, now)
    for step in steps_of(sizes, budget, begun):
        dealt = spread.spread(step, sizes)
        assert len(dealt) == now
        assert members(dealt) == members(step)
        room = spread.budget_of(dealt, sizes)
        for own in dealt:
            nodes, edges = sizes[list(own)].sum(axis=0)
            assert room.holds(nodes, edges, len(own))


@pytest.mark.parametrize("uniform", [True, False])
def test_more_devices_have_less_to_do_each(uniform):
    sizes = table(1, uniform)
    budget = packing.plan_sizes(sizes, 8)
    eight = Spread.plan(sizes, budget, 1, 8)
    assert eight.budget.edges < (0.2 if uniform else 0.6) * budget.edges
    steps = steps_of(sizes, budget, 1)
    assert all(eight.budget_of(eight.spread(s, sizes), sizes) == eight.budget for s in steps)


def test_on_fewer_devices_a_batch_has_room_for_whole_bins():
    sizes = table(2)
    budget = packing.plan_sizes(sizes, 4)
    one = Spread.plan(sizes, budget, 8, 1)
    assert one.budget == one.roomy
    assert one.budget.nodes - 1 == 8 * (budget.nodes - 1)
    assert one.budget.edges == 8 * budget.edges


def test_a_step_that_cannot_be_dealt_evenly_has_batches_of_whole_bins():
    sizes = np.array([(10, 100), (90, 900)] * 4)
    roomy, tight = packing.Budget(201, 2000, 5), packing.Budget(96, 1000, 3)
    spread = Spread(num_devices=4, begun=2, budget=tight, roomy=roomy)
    for step, budget in ((((0, 1, 2), (3,)), tight), (((0, 1, 2, 3), (4, 5, 6, 7)), roomy)):
        dealt = spread.spread(step, sizes)
        assert len(dealt) == 4 and members(dealt) == members(step)
        assert spread.budget_of(dealt, sizes) == budget


def test_on_the_devices_it_began_on_nothing_changes():
    sizes = table(3)
    budget = packing.plan_sizes(sizes, 4)
    spread = Spread.plan(sizes, budget, 4, 4)
    assert spread.budget == spread.roomy == budget
