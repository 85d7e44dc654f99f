import jax
import pytest

from equipot import errors
from equipot.inference import devices


def test_a_device_is_found_by_its_kind_and_number():
    assert devices.find(None) is None
    assert devices.find("cpu") == jax.devices("cpu")[0]
    assert devices.find("CPU:2") == jax.devices("cpu")[2]


@pytest.mark.parametrize("name", ["cpu:4", "cpu:-1", "cpu:", "cpu:1:2", "abacus", ""])
def test_a_device_that_is_not_here_is_refused_with_those_that_are(name):
    with pytest.raises(errors.ConfigError, match=rf"cpu:0, cpu:1, cpu:2, cpu:3, received '{name}'"):
        devices.find(name)
