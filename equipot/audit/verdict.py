"""What the audit says on one line of its table."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """One line of the table.

    Attributes:
      name: Of the line, in a few words.
      value: What was measured; NaN where it is not one number.
      limit: What it may be at most; None where it is not judged.
      unit: Of both.
      passed: Whether the value is within the limit; None where it is shown alone.
      sentence: What was done, and what came of it.
      picture: SVG to stand in the page; empty for none.
      detail: A table in fixed width; empty for none.
      caption: What the picture shows.
      relation: Of the value to the limit.
    """

    name: str
    value: float = float("nan")
    limit: float | None = None
    unit: str = ""
    passed: bool | None
    sentence: str
    picture: str = ""
    detail: str = ""
    caption: str = ""
    relation: str = "≤"

    @property
    def word(self) -> str:
        """The verdict in one word."""
        return "shown" if self.passed is None else "passed" if self.passed else "FAILED"

    @property
    def shown_value(self) -> str:
        """The value for people."""
        return "" if np.isnan(self.value) and self.limit is None else f"{self.value:.3g}"

    @property
    def shown_limit(self) -> str:
        """The limit for people, with the unit."""
        return self.unit if self.limit is None else f"{self.relation} {self.limit:g} {self.unit}"


def judged(
    name: str,
    value: float,
    limit: float,
    unit: str,
    sentence: str,
    picture: str = "",
    caption: str = "",
) -> Verdict:
    """A line that fails where the value is above the limit, or not a number.

    Args:
      name: Of the line.
      value: What was measured.
      limit: What it may be at most.
      unit: Of both.
      sentence: What was done.
      picture: SVG.
      caption: What it shows.
    """
    return Verdict(
        name=name,
        value=float(value),
        limit=limit,
        unit=unit,
        passed=bool(value <= limit),
        sentence=sentence,
        picture=picture,
        caption=caption,
    )


def shown(
    name: str,
    sentence: str,
    *,
    value: float = float("nan"),
    unit: str = "",
    picture: str = "",
    detail: str = "",
    caption: str = "",
) -> Verdict:
    """A line that is not judged."""
    return Verdict(
        name=name,
        value=value,
        unit=unit,
        passed=None,
        sentence=sentence,
        picture=picture,
        detail=detail,
        caption=caption,
    )
