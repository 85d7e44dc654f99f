import threading

import jax
import jax.numpy as jnp
import numpy as np

from equipot import compilations


def test_each_new_shape_counts_once_while_the_counter_is_entered():
    function = jax.jit(lambda x: x * 1.375)
    counter = compilations.Compilations()
    with counter:
        for size in (3, 4, 3, 4, 5):
            function(np.ones(size, np.float32))
    function(np.ones(6, np.float32))
    assert counter.count == 3


def test_other_threads_are_not_counted():
    function = jax.jit(lambda x: x * 1.625)
    with compilations.Compilations() as counter:
        thread = threading.Thread(target=lambda: function(np.ones(3, np.float32)))
        thread.start()
        thread.join()
    assert counter.count == 0


def test_compilations_are_counted_by_name():
    def unheard_of(x):
        return jnp.sin(x) * 3.0

    function = jax.jit(unheard_of)
    with compilations.Compilations() as counted:
        for _ in range(3):
            function(jnp.ones(2))
        function(jnp.ones(3))
    assert counted.by_name["jit(unheard_of)"] == 2
