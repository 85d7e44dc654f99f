"""What stands on the page of a run."""

import dataclasses
from collections.abc import Mapping, Sequence

from equipot.data.structure import Structure
from equipot.potential.evaluate import HostPrediction
from equipot.quantities import Quantity
from equipot.training.reports import SplitErrors
from equipot.training.run_page.curves import Lines, Names

Evaluated = Mapping[str, tuple[Sequence[Structure], Sequence[HostPrediction]]]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Contents:
    """The page as data.

    Attributes:
      name: Of the run.
      state: Where the run stands, in a sentence.
      facts: Figures of the run, by name, in the order to show.
      commands: What can be done next, a line each.
      quantities: What is trained on and measured, by name.
      lines: Of metrics.jsonl.
      names: What training and validation are of.
      best_step: Whose parameters are kept; None before the first validation.
      settings: Key, value and default of each that differs.
      data: The lines of the audit of the data.
      notes: What was said when the run began.
      versions: Of packages and devices.
      evaluated: Structures and predictions of each split; empty until the end.
      errors: Of each split, empty until the end.
      before: Likewise of the parameters that training started from, where somebody gave them.
    """

    name: str
    state: str
    facts: Mapping[str, str]
    commands: Sequence[str]
    quantities: Mapping[str, Quantity]
    lines: Lines
    names: Names
    best_step: int | None
    settings: Sequence[tuple[str, str, str]]
    data: Sequence[str]
    notes: Sequence[str]
    versions: Mapping[str, str]
    evaluated: Evaluated = dataclasses.field(default_factory=dict)
    errors: Mapping[str, SplitErrors] = dataclasses.field(default_factory=dict)
    before: Mapping[str, SplitErrors] = dataclasses.field(default_factory=dict)

    @property
    def judged(self) -> str:
        """The split that tells most: the test split if there is one, else validation."""
        return next((name for name in ("test", "valid") if self.errors.get(name)), "train")

    @property
    def labelled(self) -> dict[str, Quantity]:
        """The quantities that some split has labels of."""
        return {
            name: quantity
            for name, quantity in self.quantities.items()
            if any(own.quantities.get(name) for own in self.errors.values())
        }
