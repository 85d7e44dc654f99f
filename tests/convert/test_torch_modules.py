from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from equipot import errors
from equipot.convert import torch_modules
from tests.convert.imitations import Tensor, fake


def test_precision_is_that_of_the_coarsest_parameter():
    def module(*dtypes: str) -> Any:
        return SimpleNamespace(parameters=lambda: [Tensor([1.0], d) for d in dtypes])

    assert torch_modules.dtype_of(module("float64", "float32")) == "float32"
    assert torch_modules.dtype_of(module("float64")) == "float64"
    with pytest.raises(errors.ConversionError, match="float32 or float64, received float16"):
        torch_modules.dtype_of(module("float16"))


def test_biases_of_linear_maps_are_refused():
    bias = SimpleNamespace(i_in=-1, i_out=0, path_shape=(1,), path_weight=1.0)
    linear = SimpleNamespace(weight=np.ones(1), instructions=[bias])
    with pytest.raises(errors.ConversionError, match="biases cannot be read"):
        list(torch_modules.linear_blocks(linear))


def test_classes_of_a_package_have_their_own_names():
    module = fake("Gate")
    assert torch_modules.class_name(module) == "Gate"
    assert torch_modules.class_path(module) == "nequip.nn.Gate"
    with pytest.raises(
        errors.ConversionError, match=r"a: expected B or C, received nequip\.nn\.Gat"
    ):
        torch_modules.expect_class(module, ("B", "C"), "a")
