import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.training import optimizer
from equipot.training.changing import StageTwoConfig
from equipot.training.config import OptimizerConfig

PARAMS = {
    "model": {"matrix": jnp.asarray([[1.0, -2.0]]), "bias": jnp.asarray([3.0, 4.0])},
    "scale": jnp.asarray([2.0]),
    "shift": jnp.asarray([5.0]),
}


def gradients(value):
    return jax.tree.map(lambda leaf: jnp.full_like(leaf, value), PARAMS)


def steps_of(config, values):
    """Updates after each of a series of constant gradients."""
    transformation = optimizer.make_optimizer(config)
    state, found = transformation.init(PARAMS), []
    for value in values:
        updates, state = transformation.update(gradients(value), state, PARAMS)
        found.append(float(updates["model"]["bias"][0]))
    return found


def test_adam_follows_its_formula():
    mean = square = 0.0
    expected = []
    for step, gradient in enumerate([1.0, -0.5, 0.1], start=1):
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        expected.append(-(mean / (1 - 0.9**step)) / (math.sqrt(square / (1 - 0.999**step)) + 1e-8))
    found = steps_of(OptimizerConfig(name="adam"), [1.0, -0.5, 0.1])
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_amsgrad_remembers_the_largest_gradient():
    series = [10.0] + [0.1] * 200
    adam = steps_of(OptimizerConfig(name="adam"), series)
    amsgrad = steps_of(OptimizerConfig(name="amsgrad"), series)
    assert abs(amsgrad[-1]) < abs(adam[-1])


@pytest.mark.parametrize("name", ["adamw", "muon", "soap"])
def test_weight_decay_acts_on_matrices_of_the_model_alone(name):
    transformation = optimizer.make_optimizer(OptimizerConfig(name=name, weight_decay=0.1))
    updates, _ = transformation.update(gradients(0.0), transformation.init(PARAMS), PARAMS)
    np.testing.assert_allclose(updates["model"]["matrix"], [[-0.1, 0.2]], rtol=1e-6)
    for untouched in (updates["model"]["bias"], updates["scale"], updates["shift"]):
        assert not np.any(untouched)


def test_clipping_shortens_the_whole_gradient():
    transformation = optimizer.make_optimizer(OptimizerConfig(name="adam", clip_norm=1e-9))
    updates, _ = transformation.update(gradients(1e6), transformation.init(PARAMS), PARAMS)
    # Far below Adam's epsilon of 1e-8 the update is no longer one.
    assert abs(float(updates["shift"][0])) < 0.1


@pytest.mark.parametrize("kind", ["cosine", "constant"])
def test_the_rate_rises_then_follows_the_schedule(kind):
    config = OptimizerConfig(learning_rate=0.01, schedule=kind, warmup_steps=10, final_fraction=0.1)
    found = rates(config, 110, [0, 4, 9, 60, 110])
    np.testing.assert_allclose(found[:3], [0.001, 0.005, 0.01], rtol=1e-6)
    middle, end = (0.0055, 0.001) if kind == "cosine" else (0.01, 0.01)
    np.testing.assert_allclose(found[3:], [middle, end], rtol=1e-5)


def rates(config, num_steps, steps):
    schedule, course = optimizer.make_schedule(config), optimizer.Course.of(config, num_steps)
    return [float(schedule(jnp.asarray(step, jnp.int32), course)) for step in steps]


def test_step_cuts_the_rate_at_shares_and_at_numbers_of_steps():
    config = OptimizerConfig(
        learning_rate=1.0, schedule="step", warmup_steps=0, drops=(0.5, 150.0), drop_factor=0.5
    )
    found = rates(config, 200, [0, 99, 100, 149, 150, 199])
    assert found == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


def test_exponential_falls_by_the_same_factor_at_each_step():
    config = OptimizerConfig(
        learning_rate=2.0, schedule="exponential", warmup_steps=10, final_fraction=0.01
    )
    found = rates(config, 110, [9, 10, 60, 110])
    np.testing.assert_allclose(found, [2.0, 2.0, 0.2, 0.02], rtol=1e-5)
    every = np.array(rates(config, 110, range(10, 20)))
    np.testing.assert_allclose(every[1:] / every[:-1], 0.01**0.01, rtol=1e-5)


def test_restarts_begin_each_fall_at_the_top():
    config = OptimizerConfig(
        learning_rate=1.0,
        schedule="restarts",
        warmup_steps=0,
        final_fraction=0.2,
        cycles=3,
        cycle_growth=2.0,
    )
    found = rates(config, 70, [0, 5, 10, 20, 30, 50, 70])  # falls of 10, 20 and 40 steps
    np.testing.assert_allclose(found, [1.0, 0.6, 1.0, 0.6, 1.0, 0.6, 0.2], rtol=1e-5)
    single = dataclasses.replace(config, cycles=1, schedule="restarts")
    cosine = dataclasses.replace(config, schedule="cosine")
    np.testing.assert_allclose(
        rates(single, 70, range(71)), rates(cosine, 70, range(71)), rtol=1e-6
    )


def test_one_program_has_the_rates_of_every_course():
    config = OptimizerConfig(schedule="step", final_fraction=0.1, drops=(0.3, 0.7))
    schedule = jax.jit(optimizer.make_schedule(config))
    for num_steps, largest in ((777, 0.02), (50, 0.3)):
        own = dataclasses.replace(config, learning_rate=largest)
        course, numbers = optimizer.Course.of(own, num_steps), (0, 30, 232, 233, 234, 543, 776)
        found = [float(schedule(jnp.asarray(number, jnp.int32), course)) for number in numbers]
        np.testing.assert_allclose(found, rates(own, num_steps, numbers), rtol=1e-6)
    assert schedule._cache_size() == 1


STAGED = StageTwoConfig(start=0.5, learning_rate=0.25)


def test_a_second_stage_has_a_rate_of_its_own_that_plateau_does_not_touch():
    config = OptimizerConfig(learning_rate=1.0, schedule="constant", warmup_steps=0)
    updates = optimizer.Updates.of(config, STAGED)
    course = optimizer.Course.of(config, 10)
    found = [float(updates.rate(jnp.asarray(t, jnp.int32), 0.1, course)) for t in range(10)]
    np.testing.assert_allclose(found, 5 * [0.1] + 5 * [0.25], rtol=1e-6)


def test_the_average_of_a_second_stage_is_the_mean_of_its_parameters():
    updates = optimizer.Updates.of(OptimizerConfig(ema_decay=0.9), STAGED)
    values, average = np.random.default_rng(0).normal(size=10), 0.0
    length = jnp.asarray(10, jnp.int32)
    for step, value in enumerate(values.tolist()):
        keep = float(updates.average_decay(jnp.asarray(step, jnp.int32), length))
        if step < 5:
            expected = float(optimizer.ema_decay(jnp.asarray(step + 1, jnp.int32), 0.9))
            assert keep == expected
        average = value + keep * (average - value)
        if step >= 5:
            assert average == pytest.approx(values[5 : step + 1].mean(), rel=1e-5)
    moving = dataclasses.replace(STAGED, average="moving")
    goes_on = optimizer.Updates.of(OptimizerConfig(ema_decay=None), moving)
    assert goes_on.average_decay(jnp.asarray(7, jnp.int32), length) is None


def averages(num_steps, stage_two=optimizer.ONE_STAGE, **settings):
    """What stays of the average at each step of a run."""
    updates = optimizer.Updates.of(OptimizerConfig(**settings), stage_two)
    length = jnp.asarray(num_steps, jnp.int32)
    keep = jax.vmap(lambda step: updates.average_decay(step, length))
    return np.asarray(keep(jnp.arange(num_steps)))


def test_the_average_ends_as_the_parameters_where_the_rate_falls_to_zero():
    """It reaches as little back at the end as it does after the start, and keeps its middle."""
    found = averages(20_000)
    assert found[-1] == 0.0 and found[-2] == pytest.approx(0.1)
    np.testing.assert_allclose(found[::-1][2:4000], found[:3998], rtol=1e-6)
    np.testing.assert_allclose(found[9000:11_000], 0.999, rtol=1e-6)
    assert averages(20_000, schedule="restarts")[-1] == 0.0
    assert averages(20, schedule="cosine")[-1] == 0.0


@pytest.mark.parametrize(
    "settings",
    [
        {"schedule": "constant"},
        {"schedule": "plateau"},
        {"schedule": "step"},
        {"schedule": "exponential", "final_fraction": 0.01},
        {"final_fraction": 0.1},
        {"ema_shrinks": False},
        {"stage_two": dataclasses.replace(STAGED, average="moving")},
    ],
    ids=str,
)
def test_the_average_goes_on_where_the_last_steps_still_move(settings):
    np.testing.assert_allclose(averages(10_000, **settings)[-1000:], 0.999, rtol=1e-6)


def test_plateau_cuts_the_rate_after_waiting_and_not_below_the_end():
    config = OptimizerConfig(
        schedule="plateau", plateau_patience=2, plateau_factor=0.5, final_fraction=0.3
    )
    plateau, factors = optimizer.Plateau(), []
    for loss in [1.0, 0.9, 0.95, 0.92, 0.8, 0.9, 0.9, 0.9, 0.9]:
        plateau = plateau.after(loss, config)
        factors.append(plateau.factor)
    assert factors == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.3, 0.3, 0.3]


def test_plateau_rests_under_other_schedules():
    assert optimizer.Plateau().after(1.0, OptimizerConfig()) == optimizer.Plateau()


def test_the_average_forgets_the_start_early_and_then_decays_as_configured():
    decays = [float(optimizer.ema_decay(jnp.asarray(t, jnp.int32), 0.99)) for t in (0, 8, 10_000)]
    np.testing.assert_allclose(decays, [0.1, 0.5, 0.99], rtol=1e-6)


def test_frozen_groups_stay_and_the_others_do_what_they_did():
    """Also where weights decay, and gradients are clipped by the norm of the others alone."""
    params = {
        "model": {
            "embedding": jnp.ones((2, 3)),
            "interaction_0": {"radial": {"hidden_0": jnp.ones((3, 3))}, "up": jnp.ones((3, 2))},
        },
        "scale": jnp.ones(2),
    }
    gradient = jax.tree.map(lambda x: 5.0 * jnp.arange(1.0, 1.0 + x.size).reshape(x.shape), params)
    gradient["scale"] = jnp.zeros(2)
    for name, decay in (("adamw", 0.1), ("muon", 0.1), ("soap", 0.1)):
        config = OptimizerConfig(name=name, weight_decay=decay, clip_norm=1.0)
        frozen = dataclasses.replace(config, freeze=("embedding", "radial"))
        found = _updates(frozen, params, gradient)
        assert not np.any(found["model"]["embedding"])
        assert not np.any(found["model"]["interaction_0"]["radial"]["hidden_0"])
        less = {
            "model": {"interaction_0": {"up": params["model"]["interaction_0"]["up"]}},
            "scale": params["scale"],
        }
        own = {
            "model": {"interaction_0": {"up": gradient["model"]["interaction_0"]["up"]}},
            "scale": gradient["scale"],
        }
        expected = _updates(config, less, own)["model"]["interaction_0"]["up"]
        np.testing.assert_allclose(found["model"]["interaction_0"]["up"], expected, rtol=1e-5)
        assert np.any(expected)


def _updates(config, params, gradient):
    transformation = optimizer.make_optimizer(config)
    return transformation.update(gradient, transformation.init(params), params)[0]
