import pytest

from tests.fuzz import harness, run_cases


@pytest.mark.wide
@pytest.mark.parametrize("subject", run_cases.subjects())
def test_a_damaged_run_folder_is_refused_with_a_sentence_or_goes_on_as_before(subject):
    outcomes = [run_cases.attempt(subject, seed) for seed in range(8)]
    wrong = [str(outcome) for outcome in outcomes if outcome.verdict not in harness.GOOD]
    assert not wrong, "\n".join(wrong)
