import gc
import threading
import time

import jax
import numpy as np
import pytest

from equipot import errors
from equipot.graphs import batching, loader, masks
from equipot.process import Process

CUTOFF = 3.5


def make_loader(graphs, batch_size=2, **options) -> loader.Loader:
    return loader.Loader(graphs, batch_size=batch_size, cutoff=CUTOFF, **options)


def fingerprints(batches) -> list[bytes]:
    return [b"".join(leaf.tobytes() for leaf in jax.tree.leaves(batch)) for batch in batches]


def loader_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "equipot-loader"]


@pytest.mark.parametrize("num_devices", [1, 2])
def test_an_epoch_continued_anywhere_is_the_rest_of_the_whole(water, molecules, num_devices):
    graphs = [*water, *molecules]
    whole = fingerprints(make_loader(graphs, seed=3, num_devices=num_devices).batches(5))
    for start in range(len(whole) + 1):
        fresh = make_loader(graphs, seed=3, num_devices=num_devices)
        assert fingerprints(fresh.batches(5, start)) == whole[start:]


def test_order_depends_on_seed_and_epoch_alone(water):
    def orders(seed, epoch):
        return make_loader(water, seed=seed).steps(epoch)

    assert orders(0, 0) == orders(0, 0)
    assert orders(0, 0) != orders(0, 1)
    assert orders(0, 0) != orders(1, 0)
    shuffled = make_loader(water, seed=0)
    list(shuffled.batches(0))
    assert shuffled.steps(1) == orders(0, 1)


def test_order_without_shuffling_is_the_order_given(water):
    plain = make_loader(water, shuffle=False)
    assert plain.steps(0) == plain.steps(9) == [((0, 1),), ((2, 3),), ((4, 5),), ((6,),)]


@pytest.mark.parametrize("num_devices", [1, 2, 4])
def test_every_atom_is_seen_once_per_epoch(water, molecules, num_devices):
    graphs = [*water, *molecules]
    source = make_loader(graphs, num_devices=num_devices, seed=1)
    batches = list(source.batches(2))
    assert len(batches) == source.num_batches(2)
    seen = []
    for batch in batches:
        mask = np.asarray(jax.vmap(masks.graph_mask)(batch.graph))
        seen += np.asarray(batch.labels["energy"].value)[mask].tolist()
    energies = [np.float32(g.labels["energy"].value) for g in graphs]
    np.testing.assert_allclose(sorted(seen), sorted(energies))


def test_all_batches_have_one_shape_with_a_leading_device_axis(water, molecules):
    source = make_loader([*water, *molecules], num_devices=2)
    shapes = {str(jax.tree.map(np.shape, b)) for e in range(3) for b in source.batches(e)}
    assert len(shapes) == 1
    for batch in source.batches(0):
        assert {leaf.shape[0] for leaf in jax.tree.leaves(batch)} == {2}
        assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(batch))


def test_the_halves_of_two_processes_are_the_batches_of_one(water, molecules):
    graphs = [*water, *molecules]
    whole = list(make_loader(graphs, num_devices=4, seed=2).batches(1, 1))
    halves = [
        list(make_loader(graphs, num_devices=4, seed=2, process=Process(i, 2)).batches(1, 1))
        for i in range(2)
    ]
    assert len(whole) == len(halves[0]) == len(halves[1]) > 0
    for batch, first, second in zip(whole, *halves, strict=True):
        joined = jax.tree.map(lambda a, b: np.concatenate([a, b]), first, second)
        assert jax.tree.leaves(first)[0].shape[0] == 2
        assert fingerprints([joined]) == fingerprints([batch])


def test_processes_that_cannot_share_the_devices_are_refused(water):
    with pytest.raises(ValueError, match="2 processes can share evenly, received 3"):
        make_loader(water, num_devices=3, process=Process(1, 2))


def test_a_given_budget_is_used(water):
    budget = batching.plan_budget(water, 3)
    source = loader.Loader(water, budget, cutoff=CUTOFF, dtype="float64")
    first = next(iter(source.batches(0)))
    assert first.graph.nodes.positions.shape == (1, 3 * 24 + 1, 3)
    assert first.graph.nodes.positions.dtype == np.float64


def test_waste_is_reported(water):
    waste = make_loader(water, batch_size=7).padding_waste()
    assert waste.nodes == pytest.approx(1 - 7 * 24 / (7 * 24 + 1))
    assert 0 <= waste.edges < 0.2


def test_a_graph_above_the_budget_is_refused_before_the_first_batch(water):
    with pytest.raises(errors.GraphTooLargeError, match=r"water.xyz, frame 0 \(H16O8\): 24 nodes"):
        loader.Loader(water, batching.Budget(20, 9000, 3), cutoff=CUTOFF)


def test_a_loader_needs_a_budget_or_a_batch_size(water):
    with pytest.raises(ValueError, match="expected a budget or a batch size"):
        loader.Loader(water, cutoff=CUTOFF)


def test_a_position_beyond_the_epoch_is_refused(water):
    with pytest.raises(ValueError, match="epoch 0 has 4 batches, received position 5"):
        make_loader(water).batches(0, 5)


def test_thread_ends_when_the_epoch_is_left_early(water):
    batches = make_loader(water, batch_size=1).batches(0)
    next(batches)
    assert len(loader_threads()) == 1
    batches.close()
    assert not loader_threads()


def test_thread_ends_when_the_iterator_is_forgotten(water, new_objects_alone):
    batches = make_loader(water, batch_size=1).batches(0)
    next(batches)
    del batches
    gc.collect()
    assert not loader_threads()


def test_thread_ends_after_the_last_batch(water):
    assert len(list(make_loader(water).batches(0))) == 4
    assert not loader_threads()


def test_an_error_arrives_where_its_batch_would_have_come():
    def make(item: int) -> int:
        if item == 3:
            raise errors.DataError("frame 3 is broken")
        return item

    received = []
    with pytest.raises(errors.DataError, match="frame 3 is broken"):
        for value in loader.prefetched(make, range(9), 2):
            received.append(value)
    assert received == [0, 1, 2]
    assert not loader_threads()


def test_no_more_than_the_wanted_number_is_made_ahead():
    made = []
    values = loader.prefetched(lambda item: made.append(item) or item, range(50), 2)
    next(values)
    time.sleep(0.05)
    assert len(made) <= 4
    values.close()
