"""Neighbor lists, padded batches of graphs, and the loader."""

from equipot.graphs.batching import (
    Budget,
    HostGraph,
    PaddingWaste,
    bucket,
    build_graph,
    build_graphs,
    collate,
    collate_devices,
    collate_labelled,
    compiled_shapes,
    pack,
    padding_waste,
    plan_budget,
)
from equipot.graphs.geometry import (
    edge_graph_index,
    edge_vectors,
    graph_edge_vectors,
    node_graph_index,
)
from equipot.graphs.graph import Batch, Edges, Globals, Graph, Nodes
from equipot.graphs.loader import Loader
from equipot.graphs.masks import edge_mask, graph_mask, node_mask
from equipot.store.neighbors import neighbor_list
from equipot.store.statistics import average_num_neighbors, species_table

neighbour_list = neighbor_list  # its name in earlier versions

__all__ = [
    "Batch",
    "Budget",
    "Edges",
    "Globals",
    "Graph",
    "HostGraph",
    "Loader",
    "Nodes",
    "PaddingWaste",
    "average_num_neighbors",
    "bucket",
    "build_graph",
    "build_graphs",
    "collate",
    "collate_devices",
    "collate_labelled",
    "compiled_shapes",
    "edge_graph_index",
    "edge_mask",
    "edge_vectors",
    "graph_edge_vectors",
    "graph_mask",
    "neighbor_list",
    "neighbour_list",
    "node_graph_index",
    "node_mask",
    "pack",
    "padding_waste",
    "plan_budget",
    "species_table",
]
