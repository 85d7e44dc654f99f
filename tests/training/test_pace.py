import time

import pytest

from equipot.training import pace


def test_the_rest_is_estimated_from_steps_and_validations_without_compiling():
    meter = pace.PaceMeter()
    assert meter.left(0, 10, 2) is None
    time.sleep(0.2)  # compiling
    meter.begin(1)
    assert meter.left(1, 9, 2) is None  # no step is measured
    time.sleep(0.1)
    meter.begin(2)  # begins once
    meter.validated(0.0, 0.0)
    found = meter.left(6, 50, 0)
    assert found == pytest.approx(50 * 0.1 / 5, rel=0.5)


def test_validations_are_counted_apart_without_what_compiles_them():
    meter = pace.PaceMeter()
    meter.begin(0)
    time.sleep(0.05)
    meter.validated(0.04, 0.03)
    steps = meter.left(10, 0, 0)
    assert steps == 0.0
    assert meter.left(10, 0, 5) == pytest.approx(5 * 0.01)
    assert meter.left(10, 1000, 0) < 1000 * 0.05 / 10  # what validations took is no step's


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (89.0, "89 s"), (91.0, "2 min"), (5400.0, "1.5 h"), (4e5, "111 h")],
)
def test_times_in_words(seconds, words):
    assert pace.in_words(seconds) == words
