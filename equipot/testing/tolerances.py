"""How far two numbers may lie apart, named once, relative to the largest number compared."""

from typing import Any

import numpy as np

F64_EXACT = 1e-12
"""float64, the same operations in another order."""

F64 = 1e-8
"""float64, another way through the same function: rotated, permuted, padded."""

F32 = 1e-4
"""float32, likewise."""

FINITE_DIFFERENCE = 1e-6
"""A derivative in float64 against central differences of fourth order."""


def assert_close(actual: Any, expected: Any, tolerance: float, what: str) -> None:
    """Compares arrays, relative to the largest number in ``expected`` but at least to one.

    Args:
      actual: Numbers.
      expected: Numbers of the same shape.
      tolerance: One of the above.
      what: A sentence that is true where they are close, for the message.

    Raises:
      AssertionError: If shapes differ, or numbers, or one is not finite.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.shape != expected.shape:
        raise AssertionError(f"{what}: shapes {actual.shape} and {expected.shape} differ")
    if not np.isfinite(actual).all() or not np.isfinite(expected).all():
        raise AssertionError(f"{what}: expected finite numbers, received {actual} and {expected}")
    allowed = tolerance * max(1.0, float(np.abs(expected).max(initial=0.0)))
    difference = float(np.abs(actual - expected).max(initial=0.0))
    if difference > allowed:
        raise AssertionError(f"{what}: differs by {difference:.3g}, allowed {allowed:.3g}")
