"""The typed graph: the fields of the ``jraph.GraphsTuple`` that models see.

Labels are kept next to it, by quantity, in a ``Batch``.

A batch is padded to a fixed number of nodes, edges and graphs. The last graph is always padding and
owns at least one node; padding edges run from the first padding node to itself through a periodic
image at twice the cutoff, so that no radial function reaches them and no derivative meets a zero
length. An edge is a pair of atoms, listed once, in any order and either direction; where it is to
carry a message one way only, ``graphs.pairs`` says how. On the host the leaves are NumPy arrays; a
batch for several devices has one more axis in front of every leaf. The annotations of these records
and others that are pytrees say what a leaf is; they are never executed (``no_type_check``), since
``jax.tree.map`` puts shapes, shardings or None into the place of arrays.
"""

from typing import TYPE_CHECKING, NamedTuple, no_type_check

import jraph
from flax import struct

from equipot.quantities import Label
from equipot.typing import AnyArray, Float, Int


@no_type_check
@struct.dataclass
class Nodes:
    """Per atom: where it is, and what it is.

    Attributes:
      positions: Å.
      species: Index into the species table.
      offsets: Å; added to the positions, they restore the relative placement of sets of atoms that
        no pairs connect; zero if there is only one set, or any direction is periodic.
    """

    positions: Float[AnyArray, "nodes 3"]
    species: Int[AnyArray, " nodes"]
    offsets: Float[AnyArray, "nodes 3"]


@no_type_check
@struct.dataclass
class Edges:
    """Per pair of atoms.

    Attributes:
      cell_shifts: Lattice shift of the receiver's image, in units of the cell.
    """

    cell_shifts: Int[AnyArray, "edges 3"]


@no_type_check
@struct.dataclass
class Globals:
    """Per structure: the cell, and what is requested for the structure.

    Attributes:
      cell: Lattice vectors in rows, Å; zero in directions that are not periodic.
      volume: Å³; 1 unless all three directions are periodic, and in padding.
      head: Index of the level of theory.
      charge: Total charge in elementary charges.
    """

    cell: Float[AnyArray, "graphs 3 3"]
    volume: Float[AnyArray, " graphs"]
    head: Int[AnyArray, " graphs"]
    charge: Float[AnyArray, " graphs"]


if TYPE_CHECKING:

    class Graph(NamedTuple):
        """The contents of the fields of a ``jraph.GraphsTuple`` here; all integers are int32.

        Attributes:
          nodes: Per atom.
          edges: Per pair.
          receivers: Where the vectors of the edges end.
          senders: Where they start.
          globals: Per structure.
          n_node: Atoms of each structure.
          n_edge: Pairs of each structure.
        """

        nodes: Nodes
        edges: Edges
        receivers: Int[AnyArray, " edges"]
        senders: Int[AnyArray, " edges"]
        globals: Globals
        n_node: Int[AnyArray, " graphs"]
        n_edge: Int[AnyArray, " graphs"]

else:
    Graph = jraph.GraphsTuple


class Batch(NamedTuple):
    """A padded batch of graphs with their labels.

    Attributes:
      graph: What models see.
      labels: By quantity: values [nodes, ...] or [graphs, ...], reference energies already
        subtracted from energies, and weights [graphs], 0 in padding and where there is no label.
    """

    graph: Graph
    labels: dict[str, Label]
