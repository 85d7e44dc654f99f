"""What the tests of training share."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from equipot.training import state


@pytest.fixture
def small_state() -> state.TrainState:
    """A state with some numbers in it, of a model with one matrix."""
    rng = np.random.default_rng(0)
    params = {
        "model": {"w": jnp.asarray(rng.normal(size=(40, 50)), jnp.float32)},
        "scale": jnp.ones(2, jnp.float32),
        "shift": jnp.zeros(2, jnp.float32),
    }
    begun = state.init_state(params, optax.scale_by_amsgrad())
    moved = jax.tree.map(lambda x: x + jnp.ones((), x.dtype), begun.opt_state)
    return begun.replace(opt_state=moved, step=jnp.asarray(7, jnp.int32))
