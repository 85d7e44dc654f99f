"""Three atoms as edges, quick compilation, and what energies must fulfil in every model."""

import jax
import jax.numpy as jnp
import numpy as np

from equipot import testing
from equipot.models.context import ModelContext

# All pairs of three atoms: edge 2k + 1 is the image of edge 2k.
SENDERS = jnp.asarray([1, 0, 2, 0, 2, 1], jnp.int32)
RECEIVERS = jnp.asarray([0, 1, 0, 2, 1, 2], jnp.int32)
SPECIES = jnp.asarray([0, 1, 1], jnp.int32)
POSITIONS = np.array([[0.0, 0.0, 0.0], [1.1, 0.3, -0.2], [-0.5, 1.3, 0.4]])
# Those of two atoms with a third in the middle, and not with each other.
NEAR, FAR = jnp.asarray([1, 2, 0, 0], jnp.int32), jnp.asarray([0, 0, 1, 2], jnp.int32)
ALIKE = jnp.zeros(3, jnp.int32)


def vectors(dtype="float32"):
    return jnp.asarray(POSITIONS[RECEIVERS] - POSITIONS[SENDERS], dtype)


def bonds(angle):
    """Edges of two atoms at 1 Å from a third, whose bonds enclose an angle."""
    first, second = [1.0, 0.0, 0.0], [np.cos(angle), np.sin(angle), 0.0]
    return jnp.asarray([first, second, [-x for x in first], [-x for x in second]])


def quick_jit(function):
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def assert_energies_survive_rotation_and_inversion(energy, edge_vectors):
    """In double precision, for energies that differ between atoms."""
    expected = energy(edge_vectors)
    assert expected.dtype == "float64" and np.ptp(expected) > 1e-4
    for matrix in (testing.rotation_matrix(1), -np.eye(3)):
        found = energy(edge_vectors @ matrix.T)
        testing.assert_close(found, expected, testing.F64_EXACT, "energies")


def context(avg_num_neighbors=2.0, species_table=(1, 8), directed=True):
    """Of a model for the edges of these molecules, which are listed both ways."""
    return ModelContext(
        species_table=species_table, avg_num_neighbors=avg_num_neighbors, directed=directed
    )
