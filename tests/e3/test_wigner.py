import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3


def test_frozen_matrices():
    d1 = e3.Irreps("1e").D_from_angles(0.3, 0.5, 0.7)
    expected = [[0.564, 0.142, 0.814], [0.309, 0.878, -0.367], [-0.766, 0.458, 0.451]]
    np.testing.assert_allclose(d1, expected, atol=5e-4)
    np.testing.assert_allclose(
        d1, e3.matrix_y(0.3) @ e3.matrix_x(0.5) @ e3.matrix_y(0.7), atol=1e-6
    )
    d2 = [
        [-0.3694, 0.1496, 0.1124, 0.4366, 0.7987],
        [0.0447, 0.5384, 0.2154, 0.6622, -0.4725],
        [-0.1962, 0.4695, 0.6552, -0.5574, 0.0338],
        [0.4202, -0.5309, 0.6962, 0.2277, 0.0713],
        [-0.8041, -0.4307, 0.1643, 0.0912, -0.3642],
    ]
    np.testing.assert_allclose(e3.Irrep("2e").D_from_angles(0.3, 0.5, 0.7), d2, atol=5e-5)


@pytest.mark.parametrize("l", [0, 1, 2, 4, 8, 11])
def test_matrices_are_orthogonal_and_multiply_like_rotations(l):
    a, b = e3.rand_matrix(jax.random.key(0), (2,))
    product = np.matmul(a, b)
    matrices = np.asarray(jax.jit(e3.Irrep(l, 1).D_from_matrix)(np.stack([a, b, product])))
    d_a, d_b, d_product = matrices
    np.testing.assert_allclose(d_a @ d_a.T, np.eye(2 * l + 1), atol=1e-5)
    np.testing.assert_allclose(d_product, d_a @ d_b, atol=2e-5)


def test_every_form_of_a_rotation_gives_the_same_matrix():
    with jax.enable_x64(True):
        v = jnp.array([0.3, -1.1, 0.7])
        angle = float(jnp.linalg.norm(v))
        irreps = e3.Irreps("1o + 3e")
        expected = irreps.D_from_log_coordinates(v)
        matrix = e3.log_coordinates_to_matrix(v)
        quaternion = jnp.concatenate(
            [jnp.cos(jnp.array([angle / 2])), jnp.sin(angle / 2) * v / angle]
        )
        for other in (
            irreps.D_from_matrix(matrix),
            irreps.D_from_axis_angle(v, angle),
            irreps.D_from_quaternion(quaternion),
            irreps.D_from_quaternion(-2.0 * quaternion),
            irreps.D_from_angles(*e3.matrix_to_angles(matrix)),
        ):
            np.testing.assert_allclose(other, expected, atol=1e-12)


def test_generators_are_the_derivative_of_rotations():
    for l in (1, 2, 3):
        irrep = e3.Irrep(l, -1)
        derivative = jax.jit(jax.jacfwd(irrep.D_from_log_coordinates))(jnp.zeros(3))
        np.testing.assert_allclose(np.moveaxis(derivative, -1, 0), irrep.generators(), atol=1e-5)


def test_inversion_acts_by_parity():
    minus = -np.eye(3)
    np.testing.assert_allclose(e3.Irrep("1o").D_from_matrix(minus), minus, atol=1e-6)
    np.testing.assert_allclose(e3.Irrep("1e").D_from_matrix(minus), np.eye(3), atol=1e-6)
    np.testing.assert_allclose(e3.Irrep("0o").D_from_matrix(minus), [[-1.0]])
    matrix = e3.rand_matrix(jax.random.key(1))
    improper = e3.Irrep("2o").D_from_matrix(-matrix)
    np.testing.assert_allclose(improper, -e3.Irrep("2o").D_from_matrix(matrix), atol=1e-6)


def test_matrices_that_are_no_rotations_are_refused():
    with pytest.raises(ValueError, match="orthogonal"):
        e3.Irrep("1o").D_from_matrix(2.0 * np.eye(3))
    with pytest.raises(ValueError, match=r"3x3 matrix, received shape \(2, 2\)"):
        e3.Irrep("1o").D_from_matrix(np.eye(2))


def test_derivatives_exist_at_every_rotation():
    by_angles = jax.jit(jax.jacfwd(lambda a: e3.Irrep("2e").D_from_angles(a[0], a[1], a[2])))
    for angles in ([0.0, 0.0, 0.0], [0.1, np.pi, 0.2]):
        assert np.all(np.isfinite(by_angles(jnp.array(angles))))
    second = jax.jit(jax.jacfwd(jax.jacfwd(e3.Irrep("2e").D_from_log_coordinates)))
    assert np.all(np.isfinite(second(jnp.zeros(3))))


def test_precision_of_the_rotation_is_kept():
    with jax.enable_x64(True):
        matrix = e3.matrix_x(jnp.float32(0.3))
        assert matrix.dtype == jnp.float32
        assert e3.Irreps("1o + 2e").D_from_matrix(matrix).dtype == jnp.float32
