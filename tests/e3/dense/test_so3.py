"""Rotations, harmonics, Wigner matrices and couplings of dense features."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3
from equipot.e3.dense import so3

R123 = np.array([1.0, 2.0, 3.0])


def known_rotations(num=4):
    """Rotations drawn without JAX, float64, as row-vector matrices."""
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(num, 3, 3)))
    return q * np.linalg.det(q)[:, None, None]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [1, 0.2673, 0.5345, 0.8018, -0.1856, 0.2474, 0.3712, 0.7423, 0.4643]),
        (
            {"cartesian_order": False},
            [1, 0.5345, 0.8018, 0.2673, 0.2474, 0.7423, 0.4643, 0.3712, -0.1856],
        ),
        (
            {"normalization": "4pi"},
            [1, 0.4629, 0.9258, 1.3887, -0.415, 0.5533, 0.8299, 1.6598, 1.0382],
        ),
        (
            {"normalization": "orthonormal"},
            [0.2821, 0.1306, 0.2612, 0.3918, -0.1171, 0.1561, 0.2341, 0.4682, 0.2929],
        ),
    ],
)
def test_harmonics_have_the_printed_values(settings, expected):
    with jax.enable_x64(True):
        y = so3.spherical_harmonics(R123, 2, **settings)
    np.testing.assert_allclose(y, expected, atol=6e-5)


def test_solid_harmonics_have_the_printed_values():
    expected = [1, 1, 2, 3, -2.5981, 3.4641, 5.1962, 10.3923, 6.5]
    np.testing.assert_allclose(so3.solid_harmonics(R123, 2), expected, atol=6e-5)


def test_harmonics_of_the_zero_vector_are_one_and_zeros_with_finite_derivatives():
    zero = jnp.zeros(3)
    np.testing.assert_array_equal(so3.spherical_harmonics(zero, 3), [1.0] + 15 * [0.0])
    first = jax.jit(jax.jacobian(lambda r: so3.spherical_harmonics(r, 3)))
    np.testing.assert_array_equal(first(zero), np.zeros((16, 3)))
    assert np.isfinite(jax.jit(jax.jacobian(first))(zero)).all()


def test_each_degree_of_racahs_harmonics_has_length_one():
    r = np.random.default_rng(0).normal(size=(5, 3))
    with jax.enable_x64(True):
        y = np.asarray(so3.spherical_harmonics(r, 7))
        for l in range(8):
            length = np.sum(y[:, l**2 : (l + 1) ** 2] ** 2, axis=-1)
            np.testing.assert_allclose(length, 1.0, rtol=1e-12)


def test_harmonics_are_those_of_the_sparse_side_at_cyclic_vectors():
    with jax.enable_x64(True):
        ours = so3.spherical_harmonics(R123, 3, cartesian_order=False, normalization="4pi")
        unit = np.roll(R123, -1) / np.linalg.norm(R123)
        theirs = e3.spherical_harmonics(range(4), e3.IrrepsArray("1o", unit), False).array
        np.testing.assert_allclose(ours, theirs, rtol=1e-13)


def test_couplings_are_the_scaled_ones_of_the_sparse_side_in_both_orders():
    for degrees in ((1, 1, 1), (2, 1, 2), (2, 3, 4)):
        table = so3.clebsch_gordan_for_degrees(*degrees, cartesian_order=False)
        np.testing.assert_allclose(np.sum(table**2), 2 * degrees[2] + 1)
        sparse = np.sqrt(2 * degrees[2] + 1) * e3.clebsch_gordan(*degrees)
        np.testing.assert_array_equal(table, sparse)
    u, v = np.array([1.0, 2.0, 3.0]), np.array([-1.0, 0.5, 2.0])
    pair = np.einsum("i,j,ijk->k", u, v, so3.clebsch_gordan(1, 1, 2)[1:, 1:])
    np.testing.assert_allclose(pair[0], u @ v / np.sqrt(3))
    np.testing.assert_allclose(pair[1:4], np.cross(u, v) / np.sqrt(2), atol=1e-12)
    np.testing.assert_allclose(pair[4:], [-1.4142, -1.0607, -0.7071, 3.8891, 4.899], atol=6e-5)


@pytest.mark.parametrize("cartesian_order", [True, False])
def test_wigner_matrices_turn_harmonics_as_the_rotation_turns_vectors(cartesian_order):
    rot, r = known_rotations(), np.random.default_rng(1).normal(size=(4, 3))
    with jax.enable_x64(True):
        d = jax.jit(so3.wigner_d, static_argnums=(1, 2))(rot, 4, cartesian_order)
        harmonics = jax.jit(
            lambda r: so3.spherical_harmonics(r, 4, cartesian_order=cartesian_order)
        )
        y = harmonics(r)
        turned = np.einsum("bi,bij->bj", r, rot)
        expected = harmonics(turned)
        np.testing.assert_allclose(np.einsum("bi,bij->bj", y, d), expected, atol=1e-12)
        if cartesian_order:
            np.testing.assert_array_equal(d[:, 1:4, 1:4], rot)


def test_wigner_matrix_of_the_inversion_is_the_parity_of_each_degree():
    d = so3.wigner_d(-np.eye(3), 3)
    np.testing.assert_allclose(np.diag(d), [1.0] + [-1.0] * 3 + [1.0] * 5 + [-1.0] * 7, atol=1e-6)


def test_rotations_turn_row_vectors_counterclockwise():
    x, y = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
    np.testing.assert_allclose(x @ so3.rotation(y, np.pi), -x, atol=1e-6)
    np.testing.assert_allclose(x @ so3.rotation(2.0 * np.eye(3)[2], np.pi / 2), y, atol=1e-6)
    np.testing.assert_allclose(x @ so3.rotation_euler(0.0, np.pi, 0.0), -x, atol=1e-6)
    np.testing.assert_array_equal(so3.rotation(np.zeros(3), 1.0), np.eye(3))


def test_euler_angles_rebuild_the_rotation_also_where_two_axes_coincide():
    with jax.enable_x64(True):
        for b in (0.3, np.pi / 2, -np.pi / 2, np.pi / 2 - 1e-9):
            rot = so3.rotation_euler(0.4, b, 0.7)
            again = so3.rotation_euler(*so3.euler_angles_from_rotation(rot))
            np.testing.assert_allclose(again, rot, atol=1e-12)
        np.testing.assert_allclose(
            so3.euler_angles_from_rotation(so3.rotation_euler(0.1, -0.2, 3.0)), (0.1, -0.2, 3.0)
        )


@pytest.mark.parametrize("change", [0.0, 1e-9, 3e-8, 1e-6, 1.0])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_alignment_carries_one_direction_to_the_other_near_all_angles(change, sign):
    u, other = np.random.default_rng(0).normal(size=(2, 6, 3))
    u[0] = [1.0, 0.0, 0.0]
    v = sign * u + change * other
    with jax.enable_x64(True):
        rot = jax.jit(so3.alignment_rotation)(u, v)
        unit = [w / np.linalg.norm(w, axis=-1, keepdims=True) for w in (u, v)]
        np.testing.assert_allclose(np.einsum("bi,bij->bj", unit[0], rot), unit[1], atol=1e-14)
        np.testing.assert_allclose(np.linalg.det(rot), 1.0, atol=1e-14)
        np.testing.assert_allclose(
            np.trace(rot, axis1=1, axis2=2), 1 + 2 * np.sum(unit[0] * unit[1], -1), atol=1e-7
        )


def test_alignment_of_a_zero_vector_is_no_rotation_and_has_finite_derivatives():
    zero, u = jnp.zeros(3), jnp.asarray([1.0, 0.0, 0.0])
    np.testing.assert_array_equal(so3.alignment_rotation(zero, u), np.eye(3))
    jacobian = jax.jit(jax.jacobian(so3.alignment_rotation))
    for v in (zero, u, -u):
        assert np.isfinite(jacobian(u, v)).all()


def test_random_rotations_carry_points_uniformly_into_a_cap():
    point = np.array([0.48, 0.6, 0.64])
    for perturbation in (1.0, 0.5, 0.1):
        rot = np.asarray(so3.random_rotation(jax.random.key(0), perturbation, num=4000))
        np.testing.assert_allclose(
            rot @ rot.swapaxes(1, 2), np.tile(np.eye(3), (4000, 1, 1)), atol=1e-5
        )
        heights = (1 - np.einsum("i,bij,j->b", point, rot, point)) / (2 * perturbation)
        assert heights.min() >= -1e-6 and heights.max() <= 1 + 1e-6
        quarters = np.histogram(heights, 4, (0.0, 1.0))[0] / 4000
        np.testing.assert_allclose(quarters, 0.25, atol=0.03)
    one = so3.random_rotation(jax.random.key(0), 0.0)
    np.testing.assert_allclose(one, np.eye(3), atol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_have_the_precision_of_the_input(dtype):
    with jax.enable_x64(True):
        r, rot = jnp.asarray(R123, dtype), jnp.eye(3, dtype=dtype)
        results = jax.eval_shape(
            lambda: [
                so3.spherical_harmonics(r, 4),
                so3.solid_harmonics(r, 4),
                so3.wigner_d(rot, 3),
                so3.rotation(r, 0.3),
                so3.alignment_rotation(r, -r),
                *so3.euler_angles_from_rotation(rot),
            ]
        )
    assert {str(result.dtype) for result in results} == {dtype}


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"expected vectors of shape \(..., 3\), received \(2,\)"):
        so3.spherical_harmonics(np.ones(2), 1)
    with pytest.raises(ValueError, match="expected a degree of at least 0, received -1"):
        so3.solid_harmonics(R123, -1)
    with pytest.raises(ValueError, match=r"expected a normalisation of .*racah.*, received 'norm'"):
        so3.spherical_harmonics(R123, 1, normalization="norm")
    for function in (lambda m: so3.wigner_d(m, 1), so3.euler_angles_from_rotation):
        with pytest.raises(ValueError, match=r"expected rotations .* received \(2, 2\)"):
            function(np.eye(2))
    with pytest.raises(ValueError, match="degree of at least 0, received -2"):
        so3.clebsch_gordan(1, -2, 1)
    with pytest.raises(ValueError, match="perturbation between 0 and 1, received 2"):
        so3.random_rotation(jax.random.key(0), 2)
