import pytest

from tests.fuzz import data_cases, harness


@pytest.mark.parametrize("subject", data_cases.subjects())
def test_a_damaged_file_is_refused_with_a_sentence_or_read_as_it_stands(subject):
    outcomes = [data_cases.attempt(subject, seed) for seed in range(30)]
    wrong = [str(outcome) for outcome in outcomes if outcome.verdict not in harness.GOOD]
    assert not wrong, "\n".join(wrong)
