import pytest

from tests.fuzz import artefact_cases, harness


@pytest.mark.parametrize("subject", artefact_cases.subjects())
def test_a_damaged_potential_is_refused_with_a_sentence_or_read_as_it_stands(subject):
    outcomes = [artefact_cases.attempt(subject, seed) for seed in range(12)]
    wrong = [str(outcome) for outcome in outcomes if outcome.verdict not in harness.GOOD]
    assert not wrong, "\n".join(wrong)
