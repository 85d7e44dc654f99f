import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.graphs import batching, geometry, masks

CUTOFF = 3.5


def padded(graphs, dtype="float32"):
    return batching.collate(graphs, batching.Budget(80, 4000, 5), CUTOFF, dtype)


def test_vector_points_from_sender_to_the_shifted_receiver():
    cell = np.array([[4.0, 0, 0], [1.0, 5.0, 0], [0, 2.0, 6.0]], np.float32)
    positions = np.array([[0.1, 0.2, 0.3], [1.0, -2.0, 0.5]], np.float32)
    shift = np.array([[1, -1, 2]], np.int32)
    first, second = np.array([0], np.int32), np.array([1], np.int32)
    found = geometry.edge_vectors(positions, cell[None], shift, first, second, first)
    expected = positions[1] - positions[0] + cell[0] - cell[1] + 2 * cell[2]
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)


def test_each_edge_uses_the_cell_of_its_own_graph():
    cells = np.stack([np.eye(3), 10 * np.eye(3)]).astype(np.float32)
    positions = np.zeros((2, 3), np.float32)
    ends, shifts = np.array([0, 1], np.int32), np.array([[1, 0, 0], [0, 1, 0]], np.int32)
    found = geometry.edge_vectors(positions, cells, shifts, ends, ends, ends)
    np.testing.assert_array_equal(found, [[1, 0, 0], [0, 10, 0]])


def test_real_edges_are_shorter_than_the_cutoff_and_padding_twice_as_long(water):
    batch = padded(water[:2])
    lengths = np.linalg.norm(jax.jit(geometry.graph_edge_vectors)(batch), axis=1)
    real = np.asarray(masks.edge_mask(batch))
    assert real.sum() == water[0].num_edges + water[1].num_edges
    assert (lengths[real] < CUTOFF).all() and (lengths[real] > 0.5).all()
    np.testing.assert_array_equal(lengths[~real], 2 * CUTOFF)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_vectors_have_the_dtype_of_the_positions(water, dtype):
    with jax.enable_x64(dtype == "float64"):
        assert jax.jit(geometry.graph_edge_vectors)(padded(water[:1], dtype)).dtype == dtype


def test_float64_vectors_agree_with_numpy(water_structures, water):
    with jax.enable_x64(True):
        found = np.asarray(geometry.graph_edge_vectors(padded(water[:1], "float64")))
    graph, positions = water[0], water_structures[0].positions
    images = graph.cell_shifts.astype(float) @ graph.cell
    inside = positions - positions.mean(axis=0)
    offsets = np.round((inside - graph.positions) @ np.linalg.inv(graph.cell)) @ graph.cell
    assert graph.positions.shape == offsets.shape
    expected = graph.positions[graph.receivers] - graph.positions[graph.senders] + images
    np.testing.assert_allclose(found[: graph.num_edges], expected, atol=1e-14)


def test_moving_an_atom_by_a_lattice_vector_leaves_its_edges(water_structures, build):
    structure = water_structures[0]
    moved = structure.positions.copy()
    moved[3] += 40 * structure.cell[0] - 7 * structure.cell[2]
    edges = []
    for positions in (structure.positions, moved):
        graph = build(type(structure)(**(vars(structure) | {"positions": positions})))
        edges.append(np.asarray(geometry.graph_edge_vectors(padded([graph]))))
    np.testing.assert_allclose(edges[0], edges[1], atol=2e-6)


def test_gradient_of_padded_lengths_is_finite_and_stays_in_the_padding(water):
    batch = padded(water[:1])

    def total_length(positions, cell):
        nodes = batch.nodes.replace(positions=positions)
        labels = batch.globals.replace(cell=cell)
        graph = batch._replace(nodes=nodes, globals=labels)
        lengths = jnp.linalg.norm(geometry.graph_edge_vectors(graph), axis=1)
        return jnp.sum(jnp.where(masks.edge_mask(batch), 0.0, lengths))

    positions, cell = jnp.asarray(batch.nodes.positions), jnp.asarray(batch.globals.cell)
    by_positions, by_cell = jax.jit(jax.grad(total_length, argnums=(0, 1)))(positions, cell)
    np.testing.assert_array_equal(by_positions, 0.0)
    assert np.isfinite(by_cell).all() and not np.asarray(by_cell)[0].any()


def test_indices_name_the_graph_of_each_node_and_edge():
    counts = jnp.array([2, 0, 3, 0, 1], jnp.int32)
    expected = [0, 0, 2, 2, 2, 4]
    np.testing.assert_array_equal(geometry.node_graph_index(counts, 6), expected)
    np.testing.assert_array_equal(geometry.edge_graph_index(counts, 6), expected)
    assert geometry.node_graph_index(counts, 6).dtype == jnp.int32


def test_vectors_of_a_stacked_batch_are_those_of_its_parts(water):
    budget = batching.Budget(80, 4000, 5)
    stacked = batching.collate_devices([water[:2], water[2:3]], budget, CUTOFF).graph
    found = jax.vmap(geometry.graph_edge_vectors)(stacked)
    for device, graphs in enumerate([water[:2], water[2:3]]):
        alone = geometry.graph_edge_vectors(batching.collate(graphs, budget, CUTOFF))
        np.testing.assert_array_equal(found[device], alone)
