"""The typed graph: what stands in the fields of the ``jraph.GraphsTuple`` that models see.

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

from equipot.typing import Array

AnyArray: TypeAlias = Array | np.ndarray
"""An array on the device or on the host."""

Leaf: TypeAlias = Any
"""An array, or whatever ``jax.tree.map`` puts into its place (a shape, a sharding, None)."""


@struct.dataclass
class Nodes:
    """Per atom: where it is, what it is, and the force it should feel.

    Attributes:
      positions: Å, Float[nodes, 3].
      species: Index into the species table, Int[nodes].
      forces: Label in eV/Å, Float[nodes, 3].
    """

    positions: Leaf
    species: Leaf
    forces: Leaf


@struct.dataclass
class Edges:
    """Per pair of atoms.

    Attributes:
      cell_shifts: Lattice shift of the receiver's image, in units of the cell, Int[edges, 3].
    """

    cell_shifts: Leaf


@struct.dataclass
class Globals:
    """Per structure: the cell, the labels (reference energies already subtracted), their weights.

    Attributes:
      cell: Lattice vectors in rows, Å, Float[graphs, 3, 3]; zero in directions that are not
        periodic.
      volume: Å³, Float[graphs]; 1 where not all three directions are periodic, and in padding.
      energy: Label minus the sum of the reference energies, eV, Float[graphs].
      stress: Label in eV/Å³, tension positive, Float[graphs, 3, 3].
      energy_weight: Weight in the loss, Float[graphs]; 0 in padding and where there is no label.
      forces_weight: Likewise for the forces of all atoms of the structure.
      stress_weight: Likewise for the stress; 0 where the volume is not defined.
      head: Index of the level of theory of the labels, Int[graphs].
      charge: Total charge in elementary charges, Float[graphs].
    """

    cell: Leaf
    volume: Leaf
    energy: Leaf
    stress: Leaf
    energy_weight: Leaf
    forces_weight: Leaf
    stress_weight: Leaf
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
