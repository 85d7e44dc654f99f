import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3


def test_axes_turn_right_handed():
    quarter = np.pi / 2
    np.testing.assert_allclose(e3.matrix_x(quarter) @ np.array([0.0, 1, 0]), [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(e3.matrix_y(quarter) @ np.array([0.0, 0, 1]), [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(e3.matrix_z(quarter) @ np.array([1.0, 0, 0]), [0, 1, 0], atol=1e-6)


def test_random_matrices_are_proper_rotations_without_a_preferred_direction():
    matrices = e3.rand_matrix(jax.random.key(0), (4000,))
    unit = jnp.einsum("nij,nkj->nik", matrices, matrices, precision="highest")
    np.testing.assert_allclose(unit, np.broadcast_to(np.eye(3), (4000, 3, 3)), atol=1e-5)
    np.testing.assert_allclose(jnp.linalg.det(matrices), 1.0, atol=1e-5)
    np.testing.assert_allclose(matrices.mean(0), np.zeros((3, 3)), atol=0.04)
    np.testing.assert_allclose((matrices**2).mean(0), np.full((3, 3), 1 / 3), atol=0.04)


@jax.jit
def there_and_back(matrix):
    return (
        e3.quaternion_to_matrix(e3.matrix_to_quaternion(matrix)),
        e3.log_coordinates_to_matrix(e3.matrix_to_log_coordinates(matrix)),
        e3.axis_angle_to_matrix(*e3.matrix_to_axis_angle(matrix)),
        e3.angles_to_matrix(*e3.matrix_to_angles(matrix)),
        e3.rotation_angle_from_matrix(matrix),
    )


@pytest.mark.parametrize("angle", [0.0, 1e-4, 1.0, np.pi - 1e-4, np.pi])
def test_conversions_return_to_the_same_rotation(angle):
    with jax.enable_x64(True):
        axis = np.array([0.6, 0.0, -0.8])
        matrix = e3.axis_angle_to_matrix(axis, angle)
        *back, angle_back = there_and_back(matrix)
        for other in back:
            np.testing.assert_allclose(other, matrix, atol=1e-9)
        np.testing.assert_allclose(angle_back, angle, atol=1e-7)


@pytest.mark.parametrize("beta", [0.0, 0.7, np.pi])
def test_angles_survive_the_poles(beta):
    with jax.enable_x64(True):
        matrix = e3.angles_to_matrix(0.4, beta, 1.3)
        again = e3.angles_to_matrix(*e3.matrix_to_angles(matrix))
        np.testing.assert_allclose(again, matrix, atol=1e-12)


def test_directions_and_angles():
    alpha, beta = jnp.array([0.3, -2.0]), jnp.array([1.0, 2.5])
    xyz = e3.angles_to_xyz(alpha, beta)
    pole = jnp.array([0.0, 1.0, 0.0])
    turned = e3.angles_to_matrix(alpha, beta, jnp.zeros(2)) @ pole
    np.testing.assert_allclose(xyz, turned, atol=1e-6)
    np.testing.assert_allclose(e3.xyz_to_angles(xyz), [alpha, beta], atol=1e-6)


def test_derivatives_are_finite_where_angles_are_not_determined():
    @jax.jit
    def derivatives(xyz, matrix):
        def angles(v):
            return jnp.stack(e3.xyz_to_angles(v))

        second = jax.vmap(jax.jacfwd(jax.jacrev(angles)))(xyz)
        return second, jax.jacrev(lambda m: jnp.stack(e3.matrix_to_angles(m)))(matrix)

    places = jnp.array([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, -2.0, 0.0]])
    assert all(np.all(np.isfinite(d)) for d in derivatives(places, jnp.eye(3)))


@pytest.mark.parametrize(
    ("function", "where"),
    [
        (e3.log_coordinates_to_matrix, np.zeros(3)),
        (lambda axis: e3.axis_angle_to_matrix(axis, 0.3), np.zeros(3)),
        (e3.quaternion_to_matrix, np.zeros(4)),
        (e3.matrix_to_log_coordinates, np.eye(3)),
        (e3.matrix_to_quaternion, -np.diag([1.0, 1.0, -1.0])),
        (e3.quaternion_to_log_coordinates, np.array([1.0, 0.0, 0.0, 0.0])),
    ],
)
def test_derivatives_of_conversions_are_finite_at_no_rotation_and_zero_vectors(function, where):
    first = jax.jit(jax.jacrev(function))(jnp.asarray(where, jnp.float32))
    assert np.all(np.isfinite(first))
