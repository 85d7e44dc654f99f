"""The contracts: a right model passes them all, a fault is found by the one that it breaks."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from equipot import testing
from equipot.models import nequip
from equipot.potential import artefact
from equipot.potential.potential import Potential, PotentialSpec
from tests.contracts import broken_models, toy

FAULTS = [(name, fault) for name, faults in broken_models.BROKEN.items() for fault in faults]

FAULTS_OF_QUANTITIES = [
    (name, fault) for name, faults in broken_models.BROKEN_QUANTITIES.items() for fault in faults
]


def failures(subject, names=tuple(testing.CONTRACTS)):
    """Those of the named contracts that the subject breaks, with what they say."""
    found = {}
    for name in names:
        try:
            testing.CONTRACTS[name](subject)
        except AssertionError as error:
            found[name] = str(error)
    return found


@functools.cache
def good_subject(shift):
    return toy.subject(shift)


@functools.cache
def bare_subject():
    return toy.bare_subject()


@pytest.mark.parametrize(
    "contract",
    [pytest.param(c, marks=[pytest.mark.slow] if c == "jit" else []) for c in testing.CONTRACTS],
)
def test_model_from_outside_obeys(contract):
    testing.CONTRACTS[contract](good_subject("constant"))


@pytest.mark.wide
@pytest.mark.parametrize(
    "contract",
    ["forces", "stress", "separation", "isolated_atoms", "cutoff", "directed_edges", "domains"],
)
@pytest.mark.parametrize("shift", ["bonds", "neighbors"])
def test_a_switched_shift_obeys(shift, contract):
    testing.CONTRACTS[contract](good_subject(shift))


@pytest.mark.slow
def test_model_that_faults_are_put_into_has_none():
    assert failures(bare_subject()) == {}


@pytest.mark.wide
@pytest.mark.parametrize(("contract", "fault"), FAULTS, ids=lambda x: getattr(x, "__name__", x))
def test_contract_finds_its_fault(contract, fault):
    assert failures(fault(bare_subject()), [contract])


@functools.cache
def subject_with_quantities():
    return toy.subject_with_quantities()


@pytest.mark.wide
@pytest.mark.parametrize(
    "contract", [*broken_models.BROKEN_QUANTITIES, "finite", "parameter_gradients"]
)
def test_model_with_quantities_obeys(contract):
    testing.CONTRACTS[contract](subject_with_quantities())


@pytest.mark.wide
@pytest.mark.parametrize(
    ("contract", "fault"), FAULTS_OF_QUANTITIES, ids=lambda x: getattr(x, "__name__", x)
)
def test_contract_finds_its_fault_in_a_quantity(contract, fault):
    assert failures(fault(subject_with_quantities()), [contract])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("contract", "fault"), FAULTS_OF_QUANTITIES, ids=lambda x: getattr(x, "__name__", x)
)
def test_contract_alone_finds_its_fault_in_a_quantity(contract, fault):
    names = set(broken_models.BROKEN_QUANTITIES)
    assert set(failures(fault(subject_with_quantities()), names)) == {contract}


@pytest.mark.slow
@pytest.mark.parametrize(("contract", "fault"), FAULTS, ids=lambda x: getattr(x, "__name__", x))
def test_contract_alone_among_all_finds_its_fault(contract, fault):
    assert set(failures(fault(bare_subject()))) == {contract}


def test_every_contract_has_a_fault_to_find():
    every = set(broken_models.BROKEN) | set(broken_models.BROKEN_QUANTITIES)
    assert every == set(testing.CONTRACTS)


def test_settings_that_grow_when_read_do_not_survive():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Growing:
        width: int = 8

        def __post_init__(self):
            object.__setattr__(self, "width", 2 * self.width)

    with pytest.raises(AssertionError, match="settings survive YAML"):
        testing.check_config_round_trip(Growing())


def test_parameters_that_are_rounded_do_not_survive(tmp_path):
    spec = PotentialSpec(
        model_name="nequip",
        model_config=nequip.Config(num_layers=1, lmax=0, num_channels=2, radial_widths=()),
        species_table=(1, 6, 8),
        atomic_energies=(0.0, 0.0, 0.0),
        avg_num_neighbors=12.0,
    )

    def load(path):
        found = artefact.load(path, verify=False)
        rounded = jax.tree.map(lambda x: x.astype(np.float16).astype(x.dtype), found.params)
        return dataclasses.replace(found, params=rounded)

    with pytest.raises(AssertionError, match="bit by bit"):
        testing.check_saving(
            Potential(spec=spec, params=testing.random_params(spec)), tmp_path, load=load
        )
