"""Judges what became of one damaged file: refused, read rightly, or one of the ways to fail."""

import dataclasses
import gc
import resource
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

from equipot import errors

LONGEST = 5.0  # seconds
LARGEST = 1 << 20  # KiB by which the peak of memory may grow
Verdict = Literal["refused", "equal", "traceback", "slow", "large", "wrong", "unnamed"]
GOOD: tuple[Verdict, ...] = ("refused", "equal")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one damaged file.

    Attributes:
      subject: Which file it was.
      seed: Gives the same damage again.
      damage: What was done to it.
      verdict: "refused" and "equal" are right.
      detail: The sentence of a refusal, the traceback, or what is wrong.
      seconds: How long the reading took.
    """

    subject: str
    seed: int
    damage: str
    verdict: Verdict
    detail: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.verdict:9} {self.subject} seed {self.seed}: {self.damage} -> {self.detail}"


def judge(
    subject: str, seed: int, damage: str, read: Callable[[], str], names: Sequence[str]
) -> Outcome:
    """Reads a damaged file and says how that went.

    Args:
      subject: Which file it is.
      seed: Of the damage.
      damage: What was done.
      read: Reads it, and returns what is wrong with the result, or nothing.
      names: A refusal must hold one of them: the name of the file, say.
    """
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    verdict: Verdict
    gc.disable()  # going through what other tests made is not reading
    try:
        detail = read()
        verdict = "wrong" if detail else "equal"
    except errors.EquipotError as error:
        detail = str(error)
        is_named = not names or any(name in detail for name in names)
        verdict = "refused" if is_named and len(detail) < 700 else "unnamed"
    except Exception:
        detail, verdict = traceback.format_exc(), "traceback"
    finally:
        gc.enable()
    seconds = time.process_time() - start
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if verdict in GOOD and seconds > LONGEST:
        verdict, detail = "slow", f"{seconds:.1f} s; {detail}"
    if verdict in GOOD and grown > LARGEST:
        verdict, detail = "large", f"{grown >> 10} MiB; {detail}"
    return Outcome(
        subject=subject, seed=seed, damage=damage, verdict=verdict, detail=detail, seconds=seconds
    )


def summary(outcomes: Sequence[Outcome]) -> str:
    """Counts of each verdict, and the longest time."""
    counts = Counter(outcome.verdict for outcome in outcomes)
    order: tuple[Verdict, ...] = (*GOOD, "traceback", "slow", "large", "wrong", "unnamed")
    listed = ", ".join(f"{counts[verdict]} {verdict}" for verdict in order)
    longest = max((outcome.seconds for outcome in outcomes), default=0.0)
    return f"{len(outcomes)} mutations: {listed}; longest {longest:.2f} s"
