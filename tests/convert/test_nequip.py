"""What of nequip's common part is refused; its modules are imitated by the names of classes."""

from typing import Any

import pytest

from equipot import errors
from equipot.convert import nequip
from tests.convert.imitations import Tensor, fake


def chain(**modules: Any) -> Any:
    """A wrapped model of these modules; those it must have stand for a sum without scales."""
    default = {
        "edge_norm": fake("EdgeLengthNormalizer", _per_edge_type=False, r_max=4.0),
        "per_type_energy_scale_shift": fake(
            "PerTypeScaleShift", has_scales=False, has_shifts=False
        ),
        "total_energy_sum": fake("AtomwiseReduce", reduce="sum", constant=1.0),
    }
    parts = default | modules
    inner = fake("SequentialGraphNetwork", named_children=lambda self: parts.items())
    outer = fake("ForceStressOutput", func=inner)
    return fake("GraphModel", model=outer, type_names=["O", "H"])


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({}, r"expected a GNN or Allegro of nequip, found the modules $"),
        ({"layer0_convnet": None, "spin": None}, "and no others, found layer0_convnet, spin"),
        (
            {"total_energy_sum": fake("AtomwiseReduce", reduce="mean", constant=1.0)},
            "total_energy_sum: expected a plain sum over atoms, received mean",
        ),
        (
            {"per_type_energy_scale_shift": fake("Other")},
            "per_type_energy_scale_shift: expected PerTypeScaleShift, received nequip.nn.Other",
        ),
        (
            {"edge_norm": fake("EdgeLengthNormalizer", _per_edge_type=True)},
            "per_edge_type_cutoff",
        ),
    ],
)
def test_a_chain_with_other_modules_is_refused(modules: dict[str, Any], message: str):
    with pytest.raises(errors.ConversionError, match=message):
        nequip.convert(chain(**modules))


def test_a_wrapper_that_is_not_known_is_refused():
    with pytest.raises(errors.ConversionError, match="expected SequentialGraphNetwork, received"):
        nequip.sequence(fake("GraphModel", model=fake("PartialForceOutput")))


def test_charges_that_are_not_those_of_the_types_are_refused():
    zbl = fake("ZBL", atomic_numbers=Tensor([8.0, 2.0]))
    with pytest.raises(errors.ConversionError, match=r"expected the charges \[8, 1\] of the types"):
        nequip._read_repulsion({"pair_potential": zbl}, [8, 1])


def test_a_repulsion_in_kcal_per_mol_is_refused():
    zbl = fake("ZBL", atomic_numbers=Tensor([8.0, 1.0]), _qqr2exesquare=0.5 * 332.06371)
    with pytest.raises(errors.ConversionError, match=r"units of eV and Å.*received 332\.0"):
        nequip._read_repulsion({"pair_potential": zbl}, [8, 1])


def test_numbers_that_must_be_whole_are():
    assert nequip.whole(6.0, "p") == 6
    with pytest.raises(errors.ConversionError, match=r"p: expected a whole number, received 5\.5"):
        nequip.whole(5.5, "p")
