import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3
from equipot.e3.so3 import wigner
from equipot.testing import rotation_matrix


def test_frozen_matrices():
    @jax.jit
    def matrices(a, b, c):
        product = e3.matrix_y(a) @ e3.matrix_x(b) @ e3.matrix_y(c)
        irreps = e3.Irreps("1e"), e3.Irrep("2e")
        return product, [each.D_from_angles(a, b, c) for each in irreps]

    product, (d1, d2) = matrices(0.3, 0.5, 0.7)
    expected = [[0.564, 0.142, 0.814], [0.309, 0.878, -0.367], [-0.766, 0.458, 0.451]]
    np.testing.assert_allclose(d1, expected, atol=5e-4)
    np.testing.assert_allclose(d1, product, atol=1e-6)
    expected = [
        [-0.3694, 0.1496, 0.1124, 0.4366, 0.7987],
        [0.0447, 0.5384, 0.2154, 0.6622, -0.4725],
        [-0.1962, 0.4695, 0.6552, -0.5574, 0.0338],
        [0.4202, -0.5309, 0.6962, 0.2277, 0.0713],
        [-0.8041, -0.4307, 0.1643, 0.0912, -0.3642],
    ]
    np.testing.assert_allclose(d2, expected, atol=5e-5)


def test_matrices_are_orthogonal_and_multiply_like_rotations():
    a, b = (rotation_matrix(seed) for seed in (0, 1))
    rotations = jnp.asarray([a, b, a @ b], jnp.float32)
    for l, matrices in enumerate(jax.jit(lambda r: wigner.wigner_matrices(11, r))(rotations)):
        d_a, d_b, d_product = np.asarray(matrices)
        np.testing.assert_allclose(d_a @ d_a.T, np.eye(2 * l + 1), atol=1e-5)
        np.testing.assert_allclose(d_product, d_a @ d_b, atol=2e-5)


def test_every_form_of_a_rotation_gives_the_same_matrix():
    irreps = e3.Irreps("1o + 3e")

    @jax.jit
    def every_form(v, angle, quaternion):
        matrix = e3.log_coordinates_to_matrix(v)
        return (
            irreps.D_from_log_coordinates(v),
            irreps.D_from_matrix(matrix),
            irreps.D_from_axis_angle(v, angle),
            irreps.D_from_quaternion(quaternion),
            irreps.D_from_quaternion(-2.0 * quaternion),
            irreps.D_from_angles(*e3.matrix_to_angles(matrix)),
        )

    with jax.enable_x64(True):
        v = np.array([0.3, -1.1, 0.7])
        angle = np.linalg.norm(v)
        quaternion = np.array([np.cos(angle / 2), *(np.sin(angle / 2) * v / angle)])
        expected, *others = every_form(v, angle, quaternion)
        for other in others:
            np.testing.assert_allclose(other, expected, atol=1e-12)


def test_generators_are_the_derivative_of_rotations():
    irreps = [e3.Irrep(l, -1) for l in (1, 2, 3)]
    slopes = jax.jit(jax.jacfwd(lambda v: [each.D_from_log_coordinates(v) for each in irreps]))
    for irrep, slope in zip(irreps, slopes(np.zeros(3, np.float32)), strict=True):
        np.testing.assert_allclose(np.moveaxis(slope, -1, 0), irrep.generators(), atol=1e-5)


def test_inversion_acts_by_parity():
    names = ("1o", "1e", "0o", "2o")
    every = jax.jit(lambda m: [e3.Irrep(name).D_from_matrix(m) for name in names])
    matrix = rotation_matrix(1).astype(np.float32)
    for element in (np.eye(3, dtype=np.float32), matrix):
        signs = (-1, 1, -1, -1)
        for sign, proper, improper in zip(signs, every(element), every(-element), strict=True):
            np.testing.assert_allclose(improper, sign * np.asarray(proper), atol=1e-6)
    np.testing.assert_allclose(every(-np.eye(3, dtype=np.float32))[0], -np.eye(3), atol=1e-6)


def test_matrices_that_are_no_rotations_are_refused():
    with pytest.raises(ValueError, match="orthogonal"):
        e3.Irrep("1o").D_from_matrix(2.0 * np.eye(3))
    with pytest.raises(ValueError, match=r"3x3 matrix, received shape \(2, 2\)"):
        e3.Irrep("1o").D_from_matrix(np.eye(2))


def test_derivatives_exist_at_every_rotation():
    irrep = e3.Irrep("2e")

    @jax.jit
    def derivatives(angles, v):
        by_angles = jax.jacfwd(lambda a: irrep.D_from_angles(a[0], a[1], a[2]))
        return jax.vmap(by_angles)(angles), jax.jacfwd(jax.jacfwd(irrep.D_from_log_coordinates))(v)

    angles = np.array([[0.0, 0.0, 0.0], [0.1, np.pi, 0.2]], np.float32)
    assert all(np.all(np.isfinite(d)) for d in derivatives(angles, np.zeros(3, np.float32)))


def test_precision_of_the_rotation_is_kept():
    def matrices(angle):
        return e3.matrix_x(angle), e3.Irreps("1o + 2e").D_from_matrix(e3.matrix_x(angle))

    with jax.enable_x64(True):
        for matrix in jax.eval_shape(matrices, jnp.float32(0.3)):
            assert matrix.dtype == jnp.float32
