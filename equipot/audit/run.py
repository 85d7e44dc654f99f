"""The audit from its first line to its last: which lines there are, in which order.

Each group of lines is one function of the potential and the samples; to add a line is to write such
a function and name it in ``groups``.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator

import numpy as np

from equipot import errors
from equipot.audit import (
    conservation,
    contracts,
    cost,
    data_errors,
    derivatives,
    isolated_atoms,
    pair_curves,
    precision,
    smoothness,
    starts,
    symmetry,
)
from equipot.audit.audited import Audited
from equipot.audit.samples import Samples
from equipot.audit.verdict import Verdict

MINUTES, MINUTES_QUICK = 10.0, 5.0
"""What the audit may take: the random starts have what is left, and run shorter if need be."""

HOTTER = 1.5
"""Temperature of the random starts over the highest of the data."""

ROOM = 300.0
"""K, where neither the data nor the user name a temperature."""

_LEAST_FOR_STARTS = 0.2  # of all the time, however long the lines before took
_RESERVE = 0.1  # of all the time, for the lines after the starts

Group = Callable[[], list[Verdict]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """How thoroughly, and how hot.

    Attributes:
      quick: Whether the dear contracts are left out and dynamics are shorter.
      minutes: What all may take, about.
      temperature: Highest temperature of the data in K; None for what the data say.
    """

    quick: bool = False
    minutes: float = MINUTES
    temperature: float | None = None

    def __post_init__(self) -> None:
        for name in ("minutes", "temperature"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < np.inf:
                raise errors.ConfigError(
                    f"--{name}: expected a positive number, received {value:g}"
                )

    def highest(self, samples: Samples) -> float:
        """Highest temperature, K."""
        return self.temperature or max(samples.temperatures, default=ROOM)

    def of_box(self, samples: Samples) -> float:
        """Temperature of the dynamics at constant energy: that of the frame, K."""
        try:
            return float(samples.box.group) or ROOM
        except ValueError:
            return self.temperature or ROOM


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """A verdict and the seconds that its group took.

    Attributes:
      verdict: The line.
      seconds: Wall time; of several lines computed together the first has it, the others 0.
    """

    verdict: Verdict
    seconds: float


def groups(audited: Audited, samples: Samples, plan: Plan, begun: float) -> dict[str, Group]:
    """The lines of the audit in their order, by what they are about.

    Args:
      audited: The potential.
      samples: What it is tried on.
      plan: How thoroughly.
      begun: When the audit began, by ``time.perf_counter``.
    """
    quick = plan.quick

    def seconds_left() -> float:
        whole = 60.0 * plan.minutes
        left = (1.0 - _RESERVE) * whole - (time.perf_counter() - begun)
        return max(left, _LEAST_FOR_STARTS * whole)

    return {
        "symmetry": lambda: symmetry.check(audited, samples),
        "extensivity": lambda: symmetry.check_extensive(audited, samples),
        "derivatives": lambda: derivatives.check(audited, samples),
        "isolated atoms": lambda: isolated_atoms.check(audited, samples),
        "cutoff": lambda: smoothness.check_cutoff(audited, samples),
        "bonds": lambda: smoothness.check_bonds(audited, samples),
        "pair curves": lambda: pair_curves.check(audited, samples),
        "precision": lambda: precision.check(audited, samples),
        "contracts": lambda: contracts.check(audited, samples, quick=quick),
        "errors": lambda: data_errors.check(audited, samples),
        "constant energy": lambda: conservation.check(
            audited, samples, temperature=plan.of_box(samples), quick=quick
        ),
        "random starts": lambda: starts.check(
            audited,
            samples,
            temperature=HOTTER * plan.highest(samples),
            quick=quick,
            seconds=seconds_left(),
        ),
        "cost": lambda: cost.check(audited, samples, quick=quick),
    }


def run(audited: Audited, samples: Samples, plan: Plan) -> Iterator[Line]:
    """Gives each line as soon as it is known.

    What the potential refuses, numbers that are not finite say, is a failed line and not the end.

    Args:
      audited: The potential.
      samples: What it is tried on.
      plan: How thoroughly.
    """
    begun = time.perf_counter()
    for name, group in groups(audited, samples, plan, begun).items():
        start = time.perf_counter()
        try:
            verdicts = group()
        except errors.EquipotError as error:
            sentence = f"It could not be computed: {error}."
            verdicts = [Verdict(name=name, passed=False, sentence=sentence)]
        seconds = time.perf_counter() - start
        for i, verdict in enumerate(verdicts):
            yield Line(verdict=verdict, seconds=0.0 if i else seconds)
