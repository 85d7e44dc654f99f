from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from equipot import errors
from equipot.convert import nequip_layers
from tests.convert.imitations import Tensor, fake


def layer(weight: Any, alpha: float = 1.0, bias: Any = None) -> Any:
    return fake("ScalarLinearLayer", weight=Tensor(weight), alpha=alpha, bias=bias)


def perceptron(*layers: Any) -> Any:
    class Sequential(list):
        pass

    return fake("ScalarMLPFunction", mlp=Sequential(layers))


def test_gains_of_a_perceptron_are_part_of_its_matrices():
    found = nequip_layers.read_perceptron(
        perceptron(layer([[1.0, 2.0]], 3.0), fake("SiLU"), layer([[1.0], [0.0]], 0.5)), "mlp"
    )
    assert (found.widths, found.activation) == ((2,), "silu")
    np.testing.assert_array_equal(found.matrices[0], [[3.0, 6.0]])
    np.testing.assert_array_equal(found.matrices[1], [[0.5], [0.0]])


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((layer([[1.0]], bias=Tensor([1.0])),), r"mlp\.mlp\.0: expected no bias"),
        (
            (layer([[1.0]]), fake("SiLU"), layer([[1.0]]), fake("Mish"), layer([[1.0]])),
            "mlp: expected one activation, received Mish, SiLU",
        ),
        ((layer([[1.0]]), fake("SiLU"), fake("Linear")), r"mlp\.mlp\.2: expected ScalarLinearL"),
    ],
)
def test_other_perceptrons_are_refused(layers: tuple[Any, ...], message: str):
    with pytest.raises(errors.ConversionError, match=message):
        nequip_layers.read_perceptron(perceptron(*layers), "mlp")


def test_another_activation_is_refused():
    module = fake("normalize2mom", f=np.abs, cst=1.0, _is_id=False)
    with pytest.raises(errors.ConversionError, match="expected the activation tanh, received abs"):
        nequip_layers.activation_constant(module, "tanh", "gate")


def test_an_irrep_that_stands_twice_is_refused():
    scalar = SimpleNamespace(l=0, p=1)
    with pytest.raises(errors.ConversionError, match="gate: expected every irrep once"):
        nequip_layers.read_irreps([(2, scalar), (3, scalar)], "gate")
