"""Writes the page of a run as the run goes on, without ever ending it."""

import contextlib
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from equipot import compilations, errors, files
from equipot.training import folder, preparation, run_log, trainer
from equipot.training.config import SCHEDULE_FREE, TrainConfig
from equipot.training.reports import SplitErrors
from equipot.training.run_page import page, settings
from equipot.training.run_page.contents import Contents, Evaluated
from equipot.training.run_page.curves import Lines, Names

_REST = 100  # a page that took a second is not drawn anew for as many seconds
_REST_AFTER_IMPORT = 20  # where most of that second was the import of matplotlib
_LONGEST = 500  # characters of why a run ended


class RunPage:
    """The page of one run, which the first of its processes writes."""

    def __init__(
        self,
        run: trainer.Trainer,
        place: folder.RunFolder,
        audit: Sequence[str],
        compiled: compilations.Compilations,
        tells: bool = True,
    ) -> None:
        """Draws nothing yet.

        Args:
          run: The run.
          place: Its folder.
          audit: Lines of the audit of the data.
          compiled: What has been compiled.
          tells: Whether this process writes.
        """
        self._run, self._place, self._audit, self._compiled = run, place, audit, compiled
        self._tells, self._failed, self._not_before = tells, False, 0.0
        self._padding = {  # of the first epoch: later ones would have to be packed for it
            name: str(own.padding_waste())
            for name, own in (("training", run.parts.train), ("validation", run.parts.valid))
            if tells and own is not None
        }

    def follow(self) -> None:
        """Draws after a validation, unless the last page took too long for one so soon."""
        if not self._tells or self._failed or not self._run.has_validated:
            return
        if time.monotonic() < self._not_before:
            return
        rest = _REST if "matplotlib" in sys.modules else _REST_AFTER_IMPORT
        began = time.monotonic()
        self._write(_standing(self._run))
        ended = time.monotonic()
        self._not_before = ended + rest * (ended - began)

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Says on the page why a run ended, where it raises."""
        try:
            yield
        except Exception as failure:
            if self._tells:
                why = _words(failure)[:_LONGEST]
                self._write(f"Ended after step {self._run.progress.step:,}: {why}")
            raise

    def finish(
        self,
        evaluated: Evaluated,
        table: Mapping[str, SplitErrors],
        before: Mapping[str, SplitErrors],
    ) -> None:
        """Draws everything.

        Args:
          evaluated: Structures and predictions of each split.
          table: Their errors.
          before: Errors of the parameters that somebody gave; empty if nobody did.
        """
        if self._tells:
            state = f"Finished after {self._run.progress.step:,} steps."
            self._write(state, evaluated=evaluated, errors=table, before=before)

    def _write(self, state: str, **more: Any) -> None:
        """Writes the page whole, or says why not: drawing is never what ends a training."""
        try:
            text = page.render(self._contents(state, more))
            files.write(self._place.page, text, errors.CheckpointError)
        except errors.StoppedError:
            raise  # a signal
        except Exception as failure:
            self._failed = True
            self._run.log.say(
                f"{self._place.page.name} could not be written ({_words(failure)}); the run goes on"
                " without it"
            )

    def _contents(self, state: str, more: Mapping[str, Any]) -> Contents:
        run, place = self._run, self._place
        lines, _ = run_log.read_lines(place.path / run_log.JSONL)
        best = run.progress.best_step
        return Contents(
            name=place.name,
            state=state,
            facts=self._facts(lines),
            commands=_commands(place, finished=bool(more)),
            quantities=run.parts.quantities,
            lines=lines,
            names=names_of(run.config),
            best_step=best if best >= 0 else None,
            settings=settings.changed(run.config),
            data=self._audit,
            notes=(*run.parts.notes, *run.parts.batch_notes),
            versions={k: _joined(value) for k, value in folder.versions().items()},
            **more,
        )

    def _facts(self, lines: Lines) -> dict[str, str]:
        """Figures of the run, those that are known."""
        run, progress = self._run, self._run.progress
        spec, count = run.parts.spec, run.parts.facts["structures"]
        learnt = preparation.count_parameters(run.parts.params)
        best = f"{progress.best_step:,}, validation loss {progress.best_loss:.4g}"
        speed = lines[-1].get("structures_per_second", 0.0) if lines else 0.0
        found = {
            "best step": best if math.isfinite(progress.best_loss) else "",
            "time": duration(run.seconds),
            "written": time.strftime("%Y-%m-%d %H:%M"),
            "speed": f"{speed:.4g} structures/s" if speed else "",
            "waiting for data": _share(waiting(lines)),
            "model": f"{spec.model_name}, cutoff {spec.cutoff:g} Å, {spec.dtype}",
            "parameters": f"{learnt:,}",
            "structures": ", ".join(f"{name} {number:,}" for name, number in count.items()),
            **{f"batches of {name}": text for name, text in self._padding.items()},
            "compiled": f"{self._compiled}; {self._compiled.seconds:.1f} s, in this process",
            "devices": f"{run.mesh.size}",
            "folder": str(self._place.path),
        }
        return {name: text for name, text in found.items() if text}


def names_of(config: TrainConfig) -> Names:
    """What the two kinds of lines in learning curves are of.

    Args:
      config: The run.
    """
    if config.optimizer.name == SCHEDULE_FREE:
        return Names(validation="validation (the optimizer's own average)")
    if config.optimizer.ema_decay is None:
        return Names(validation="validation (the same parameters)")
    return Names()


def waiting(lines: Lines) -> float | None:
    """Share of the time of the steps in which the loop waited for a batch.

    Args:
      lines: Of metrics.jsonl; None if no line says it.
    """
    whole, waited, before = 0.0, 0.0, 0.0
    for line in lines:
        speed = line.get("structures_per_second")
        if speed and "waiting" in line:
            span = (line["step"] - before) / speed  # in steps and structures: the unit cancels
            whole, waited = whole + span, waited + span * line["waiting"]
        before = line["step"]
    return waited / whole if whole > 0 else None


def duration(seconds: float) -> str:
    """A time in words.

    Args:
      seconds: How long.
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _standing(run: trainer.Trainer) -> str:
    step = run.progress.step
    return (
        f"At step {step:,} of {run.num_steps:,}, still training when this was written. If it is"
        " interrupted, the same command goes on from the last checkpoint."
    )


def _commands(place: folder.RunFolder, finished: bool) -> list[str]:
    path = place.artefact
    if not finished:
        return [f"tail -f {place.path / run_log.TEXT}", f"equipot compare {place.path}"]
    return [
        f"equipot evaluate {path} structures.xyz",
        f"equipot md {path} start.xyz --temperature 300 --time 10 --output md",
        f"equipot audit {path} --data structures.xyz",
        f'from equipot import EquipotCalculator; atoms.calc = EquipotCalculator("{path}")',
    ]


def _words(failure: Exception) -> str:
    """What went wrong; the kind too, unless it is a sentence of ours."""
    kind = "" if isinstance(failure, errors.EquipotError) else f"{type(failure).__name__}: "
    return f"{kind}{failure}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} % of the time of the steps"


def _joined(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
