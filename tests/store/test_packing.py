import numpy as np
import pytest

from equipot import errors
from equipot.store import packing
from equipot.store.packing import Budget


def varied_sizes(count: int = 600) -> np.ndarray:
    """Sizes as in a database of crystals: 2 to 192 atoms, most of them small."""
    rng = np.random.default_rng(3)
    nodes = np.clip(rng.lognormal(3.2, 0.9, count).astype(int), 2, 192)
    return np.column_stack([nodes, (nodes * rng.uniform(20, 60, count)).astype(int)])


def liquid_sizes(count: int = 50) -> np.ndarray:
    """Boxes of 96 atoms whose number of edges fluctuates."""
    edges = np.random.default_rng(4).integers(4800, 5200, count)
    return np.column_stack([np.full(count, 96), edges])


def shuffled(sizes: np.ndarray, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(len(sizes))


def members(steps: list[packing.Step]) -> list[int]:
    return sorted(i for step in steps for chosen in step for i in chosen)


def test_equal_sizes_get_a_tight_budget():
    sizes = liquid_sizes()
    budget = packing.plan_sizes(sizes, 4)
    assert budget.nodes == 4 * 96 + 1 and budget.graphs == 5
    assert 0 <= budget.edges - 4 * sizes[:, 1].max() < 0.02 * budget.edges


@pytest.mark.parametrize(
    ("sizes", "batch_size", "directed"),
    [
        ([[3, 3], [5, 7], [9, 15], [30, 111]], 2, (41, 224, 5)),
        ([[3, 3], [3, 2]], 2, (7, 16, 3)),
        ([[192, 5199]] * 5, 3, (577, 31232, 4)),
    ],
)
def test_budgets_are_those_of_the_versions_that_held_both_directions(sizes, batch_size, directed):
    """So that a run that was begun with them keeps its batches."""
    nodes, edges, graphs = directed
    found = packing.plan_sizes(np.array(sizes), batch_size)
    assert found == Budget(nodes, edges // 2, graphs)


def test_equal_sizes_are_dealt_in_order_in_full_batches():
    sizes, order = liquid_sizes(), shuffled(liquid_sizes())
    bins = packing.pack(sizes, order, packing.plan_sizes(sizes, 4))
    assert [len(b) for b in bins] == [4] * 12 + [2]
    assert [i for b in bins for i in b] == order.tolist()


def test_a_small_dataset_gets_a_small_budget():
    sizes = liquid_sizes(3)
    assert packing.plan_sizes(sizes, 32).graphs == 4


@pytest.mark.parametrize("batch_size", [1, 4, 16, 64])
def test_budget_holds_the_largest_and_the_asked_number_on_average(batch_size):
    sizes = varied_sizes()
    budget = packing.plan_sizes(sizes, batch_size)
    assert budget.holds(*sizes.max(axis=0))
    assert budget.holds(*np.floor(batch_size * sizes.mean(axis=0)).astype(int), batch_size)


@pytest.mark.parametrize("batch_size", [1, 4, 16, 64])
@pytest.mark.parametrize("num_devices", [1, 4])
def test_every_structure_is_dealt_once_and_within_the_budget(batch_size, num_devices):
    sizes = varied_sizes()
    budget = packing.plan_sizes(sizes, batch_size)
    bins = packing.pack(sizes, shuffled(sizes), budget)
    steps = packing.group(bins, sizes, budget, num_devices)
    assert members(steps) == list(range(len(sizes)))
    for step in steps:
        assert len(step) == num_devices
        for chosen in step:
            assert budget.holds(*sizes[list(chosen)].sum(axis=0), len(chosen))


@pytest.mark.parametrize("batch_size", [4, 16])
def test_little_is_wasted_on_structures_of_many_sizes(batch_size):
    sizes = varied_sizes()
    budget = packing.plan_sizes(sizes, batch_size)
    waste = packing.padding_waste(
        sizes, packing.group(packing.pack(sizes, shuffled(sizes), budget), sizes, budget), budget
    )
    assert 0 < waste.edges < 0.12 and 0 < waste.nodes < 0.15


def test_packing_is_a_function_of_the_order_alone():
    sizes = varied_sizes()
    budget = packing.plan_sizes(sizes, 8)
    once, again = (packing.pack(sizes, shuffled(sizes, 5), budget) for _ in range(2))
    assert once == again
    assert once != packing.pack(sizes, shuffled(sizes, 6), budget)


def test_bins_follow_the_shuffled_order_rather_than_the_size():
    sizes = varied_sizes(2000)
    bins = packing.pack(sizes, shuffled(sizes), packing.plan_sizes(sizes, 16))
    means = np.array([sizes[list(b), 0].mean() for b in bins[: len(bins) // 2]])
    late = np.array([sizes[list(b), 0].mean() for b in bins[len(bins) // 2 :]])
    assert abs(means.mean() - late.mean()) < 0.2 * sizes[:, 0].mean()


def test_devices_get_nearly_equal_numbers_of_edges():
    sizes = varied_sizes()
    budget = packing.plan_sizes(sizes, 16)
    steps = packing.group(packing.pack(sizes, shuffled(sizes), budget), sizes, budget, 4)
    loads = np.array([[sizes[list(b), 1].sum() for b in step] for step in steps])
    assert np.median(loads.max(axis=1) / loads.mean(axis=1)) < 1.03


def test_last_step_is_spread_over_all_devices_and_filled_with_empty_bins():
    sizes = liquid_sizes(26)
    budget = packing.plan_sizes(sizes, 4)
    steps = packing.group(packing.pack(sizes, np.arange(26), budget), sizes, budget, 4)
    assert [len(b) for b in steps[0]] == [4, 4, 4, 4]
    assert sorted(len(b) for b in steps[1]) == [2, 2, 3, 3]
    few = packing.group(packing.pack(sizes, np.arange(2), budget), sizes, budget, 4)
    assert sorted(len(b) for b in few[0]) == [0, 0, 1, 1]


def test_bins_that_cannot_be_dealt_anew_are_kept():
    sizes = np.array([[5, 10], [5, 9], [4, 8], [3, 7], [3, 6]])
    bins = [(0, 1), (2, 3, 4)]  # dealt by edges, the last would find 8 and 9 of 10 nodes taken
    assert packing.group(bins, sizes, Budget(11, 98, 4), 2) == [((0, 1), (2, 3, 4))]
    assert packing.group(bins, sizes, Budget(15, 98, 4), 2) == [((0, 3, 4), (1, 2))]


def test_a_structure_above_the_budget_is_named_with_its_numbers():
    sizes = np.array([[3, 6], [512, 31744]])
    message = r"big.xyz, frame 4: 512 nodes and 31,744 pairs, expected at most 255 and 16,384"
    with pytest.raises(errors.GraphTooLargeError, match=message):
        packing.pack(sizes, np.arange(2), Budget(256, 16384, 9), ["a", "big.xyz, frame 4"])
    with pytest.raises(errors.GraphTooLargeError, match="structure 1: "):
        packing.pack(sizes, np.arange(2), Budget(256, 16384, 9))


def test_waste_counts_padding_of_empty_bins_too():
    sizes = np.array([[3, 6], [4, 8]])
    waste = packing.padding_waste(sizes, [((0,), (1,)), ((), (0,))], Budget(5, 10, 2))
    assert waste.nodes == pytest.approx(1 - 10 / 20)
    assert waste.edges == pytest.approx(1 - 20 / 40)
    assert waste.graphs == pytest.approx(1 - 3 / 8)
    assert str(waste) == "padding: 50.0% of nodes, 50.0% of edges"


def test_no_structures_or_no_batch_size_cannot_be_planned():
    with pytest.raises(errors.DataError, match="received 0 structures"):
        packing.plan_sizes(np.zeros((0, 2), int), 4)
    with pytest.raises(errors.DataError, match="batch size 0"):
        packing.plan_sizes(liquid_sizes(), 0)


def test_rounding_up_costs_little():
    counts = np.arange(1, 200_000, 37)
    rounded = np.array([packing.round_up(int(n)) for n in counts])
    assert (rounded >= counts).all() and (rounded % 8 == 0).all()
    assert ((rounded - counts) <= np.maximum(7, counts / 32)).all()


def test_buckets_hold_the_structure_and_are_few():
    budgets = {packing.bucket(n, 52 * n) for n in range(1, 2000)}
    assert all(packing.bucket(n, 52 * n).holds(n, 52 * n) for n in range(1, 2000, 7))
    assert packing.compiled_shapes(*budgets) < 60
    assert packing.compiled_shapes(Budget(8, 8, 2), Budget(8, 8, 2), Budget(9, 8, 2)) == 2
