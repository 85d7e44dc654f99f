"""The typed graph: what stands in the fields of the ``jraph.GraphsTuple`` that models see.

A batch is padded to a fixed number of nodes, edges and graphs. The last graph is always padding and owns at
least one node; padding edges run from the first padding node to itself through a periodic image at twice the
cutoff, so that no radial function reaches them and no derivative meets a zero length.
"""

import jraph
from flax import struct
from jaxtyping import Float, Int, Shaped

from equipot.typing import Array

Graph = jraph.GraphsTuple


@struct.dataclass
class Nodes:
    """Per atom: where it is, what it is, and the force it should feel."""

    positions: Float[Array, "nodes 3"]
    species: Int[Array, " nodes"]
    forces: Float[Array, "nodes 3"]


@struct.dataclass
class Edges:
    """Per directed pair: the integer lattice shift of the receiver's image, in units of the cell."""

    cell_shifts: Int[Array, "edges 3"]


@struct.dataclass
class Globals:
    """Per structure: the cell, the labels (reference energies already subtracted) and their weights."""

    cell: Float[Array, "graphs 3 3"]
    volume: Float[Array, " graphs"]
    energy: Float[Array, " graphs"]
    stress: Float[Array, "graphs 3 3"]
    energy_weight: Float[Array, " graphs"]
    forces_weight: Float[Array, " graphs"]
    stress_weight: Float[Array, " graphs"]
