"""How fast a run goes, measured on its own steps, and how long the rest of it will take."""

import time

_MINUTE, _HOUR = 60.0, 3600.0


class PaceMeter:
    """Measures steps and validations of this process, without what is compiled for them."""

    def __init__(self) -> None:
        """Nothing is measured yet."""
        self._began: tuple[float, int] | None = None
        self._validating, self._of_one = 0.0, 0.0

    def begin(self, step: int) -> None:
        """Measures from this step on; a later one changes nothing.

        Args:
          step: Steps done.
        """
        if self._began is None:
            self._began = time.monotonic(), step

    def validated(self, seconds: float, compiling: float) -> None:
        """Adds a validation.

        Args:
          seconds: What it took.
          compiling: The part in which its program was compiled.
        """
        self._validating += seconds if self._began else 0.0
        self._of_one = seconds - compiling

    def left(self, step: int, steps: int, validations: int) -> float | None:
        """Seconds that the rest of the run takes at this pace; None where no step is measured.

        Args:
          step: Steps done.
          steps: Steps to go.
          validations: Validations to go.
        """
        if self._began is None or step <= self._began[1]:
            return None
        began, first = self._began
        per_step = (time.monotonic() - began - self._validating) / (step - first)
        return steps * per_step + validations * self._of_one


def in_words(seconds: float) -> str:
    """Two digits of a time, in the unit that suits it: ``40 s``, ``12 min``, ``3.4 h``."""
    if seconds < 1.5 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 1.5 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.2g} h" if seconds < 100 * _HOUR else f"{seconds / _HOUR:.0f} h"
