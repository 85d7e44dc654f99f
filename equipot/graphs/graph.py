"""The typed graph: what stands in the fields of the ``jraph.GraphsTuple`` that models see.

Labels stand beside it, by quantity, in a ``Batch``.

A batch is padded to a fixed number of nodes, edges and graphs. The last graph is always padding and
owns at least one node; padding edges run from the first padding node to itself through a periodic
image at twice the cutoff, so that no radial function reaches them and no derivative meets a zero
length. An edge is a pair of atoms, listed once, in any order and either direction; where it is to
carry a message one way only, ``graphs.pairs`` says how. On the host the leaves are NumPy arrays; a
batch for several devices has one more axis in front of every leaf.
"""

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import jraph
import numpy as np
from flax import struct

from equipot.quantities import Label
from equipot.typing import Array

AnyArray: TypeAlias = Array | np.ndarray
"""An array on the device or on the host."""

Leaf: TypeAlias = Any
"""An array, or whatever ``jax.tree.map`` puts into its place (a shape, a sharding, None)."""


@struct.dataclass
class Nodes:
    """Per atom: where it is, and what it is.

    Attributes:
      positions: Å, Float[nodes, 3].
      species: Index into the species table, Int[nodes].
      offsets: Å, Float[nodes, 3]; what to add to positions so that sets of atoms that no pairs
        connect lie to each other as they do; zero where there is one, or something is periodic.
    """

    positions: Leaf
    species: Leaf
    offsets: Leaf


@struct.dataclass
class Edges:
    """Per pair of atoms.

    Attributes:
      cell_shifts: Lattice shift of the receiver's image, in units of the cell, Int[edges, 3].
    """

    cell_shifts: Leaf


@struct.dataclass
class Globals:
    """Per structure: the cell, and what the structure is asked for.

    Attributes:
      cell: Lattice vectors in rows, Å, Float[graphs, 3, 3]; zero in directions that are not
        periodic.
      volume: Å³, Float[graphs]; 1 where not all three directions are periodic, and in padding.
      head: Index of the level of theory, Int[graphs].
      charge: Total charge in elementary charges, Float[graphs].
    """

    cell: Leaf
    volume: Leaf
    head: Leaf
    charge: Leaf


if TYPE_CHECKING:

    class Graph(NamedTuple):
        """What the fields of a ``jraph.GraphsTuple`` hold here; all integers are int32.

        Attributes:
          nodes: Per atom.
          edges: Per pair.
          receivers: Where the vectors of the edges end, Int[edges].
          senders: Where they start, Int[edges].
          globals: Per structure.
          n_node: Atoms of each structure, Int[graphs].
          n_edge: Pairs of each structure, Int[graphs].
        """

        nodes: Nodes
        edges: Edges
        receivers: Leaf
        senders: Leaf
        globals: Globals
        n_node: Leaf
        n_edge: Leaf

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
