"""Weights of the loss at each step, on the devices and on the host."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.training import changing, loss, moments
from equipot.training.changing import ChangeConfig, StageTwoConfig
from equipot.training.config import LossConfig
from equipot.training.metrics import Residual


def course(config, num_steps, term):
    """The weight of a term at every step of a run."""
    weights, length = jax.jit(moments.loss_weights(config)), jnp.asarray(num_steps, jnp.int32)
    steps = [jnp.asarray(step, jnp.int32) for step in range(num_steps)]
    return [float(weights(step, length)[term]) for step in steps]


def test_moments_on_the_devices_are_those_on_the_host():
    rng = np.random.default_rng(0)
    moment = jax.jit(moments.moment, static_argnums=0)
    for length in rng.integers(1, 2_000_000, 30).tolist():
        share = float(rng.integers(0, 1001)) / 1000
        expected = changing.step_at(share, length)
        assert int(moment(share, jnp.asarray(length, jnp.int32))) == expected
        assert abs(expected - share * length) <= 1
    assert int(moment(37.0, jnp.asarray(9, jnp.int32))) == changing.step_at(37, 9) == 37


def test_a_linear_change_goes_from_one_weight_to_the_other():
    change = ChangeConfig(to=5.0, start=0.2, end=0.6)
    found = course(LossConfig(changes={"energy": change}), 10, "energy")
    np.testing.assert_allclose(found, [1, 1, 1, 2, 3, 4, 5, 5, 5, 5], rtol=1e-6)


def test_an_exponential_change_has_the_same_factor_at_each_step():
    change = ChangeConfig(to=0.01, start=2.0, end=6.0, shape="exponential")
    found = course(LossConfig(forces=100.0, changes={"forces": change}), 8, "forces")
    np.testing.assert_allclose(found, [100, 100, 100, 10, 1, 0.1, 0.01, 0.01], rtol=1e-5)


def test_a_second_stage_jumps_and_leaves_other_weights_as_they_are():
    own = LossConfig(forces=3.0).in_stage(StageTwoConfig(start=0.5, energy=7.0, stress=2.0))
    assert course(own, 6, "energy") == [1, 1, 1, 7, 7, 7]
    assert course(own, 6, "stress") == [0, 0, 0, 2, 2, 2]
    assert course(own, 6, "forces") == 6 * [3]
    assert own.largest_terms == {"energy": 7, "forces": 3, "stress": 2}


def test_the_gradient_of_a_term_follows_its_weight():
    """Errors of 1 meV/atom and 1 eV/Å, whose squares a second stage weighs otherwise."""
    config = LossConfig(kind="mse", energy=1.0, forces=10.0)
    staged = config.in_stage(StageTwoConfig(start=0.5, energy=1000.0, forces=1.0))
    weights_at, terms = moments.loss_weights(staged), loss.make_loss(staged)

    def value(errors, step):
        found = {k: Residual(e, jnp.ones(len(e)), jnp.zeros_like(e)) for k, e in errors.items()}
        return loss.combine(terms(found), staged, weights_at(step, jnp.asarray(10, jnp.int32)))

    errors = {"energy": jnp.full(1, 1e-3), "forces": jnp.ones((1, 3))}
    slopes = [jax.jit(jax.grad(value))(errors, jnp.asarray(step, jnp.int32)) for step in (4, 5)]
    np.testing.assert_allclose([s["energy"][0] for s in slopes], [2e-3, 2.0], rtol=1e-6)
    np.testing.assert_allclose([s["forces"][0, 0] for s in slopes], [20 / 3, 2 / 3], rtol=1e-6)


def test_weights_that_never_change_stay_plain_numbers():
    weights = moments.loss_weights(LossConfig())(
        jnp.asarray(3, jnp.int32), jnp.asarray(10, jnp.int32)
    )
    assert all(type(weight) is float for weight in weights.values())


@pytest.mark.parametrize("moment", [-0.1, 1.5, float("inf"), float("nan")])
def test_what_is_neither_a_share_nor_steps_is_refused(moment):
    with pytest.raises(ValueError, match=r"loss.x: expected a share of the run from 0 to 1, or a"):
        changing.check_moment(moment, "loss.x")
