"""Speed and memory of the compiled program by the number of atoms, in the potential's precision."""

import time
from collections.abc import Sequence

import jax
import numpy as np

from equipot import pictures
from equipot.audit.audited import Audited
from equipot.audit.samples import Samples
from equipot.audit.verdict import Verdict, shown
from equipot.graphs import batching
from equipot.potential import precision
from equipot.testing import structures

_LARGEST = 800  # atoms
_REPEATS = 3


def check(audited: Audited, samples: Samples, *, quick: bool) -> list[Verdict]:
    """One line that is not judged."""
    evaluate, rows = audited.own, []
    for structure in _sizes(samples, quick):
        graph = evaluate.graph(structure)
        budget = batching.bucket(graph.num_nodes, graph.num_edges, 1.1)
        with precision.of(evaluate.dtype):
            batch = batching.collate([graph], budget, evaluate.cutoff, evaluate.dtype)
            program = jax.jit(evaluate.predict).lower(evaluate.params, batch).compile()
            seconds = []
            for _ in range(_REPEATS):
                start = time.perf_counter()
                jax.block_until_ready(program(evaluate.params, batch))
                seconds.append(time.perf_counter() - start)
        memory = program.memory_analysis()
        used = float("nan") if memory is None else memory.temp_size_in_bytes / 1e6
        rows.append((graph.num_nodes, graph.num_edges, min(seconds) * 1e3, used))
    atoms, _, milliseconds, _ = rows[-1]
    sentence = (
        f"Energy, forces and stress in {evaluate.dtype} on {jax.devices()[0].device_kind}, neighbor"
        f" search left out; {milliseconds / atoms:.3g} ms per atom at {atoms} atoms."
    )
    return [
        shown(
            "speed and memory",
            sentence,
            value=milliseconds / atoms,
            unit="ms/atom",
            picture=_picture(rows),
            detail=_table(rows),
        )
    ]


def _sizes(samples: Samples, quick: bool) -> list:
    box = samples.box
    if not box.pbc.all():
        return [box]
    repeats = [(1, 1, 1), (2, 1, 1), (2, 2, 1), (2, 2, 2), (4, 2, 2), (4, 4, 2), (4, 4, 4)]
    made = [structures.repeated(box, times) for times in repeats]
    fitting = [own for own in made if len(own.positions) <= _LARGEST] or made[:1]
    return fitting[:2] if quick else fitting[:: max(1, len(fitting) // 3)][-3:]


def _table(rows: Sequence[tuple[int, int, float, float]]) -> str:
    lines = [f"{'atoms':>6}  {'pairs':>8}  {'ms':>8}  {'MB':>8}"]
    lines += [f"{a:>6}  {e:>8,}  {t:>8.1f}  {m:>8.0f}" for a, e, t, m in rows]
    return "\n".join(lines)


def _picture(rows: Sequence[tuple[int, int, float, float]]) -> str:
    if len(rows) < 2:
        return ""
    atoms, _, times, memory = (np.array(column) for column in zip(*rows, strict=True))
    labelled = {"time, ms": times, "memory, MB": memory}
    with pictures.drawing("speed and memory", 1, 2) as picture:
        for axis, (label, values) in zip(picture.axes, labelled.items(), strict=True):
            axis.plot(atoms, values, "o-", color=pictures.COLORS[0])
            axis.set_xlabel("atoms")
            axis.set_ylabel(label)
            axis.set_ylim(bottom=0)
    return picture.svg
