"""With data: errors by group, and how much of the data lies outside the distances of training."""

import dataclasses

from equipot.audit.audited import Audited
from equipot.audit.samples import Samples
from equipot.audit.verdict import Verdict, shown
from equipot.inference import out_of_range
from equipot.potential import evaluate
from equipot.quantities import every
from equipot.training import reports


def check(audited: Audited, samples: Samples) -> list[Verdict]:
    """Two lines that are not judged; none without data."""
    if not samples.data:
        return []
    return [*_errors(audited, samples), _outside(audited, samples)]


def _errors(audited: Audited, samples: Samples) -> list[Verdict]:
    potential = audited.potential
    if potential is None:
        return []
    frames = [dataclasses.replace(own, head=audited.head) for own in samples.data]
    known = every({quantity.name: quantity for quantity in potential.spec.quantities})
    predictions = evaluate.evaluate(potential, frames)
    table = reports.split_errors(frames, predictions, known)
    if not any(table.quantities.values()):
        return [shown("errors", "The data have no labels.")]
    forces = table.quantities.get("forces")
    value = float("nan") if forces is None else forces.mae * 1e3
    sentence = f"Errors on {len(frames)} frames of the data, by element and by group."
    detail = reports.error_table({"data": table}, known)
    return [shown("errors", sentence, value=value, unit="meV/Å, forces, MAE", detail=detail)]


def _outside(audited: Audited, samples: Samples) -> Verdict:
    span, name = audited.distance_range, "outside of training"
    if span is None:
        return shown(name, "The potential does not state the distances that it was trained on.")
    found = [
        out_of_range.find_anew(
            span, own.atomic_numbers, own.positions, own.cell, own.pbc, audited.cutoff
        )
        for own in samples.data
    ]
    watch = out_of_range.Watch()
    told = [str(finding) for own in found for finding in watch.news(own)]
    count = sum(bool(own) for own in found)
    sentence = (
        f"{count} of {len(found)} frames have atoms nearer to each other, or farther from all"
        " others, than any of training."
    )
    share = 100.0 * count / len(found)
    return shown(name, sentence, value=share, unit="% of frames", detail="\n".join(told[:12]))
