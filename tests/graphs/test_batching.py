import itertools

import jraph
import numpy as np
import pytest

from equipot import errors
from equipot.graphs import batching
from equipot.graphs.batching import Budget
from equipot.store import packing

CUTOFF = 3.5


def test_a_batch_of_one_is_the_plain_graph(water):
    graph = water[0]
    batch, labels = batching.collate_labelled(
        [graph], Budget(graph.num_nodes + 1, graph.num_edges, 2), CUTOFF, "float64"
    )
    nodes = batch.nodes
    np.testing.assert_array_equal(nodes.positions[:-1], graph.positions)
    np.testing.assert_array_equal(nodes.species[:-1], graph.species)
    np.testing.assert_array_equal(batch.senders, graph.senders)
    np.testing.assert_array_equal(batch.receivers, graph.receivers)
    np.testing.assert_array_equal(batch.edges.cell_shifts, graph.cell_shifts)
    for name in ("cell", "volume", "head", "charge"):
        np.testing.assert_array_equal(getattr(batch.globals, name)[0], getattr(graph, name))
    np.testing.assert_array_equal(labels["forces"].value[:-1], graph.labels["forces"].value)
    for name in ("energy", "stress"):
        np.testing.assert_array_equal(labels[name].value[0], graph.labels[name].value)
    assert [label.weight[0] for label in labels.values()] == [1.0, 2.0, 0.5]


def test_a_batch_agrees_with_jraph(water):
    graphs = water[:3]
    plain = [
        jraph.GraphsTuple(
            nodes={"positions": g.positions.astype(np.float32), "species": g.species},
            edges=g.cell_shifts.astype(np.int32),
            globals=np.array([g.labels["energy"].value], np.float32),
            senders=g.senders,
            receivers=g.receivers,
            n_node=np.array([g.num_nodes], np.int32),
            n_edge=np.array([g.num_edges], np.int32),
        )
        for g in graphs
    ]
    joined = jraph.batch_np(plain)
    nodes, edges = joined.nodes["species"].shape[0], len(joined.senders)
    batch, labels = batching.collate_labelled(graphs, Budget(nodes + 5, edges + 8, 6), CUTOFF)
    np.testing.assert_array_equal(batch.senders[:edges], joined.senders)
    np.testing.assert_array_equal(batch.receivers[:edges], joined.receivers)
    np.testing.assert_array_equal(batch.edges.cell_shifts[:edges], joined.edges)
    np.testing.assert_array_equal(batch.nodes.positions[:nodes], joined.nodes["positions"])
    np.testing.assert_array_equal(batch.nodes.species[:nodes], joined.nodes["species"])
    np.testing.assert_array_equal(labels["energy"].value[:3], joined.globals)
    np.testing.assert_array_equal(batch.n_node, [24, 24, 24, 0, 0, 5])
    np.testing.assert_array_equal(batch.n_edge, [*joined.n_edge, 0, 0, 8])


def test_padding_is_neutral(molecules):
    graphs = molecules[:2]
    nodes, edges = sum(g.num_nodes for g in graphs), sum(g.num_edges for g in graphs)
    batch, labels = batching.collate_labelled(graphs, Budget(nodes + 3, edges + 4, 5), CUTOFF)
    np.testing.assert_array_equal(batch.senders[edges:], nodes)
    np.testing.assert_array_equal(batch.receivers[edges:], nodes)
    np.testing.assert_array_equal(batch.edges.cell_shifts[edges:], [[1, 0, 0]] * 4)
    np.testing.assert_array_equal(batch.globals.cell[2:], [2 * CUTOFF * np.eye(3)] * 3)
    np.testing.assert_array_equal(batch.globals.volume, 1.0)
    for label in labels.values():
        np.testing.assert_array_equal(label.weight[2:], 0.0)
    assert not labels["forces"].value[nodes:].any() and not labels["energy"].value[2:].any()


def test_labels_a_structure_lacks_are_zeros_of_weight_zero(molecules, water):
    graphs, budget = [molecules[0], water[0]], Budget(40, 3000, 4)
    labels = batching.collate_labelled(graphs, budget, CUTOFF).labels
    np.testing.assert_array_equal(labels["energy"].weight, [1.0, 1.0, 0.0, 0.0])
    np.testing.assert_array_equal(labels["forces"].weight, [0.0, 2.0, 0.0, 0.0])
    assert not labels["forces"].value[: molecules[0].num_nodes].any()
    assert not labels["stress"].value[0].any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_leaves_have_the_wanted_types(water, dtype):
    batch, labels = batching.collate_labelled(water[:1], Budget(30, 1500, 2), CUTOFF, dtype)
    own = dict(vars(batch.globals))
    integers = [batch.nodes.species, batch.edges.cell_shifts, batch.senders, own.pop("head")]
    floats = [batch.nodes.positions, *own.values(), *itertools.chain(*labels.values())]
    assert {str(leaf.dtype) for leaf in floats} == {dtype}
    assert {str(leaf.dtype) for leaf in integers} == {"int32"}


def test_each_device_gets_what_it_would_get_alone(water, molecules):
    bins, budget = [water[:2], [], molecules[:4]], Budget(60, 3500, 6)
    stacked, labels = batching.collate_devices(bins, budget, CUTOFF)
    for device, graphs in enumerate(bins):
        alone, own = batching.collate_labelled(graphs, budget, CUTOFF)
        np.testing.assert_array_equal(stacked.senders[device], alone.senders)
        np.testing.assert_array_equal(stacked.n_node[device], alone.n_node)
        np.testing.assert_array_equal(stacked.nodes.positions[device], alone.nodes.positions)
        np.testing.assert_array_equal(stacked.globals.cell[device], alone.globals.cell)
        np.testing.assert_array_equal(labels["forces"].value[device], own["forces"].value)


def test_every_batch_of_an_epoch_fits_its_planned_budget(molecules, water):
    graphs = [*molecules, *water]
    budget = batching.plan_budget(graphs, 4)
    bins = batching.pack(packing.size_table(graphs), np.arange(len(graphs)), budget)
    for chosen in bins:
        batch = batching.collate([graphs[i] for i in chosen], budget, CUTOFF)
        assert batch.n_node.sum() == budget.nodes and batch.n_edge.sum() == budget.edges
        assert batch.n_node[-1] >= 1


def test_graphs_that_do_not_fit_together_are_refused(water):
    message = r"water.xyz, frame 0 \(H16O8\) and 1 others: 48 nodes, .* expected at most 39,"
    with pytest.raises(errors.GraphTooLargeError, match=message):
        batching.collate(water[:2], Budget(40, 9000, 3), CUTOFF)
