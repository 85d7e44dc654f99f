import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import errors
from equipot.training import optimizer, schedule_free
from equipot.training.config import OptimizerConfig

RNG = np.random.default_rng(0)


def settings(**changes):
    return OptimizerConfig(
        **{"name": "schedule_free", "schedule": "constant", "ema_decay": None, **changes}
    )


def test_parameters_and_their_average_are_those_of_the_definition():
    """Adam without momentum makes z; x is their mean, weighted with squares of the rates."""
    config = settings(learning_rate=0.1, warmup_steps=3)
    start, gradients = RNG.normal(size=4), RNG.normal(size=(6, 4))
    z = x = y = start
    square = total = 0.0
    with jax.enable_x64(True):
        updates = optimizer.Updates.of(config)
        params = {"model": {"w": jnp.asarray(start)}}
        state = updates.transformation.init(params)
        for t, gradient in enumerate(gradients, start=1):
            change, state = updates.transformation.update(
                {"model": {"w": jnp.asarray(gradient)}}, state, params
            )
            params = jax.tree.map(jnp.add, params, change)
            rate = 0.1 * min(t / 3, 1)
            square = 0.999 * square + 0.001 * gradient**2
            z = z - rate * gradient / (np.sqrt(square / (1 - 0.999**t)) + 1e-8)
            total += rate**2
            x = (1 - rate**2 / total) * x + rate**2 / total * z
            y = 0.9 * x + 0.1 * z
            np.testing.assert_allclose(params["model"]["w"], y, rtol=1e-6)
            found = schedule_free.averaged(state, params)["model"]["w"]
            np.testing.assert_allclose(found, x, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schedule": "cosine"}, "optimizer.schedule: schedule_free has no cosine; use"),
        ({"schedule": "plateau"}, "optimizer.schedule: schedule_free has no plateau; use"),
        ({"ema_decay": 0.99}, "optimizer.ema_decay: schedule_free averages by itself; use"),
    ],
)
def test_a_falling_rate_and_a_moving_average_are_refused(changes, said):
    with pytest.raises(errors.ConfigError, match=said):
        settings(**changes)


@pytest.mark.parametrize(("step", "rate"), [(0, 0.01), (49, 0.5), (200, 1.0)])
def test_the_warm_up_does_not_depend_on_an_end_that_need_not_be_known(step, rate):
    updates = optimizer.Updates.of(settings(learning_rate=1.0, warmup_steps=None))
    for num_steps in (50, 5000):
        course = optimizer.Course.of(updates.settings, num_steps)
        found = updates.rate(jnp.asarray(step, jnp.int32), 1.0, course)
        np.testing.assert_allclose(found, rate, rtol=1e-6)
