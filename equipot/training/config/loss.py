"""Settings of the loss."""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Literal

from equipot import errors
from equipot.quantities import DERIVED
from equipot.training import changing
from equipot.training.config.checks import check

OPEN_STRESS = 1.0  # Å³


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the terms of the loss, 0 leaving a term out, and how an error is counted.

    Attributes:
      kind: How an error is counted: mse (its square), mae (its magnitude), huber, universal (huber,
        which for forces goes over to the magnitude the sooner the larger the force is), or norm
        (the length of the whole vector or matrix), default norm.
      energy: Weight of the energy per atom (errors in eV/atom), default 1.
      forces: Weight of the force components (errors in eV/Å), default 1.
      stress: Weight of the stress components (errors in eV/Å³); null for 1 where the training
        data have stresses, and 0 elsewhere, default null.
      quantities: Weights of the quantities that ``data.quantities`` declares (errors in their
        units), by name; 1 for one that is not named.
      huber_delta: Where huber and universal go from square to magnitude, in the units of the error,
        default 0.01.
      huber_sizes: Lengths of forces in eV/Å, ascending, from which on universal multiplies
        ``huber_delta`` with a factor.
      huber_factors: The factor from each of these lengths on.
      changes: Weights that change during the run, by the name of the term.
      groups: Factors of the weights of structures in training and validation, by their group, which
        is what they have under ``data.group_key``; 1 for a group that is not named.
    """

    kind: Literal["mse", "mae", "huber", "universal", "norm"] = "norm"
    energy: float = 1.0
    forces: float = 1.0
    stress: float | None = None
    quantities: Mapping[str, float] = dataclasses.field(default_factory=dict)
    huber_delta: float = 0.01
    huber_sizes: tuple[float, ...] = (100.0, 200.0, 300.0)
    huber_factors: tuple[float, ...] = (0.7, 0.4, 0.1)
    changes: Mapping[str, changing.ChangeConfig] = dataclasses.field(default_factory=dict)
    groups: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, weight in self.terms.items():
            place = "loss" if key in DERIVED else "loss.quantities"
            check(weight >= 0, f"{place}.{key}", "a weight of at least 0", weight)
        check(self.huber_delta > 0, "loss.huber_delta", "a positive number", self.huber_delta)
        sizes, factors = self.huber_sizes, self.huber_factors
        ascending = all(a < b for a, b in itertools.pairwise((0.0, *sizes)))
        check(ascending, "loss.huber_sizes", "ascending lengths above 0", sizes)
        expected = f"{len(sizes)} factors above 0, one for each of huber_sizes"
        suits = len(factors) == len(sizes) and all(factor > 0 for factor in factors)
        check(suits, "loss.huber_factors", expected, factors)
        for group, factor in self.groups.items():
            usable = 0 <= factor < math.inf
            check(usable, f"loss.groups.{group}", "a factor of at least 0", factor)

    @property
    def terms(self) -> dict[str, float]:
        """The weights of all terms by name, at the start; 0 for one that is left open."""
        return {name: getattr(self, name) or 0.0 for name in DERIVED} | dict(self.quantities)

    @property
    def last_terms(self) -> dict[str, float]:
        """The weights of all terms when all changes are over."""
        return self.terms | {name: change.to for name, change in self.changes.items()}

    @property
    def largest_terms(self) -> dict[str, float]:
        """The largest weight that each term has during the run; 0 for one that is never used."""
        last = self.last_terms
        return {name: max(weight, last[name]) for name, weight in self.terms.items()}

    def in_stage(self, stage: changing.StageTwoConfig) -> "LossConfig":
        """With the weights of a second stage as changes at its start.

        Args:
          stage: The second stage.

        Raises:
          ConfigError: If one of its terms is unknown, or changes otherwise too.
        """
        if stage.start is None:
            return self
        for name in stage.weights:
            if name not in self.terms:
                raise errors.ConfigError(
                    f"stage_two.quantities: unknown quantity '{name}'."
                    f"{errors.did_you_mean(name, self.terms)} Known: {', '.join(self.terms)}"
                )
            if name in self.changes:
                raise errors.ConfigError(
                    f"stage_two.{name}: loss.changes.{name} changes the same weight; leave one of"
                    " them out"
                )
        jumps = {
            name: changing.ChangeConfig(to=weight, start=stage.start, end=stage.start)
            for name, weight in stage.weights.items()
        }
        return dataclasses.replace(self, changes={**self.changes, **jumps})

    def with_stress(self, is_labelled: bool, weight: float = OPEN_STRESS) -> "LossConfig":
        """With a weight of the stress, where that is open.

        Args:
          is_labelled: Whether the training data have stresses.
          weight: The weight where they have.
        """
        if self.stress is not None:
            return self
        return dataclasses.replace(self, stress=weight if is_labelled else 0.0)

    def completed(self, declared: Iterable[str]) -> "LossConfig":
        """With a weight for each declared quantity.

        Raises:
          ConfigError: If another one has a weight, or no term has one.
        """
        names = list(declared)
        for name in self.quantities:
            if name not in names:
                raise errors.ConfigError(
                    f"loss.quantities: unknown quantity '{name}'."
                    f"{errors.did_you_mean(name, names)} Declared in data.quantities:"
                    f" {', '.join(names) or 'none'}"
                )
        weights = dict.fromkeys(names, 1.0) | dict(self.quantities)
        made = dataclasses.replace(self, quantities=weights)
        check(any(made.terms.values()), "loss", "one term with a weight above 0", made.terms)
        begun = made.terms | ({"stress": OPEN_STRESS} if made.stress is None else {})
        changing.check_changes(made.changes, begun)
        return made
