import jraph
import numpy as np

from equipot.graphs import batching, masks

CUTOFF = 3.5


def test_masks_are_true_for_what_is_real(molecules):
    graphs = molecules[:3]
    batch = batching.collate(graphs, batching.Budget(60, 500, 7), CUTOFF)
    nodes, edges = sum(g.num_nodes for g in graphs), sum(g.num_edges for g in graphs)
    np.testing.assert_array_equal(masks.node_mask(batch), np.arange(60) < nodes)
    np.testing.assert_array_equal(masks.edge_mask(batch), np.arange(500) < edges)
    np.testing.assert_array_equal(masks.graph_mask(batch), np.arange(7) < 3)


def test_masks_of_nodes_and_edges_agree_with_jraph(water):
    batch = batching.collate(water[:2], batching.Budget(60, 4000, 3), CUTOFF)
    np.testing.assert_array_equal(masks.node_mask(batch), jraph.get_node_padding_mask(batch))
    np.testing.assert_array_equal(masks.edge_mask(batch), jraph.get_edge_padding_mask(batch))
    np.testing.assert_array_equal(masks.graph_mask(batch), jraph.get_graph_padding_mask(batch))


def test_nothing_is_real_in_an_empty_batch():
    batch = batching.collate([], batching.Budget(4, 8, 3), CUTOFF)
    for mask in (masks.node_mask, masks.edge_mask, masks.graph_mask):
        assert not np.asarray(mask(batch)).any()


def test_a_structure_without_edges_is_real(molecules):
    atom = molecules[5]
    assert atom.num_edges == 0
    batch = batching.collate([atom], batching.Budget(4, 8, 3), CUTOFF)
    np.testing.assert_array_equal(masks.graph_mask(batch), [True, False, False])
    np.testing.assert_array_equal(masks.node_mask(batch), [True, False, False, False])
    assert not np.asarray(masks.edge_mask(batch)).any()
