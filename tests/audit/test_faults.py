"""Each model broken on purpose fails the line of the audit that looks for its fault."""

import functools

import pytest

from equipot import testing
from equipot.audit import contracts, derivatives, isolated_atoms, samples, smoothness, symmetry
from equipot.testing.subject import SPECIES_TABLE
from tests.audit import subjects
from tests.contracts import broken_models, toy

LINES = {
    "rotation": (symmetry.check, "rotation"),
    "inversion": (symmetry.check, "inversion"),
    "permutation": (symmetry.check, "permutation"),
    "supercell": (symmetry.check, "supercell"),
    "separation": (symmetry.check_extensive, "extensivity"),
    "forces": (derivatives.check, "forces"),
    "stress": (derivatives.check, "stress"),
    "isolated_atoms": (isolated_atoms.check, "isolated atoms"),
    "cutoff": (smoothness.check_cutoff, "cutoff"),
}
"""Contracts that lines of the audit check by themselves."""

ASKED = contracts.QUICK | contracts.DEAR


@functools.cache
def good():
    return toy.bare_subject()


@functools.cache
def chosen():
    return samples.choose([], SPECIES_TABLE, good().cutoff, None)


def failed(check, subject):
    return [own.name for own in check(subjects.audited(subject, None), chosen()) if not own.passed]


@pytest.mark.slow  # test_command.py audits a potential
def test_a_right_model_passes_every_line_that_looks_for_a_fault():
    for check in {check for check, _ in LINES.values()}:
        assert failed(check, good()) == []


@pytest.mark.wide
@pytest.mark.parametrize(
    ("contract", "fault"),
    [
        (name, fault)
        for name in LINES
        for fault in broken_models.BROKEN[name]
        if name != "cutoff"  # these are measured below
    ],
    ids=lambda own: getattr(own, "__name__", own),
)
def test_a_fault_fails_its_line(contract, fault):
    check, line = LINES[contract]
    assert any(name.startswith(line) for name in failed(check, fault(good())))


@pytest.mark.slow  # tests/contracts/test_contracts.py has these faults without the audit
@pytest.mark.parametrize(
    ("contract", "fault"),
    [(name, fault) for name in ASKED for fault in broken_models.BROKEN.get(name, ())],
    ids=lambda own: getattr(own, "__name__", own),
)
def test_a_fault_fails_its_contract(contract, fault):
    [line] = contracts.ask(fault(good()), {contract: ASKED[contract]})
    assert line.passed is False
    assert line.sentence.startswith(ASKED[contract])


def test_every_contract_of_models_is_a_line():
    assert set(testing.CONTRACTS) == set(LINES) | set(ASKED) | {"padding"}


@pytest.mark.wide
def test_a_stress_of_the_other_sign_fails():
    def other(prediction):
        return prediction.replace(stress=-prediction.stress)

    subject = subjects.with_prediction(good(), other)
    assert failed(derivatives.check, subject) == ["stress"]


@pytest.mark.slow
def test_a_jump_at_the_cutoff_is_measured():
    subject = broken_models.ends_abruptly(good())
    lines = smoothness.check_cutoff(subjects.audited(subject, None), chosen())
    found = {own.name: own.value for own in lines}
    assert found["cutoff: energy"] == pytest.approx(0.02, rel=1e-3)  # 0.01 eV of each atom


@pytest.mark.slow
def test_a_kink_at_the_cutoff_is_measured():
    subject = broken_models.ends_with_a_kink(good())
    lines = smoothness.check_cutoff(subjects.audited(subject, None), chosen())
    found = {own.name: own for own in lines}
    assert found["cutoff: energy"].passed
    assert found["cutoff: force"].value == pytest.approx(0.02, rel=1e-2)


@pytest.mark.wide
def test_a_kink_within_a_bond_is_found():
    import jax

    def kink(r):
        return 0.05 * jax.nn.relu(1.41 - r)

    frame = subjects.crystal_frame(pbc=False)
    data = samples.choose([frame], subjects.SPECIES_TABLE, 3.0, subjects.SPAN)
    right = smoothness.check_bonds(subjects.right(), data)
    assert [own.passed for own in right] == [True, True, True]
    wrong = smoothness.check_bonds(subjects.audited(subjects.morse(kink)), data)
    assert {own.name for own in wrong if not own.passed} >= {"bonds: force"}
