import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.e3.dense import bases, cutoffs, features, radial, so3


def vectors(num=5):
    return jnp.asarray(np.random.default_rng(0).normal(size=(num, 3)))


def make(r, **options):
    options = {"max_degree": 2, "num": 4, "radial_fn": radial.sinc} | options
    return jax.jit(lambda r: bases.basis(r, **options))(r)


def test_a_basis_is_the_product_of_its_parts():
    with jax.enable_x64(True):
        r = 0.3 * vectors()
        result, cutoff, length = make(
            r,
            radial_kwargs={"limit": 2.0},
            cutoff_fn=cutoffs.cosine_cutoff,
            cutoff_kwargs={"cutoff": 2.0},
            damping_fn=cutoffs.smooth_damping,
            damping_kwargs={"gamma": 3.0},
            return_cutoff=True,
            return_norm=True,
        )
        assert result.shape == (5, 1, 9, 4)
        np.testing.assert_allclose(length, np.linalg.norm(r, axis=-1), rtol=1e-12)
        np.testing.assert_allclose(cutoff, cutoffs.cosine_cutoff(length, 2.0), rtol=1e-12)
        g = radial.sinc(length, 4, 2.0) * cutoff[:, None]
        damping = np.where(np.arange(9) > 0, cutoffs.smooth_damping(length, 3.0)[:, None], 1.0)
        angular = so3.spherical_harmonics(r, 2) * damping
        np.testing.assert_allclose(result[:, 0], angular[:, :, None] * g[:, None], rtol=1e-12)


def test_a_basis_turns_with_its_vectors_and_is_made_of_proper_tensors():
    with jax.enable_x64(True):
        r = vectors()
        rot = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
        proper = rot * np.linalg.det(rot)
        f = jax.jit(lambda r: make(r, max_degree=3, damping_fn=cutoffs.smooth_damping))
        turned = jax.jit(lambda y, rot: features.rotate(y, so3.wigner_d(rot, 3)))(f(r), proper)
        np.testing.assert_allclose(f(r @ proper), turned, atol=1e-12)
        np.testing.assert_allclose(f(-r), features.reflect(f(r)), atol=1e-14)


def test_orders_of_components_differ_by_a_permutation():
    r = vectors()
    order = [0, 2, 3, 1]  # x, y, z -> y, z, x
    ordered = make(r, max_degree=1, cartesian_order=False)
    np.testing.assert_allclose(ordered, make(r, max_degree=1)[..., order, :], rtol=1e-6)


def test_zero_vectors_have_scalars_only_and_finite_derivatives():
    def f(r):
        return make(r, num=1, cutoff_fn=cutoffs.smooth_cutoff)

    zero = jnp.zeros((1, 3))
    value, first, second = jax.jit(lambda r: (f(r), jax.jacfwd(f)(r), jax.hessian(f)(r)))(zero)
    np.testing.assert_array_equal(value[0, 0], [[1.0]] + [[0.0]] * 8)
    np.testing.assert_array_equal(first, 0.0)
    assert np.all(np.isfinite(second))


def test_damped_bases_are_continuous_at_zero():
    r = 1e-2 * jnp.eye(3)
    damped = make(r, radial_fn=radial.basic_gaussian, damping_fn=cutoffs.smooth_damping)
    np.testing.assert_allclose(damped[:, :, 1:], 0.0, atol=1e-12)


def test_the_rate_of_a_learned_basis_starts_where_it_is_told():
    r, options = vectors(), {"max_degree": 1, "num": 3, "radial_fn": radial.exponential_gaussian}
    module = bases.ExponentialBasis(initial_gamma=2.0)
    result, variables = jax.jit(lambda: module.init_with_output(jax.random.key(0), r, **options))()
    np.testing.assert_allclose(variables["params"]["gamma"], 1.8545866, rtol=1e-6)
    expected = bases.basis(r, **options, radial_kwargs={"gamma": 2.0})
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    scalars = jax.jit(jax.grad(lambda v: jnp.sum(module.apply(v, r, **options)[..., 0, :])))
    gradient = scalars(variables)
    assert abs(gradient["params"]["gamma"]) > 0.1


def test_what_makes_no_basis_is_refused():
    r = vectors()
    with pytest.raises(ValueError, match="expected a cutoff_fn with return_cutoff=True"):
        make(r, return_cutoff=True)
    with pytest.raises(ValueError, match=r"expected r of shape \(..., 3\), received \(5, 2\)"):
        bases.basis.__wrapped__(r[:, :2], max_degree=0, num=1, radial_fn=radial.sinc)
    with pytest.raises(ValueError, match=r"radial_fn to return shape \(5, 4\), received \(5, 5\)"):
        make(r, radial_fn=lambda x, num: radial.sinc(x, num + 1))
    with pytest.raises(ValueError, match="degree of at least 0, received -1"):
        make(r, max_degree=-1)
