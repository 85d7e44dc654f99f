import jax
import jax.numpy as jnp
import numpy as np

from equipot import e3


def test_axes_turn_right_handed():
    turns = jax.jit(lambda a: [e3.matrix_x(a), e3.matrix_y(a), e3.matrix_z(a)])(
        np.float32(np.pi / 2)
    )
    for n, matrix in enumerate(np.asarray(turns)):
        np.testing.assert_allclose(matrix @ np.eye(3)[n - 2], np.eye(3)[n - 1], atol=1e-6)


def test_random_matrices_are_proper_rotations_without_a_preferred_direction():
    matrices = np.asarray(jax.jit(lambda key: e3.rand_matrix(key, (4000,)))(jax.random.key(0)))
    unit = np.einsum("nij,nkj->nik", matrices, matrices)
    np.testing.assert_allclose(unit, np.broadcast_to(np.eye(3), (4000, 3, 3)), atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(matrices), 1.0, atol=1e-5)
    np.testing.assert_allclose(matrices.mean(0), np.zeros((3, 3)), atol=0.04)
    np.testing.assert_allclose((matrices**2).mean(0), np.full((3, 3), 1 / 3), atol=0.04)


def there_and_back(axis, angle):
    matrix = e3.axis_angle_to_matrix(axis, angle)
    return matrix, (
        e3.quaternion_to_matrix(e3.matrix_to_quaternion(matrix)),
        e3.log_coordinates_to_matrix(e3.matrix_to_log_coordinates(matrix)),
        e3.axis_angle_to_matrix(*e3.matrix_to_axis_angle(matrix)),
        e3.angles_to_matrix(*e3.matrix_to_angles(matrix)),
        e3.rotation_angle_from_matrix(matrix),
    )


def test_conversions_return_to_the_same_rotation():
    with jax.enable_x64(True):
        axis, angles = np.array([0.6, 0.0, -0.8]), np.array([0.0, 1e-4, 1.0, np.pi - 1e-4, np.pi])
        convert = jax.jit(jax.vmap(there_and_back, (None, 0)))
        matrix, (*back, angle_back) = convert(axis, angles)
        for other in back:
            np.testing.assert_allclose(other, matrix, atol=1e-9)
        np.testing.assert_allclose(angle_back, angles, atol=1e-7)


def test_angles_survive_the_poles():
    def twice(beta):
        matrix = e3.angles_to_matrix(0.4, beta, 1.3)
        return matrix, e3.angles_to_matrix(*e3.matrix_to_angles(matrix))

    with jax.enable_x64(True):
        matrix, again = jax.jit(jax.vmap(twice))(np.array([0.0, 0.7, np.pi]))
        np.testing.assert_allclose(again, matrix, atol=1e-12)


def test_directions_and_angles():
    alpha, beta = np.array([0.3, -2.0], np.float32), np.array([1.0, 2.5], np.float32)

    @jax.jit
    def functions(alpha, beta):
        xyz = e3.angles_to_xyz(alpha, beta)
        return xyz, e3.angles_to_matrix(alpha, beta, 0.0 * alpha), e3.xyz_to_angles(xyz)

    xyz, matrix, back = functions(alpha, beta)
    np.testing.assert_allclose(xyz, np.asarray(matrix) @ [0.0, 1.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(back, [alpha, beta], atol=1e-6)


def test_derivatives_are_finite_where_angles_are_not_determined():
    @jax.jit
    def derivatives(xyz, matrix):
        def angles(v):
            return jnp.stack(e3.xyz_to_angles(v))

        second = jax.vmap(jax.jacfwd(jax.jacrev(angles)))(xyz)
        return second, jax.jacrev(lambda m: jnp.stack(e3.matrix_to_angles(m)))(matrix)

    places = jnp.array([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, -2.0, 0.0]])
    assert all(np.all(np.isfinite(d)) for d in derivatives(places, jnp.eye(3)))


def test_derivatives_of_conversions_are_finite_at_no_rotation_and_zero_vectors():
    places = {
        e3.log_coordinates_to_matrix: np.zeros(3),
        lambda axis: e3.axis_angle_to_matrix(axis, 0.3): np.zeros(3),
        e3.quaternion_to_matrix: np.zeros(4),
        e3.matrix_to_log_coordinates: np.eye(3),
        e3.matrix_to_quaternion: -np.diag([1.0, 1.0, -1.0]),
        e3.quaternion_to_log_coordinates: np.array([1.0, 0.0, 0.0, 0.0]),
    }
    where = [place.astype(np.float32) for place in places.values()]
    slopes = jax.jit(lambda *xs: [jax.jacrev(f)(x) for f, x in zip(places, xs, strict=True)])
    for slope in slopes(*where):
        assert np.all(np.isfinite(slope))
