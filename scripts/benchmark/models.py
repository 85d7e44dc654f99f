"""Times models on boxes of liquid water: energy + forces, and one training step on both.

    python -m scripts.benchmark models --preset peers --peers
    python -m scripts.benchmark models --model nequip --model mace --atoms 192 1536 5184 12288
    python -m scripts.benchmark models --model all --task "energy + forces" --plot times.png

Turned molecules on a cubic lattice at 0.997 g/cm³, a cube of them: 192, 648, 1536, 5184, 12 288
atoms. The training step is Adam on the sum of the squared errors of energy and forces.

Each case has a process of its own, which compiles anew. Cases of one size take turns, as many at a
time as memory allows, and with them a matrix product and a copy, whose best rates are the limits of
the machine at that time. The share of the limit is the least time that these rates allow, over the
time found. Operations and traffic with memory are counted as scripts/benchmark/hlo_cost.py says: it
is what the compiled program does, recomputation included, not what the task needs, and what stays
in a cache is in part counted as traffic.

``--peers`` times other programs in between (scripts/benchmark/peers.py).
"""

import argparse
import contextlib
import dataclasses
import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.benchmark import cases as benchmark_cases
from scripts.benchmark import machine_limit, peers, plot
from scripts.benchmark.process import Worker, in_turn

_MEMORY_TO_FILL = 0.6  # of the machine's, by cases that take turns
_OF_A_PROCESS = 1e9  # bytes of an interpreter with a compiler
_GROWTH = 3  # a case may take so many times the memory of the one before it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this benchmark."""
    benchmark_cases.add_arguments(parser)
    parser.add_argument("--repeats", type=int, default=7, help="timed calls of each program")
    parser.add_argument("--peers", action="store_true", help="time other programs in between")
    parser.add_argument("--peer-runs", type=int, default=3, help="runs of each of those")
    parser.add_argument("--plot", type=Path, help="write a picture here: time, memory over atoms")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Times every case; returns rows of models, limits, peers and ratios."""
    cases = benchmark_cases.cases(arguments)
    readings: list[peers.Reading] = []
    peer_runs = _peer_runs(arguments, cases, readings)
    rows, limits = [], []
    for atoms in arguments.atoms:
        between = peer_runs if atoms == peers.ATOMS else []
        of_size = [case for case in cases if case.atoms == atoms]
        found, limit = time_size(of_size, max(arguments.repeats, len(between)), between)
        rows += found
        limits.append({"atoms": atoms} | limit)
        print(report_limit(limits[-1]))
        print("\n".join(map(report, found)), flush=True)
    others = peers.summarize(readings)
    ratios = peers.ratios(rows, others)
    print(report_peers(others, ratios), end="")
    if arguments.plot:
        plot.plot_models(rows, arguments.plot)
    return {"models": rows, "limits": limits, "peers": others, "ratios": ratios}


def _peer_runs(
    arguments: argparse.Namespace,
    cases: Sequence[benchmark_cases.Case],
    readings: list[peers.Reading],
) -> list:
    """What runs the peers, each as often as asked, and notes what they say."""
    path = peers.script()
    if not arguments.peers:
        return []
    if path is None:
        print("no peers: EQUIPOT_RUN_PEERS names no script, and there is none beside the data")
        return []
    if peers.ATOMS not in arguments.atoms:
        print(f"no peers: they are timed on {peers.ATOMS} atoms, not asked for here")
        return []
    names = peers.names([case.model for case in cases])
    run_peer = lambda name: readings.extend(peers.run(path, name))  # noqa: E731
    return [functools.partial(run_peer, name) for _ in range(arguments.peer_runs) for name in names]


def time_size(
    cases: Sequence[benchmark_cases.Case], rounds: int, between: Sequence
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Times cases of one size, in as few groups as memory allows.

    Args:
      cases: What to time.
      rounds: Timed calls of each.
      between: What to do besides in the first group.

    Returns:
      A row for each case, and the limits of the machine that were found meanwhile.
    """
    rows: list[dict[str, Any]] = []
    waiting = list(cases)
    with contextlib.ExitStack() as stack:
        limits = {
            name: stack.enter_context(Worker({"limit": name, "dtype": cases[0].dtype}, name))
            for name in machine_limit.LIMITS
        }
        while waiting:
            with contextlib.ExitStack() as group:
                workers = {}
                for case, worker in _start_group(waiting, group):
                    workers[worker] = case
                waiting = waiting[len(workers) :]
                in_turn([*limits.values(), *workers], rounds, between)
                between = []
                rows += [_row(case, worker) for worker, case in workers.items()]
        product, copy = limits[machine_limit.PRODUCT], limits[machine_limit.COPY]
        rates = {
            "flops_per_second": product.facts["flops"] / min(product.seconds),
            "bytes_per_second": copy.facts["memory_bytes"] / min(copy.seconds),
        }
    return [row | shares(row, rates) for row in rows], rates


def _start_group(
    cases: Sequence[benchmark_cases.Case], stack: contextlib.ExitStack
) -> Iterator[tuple[benchmark_cases.Case, Worker]]:
    """Starts processes until the next would not fit; at least one."""
    free = _MEMORY_TO_FILL * _memory()
    for case in cases:
        name = f"{case.model}, {case.task}, {case.atoms} atoms"
        worker = Worker(dataclasses.asdict(case), name)
        taken = worker.facts["argument_bytes"] + worker.facts["temporary_bytes"] + _OF_A_PROCESS
        free -= taken
        yield case, stack.enter_context(worker)
        if free < _GROWTH * taken:
            return


def _memory() -> float:
    """Bytes of the machine's memory."""
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _row(case: benchmark_cases.Case, worker: Worker) -> dict[str, Any]:
    """What was found of a case."""
    median = float(np.median(worker.seconds))
    return (
        dataclasses.asdict(case)
        | {
            "median": median,
            "minimum": min(worker.seconds),
            "maximum": max(worker.seconds),
            "seconds": worker.seconds,
            "microseconds_per_atom": median / case.atoms * 1e6,
        }
        | worker.facts
        | {"temporary_bytes_per_edge": worker.facts["temporary_bytes"] / worker.facts["edges"]}
        | worker.end()
    )


def shares(row: dict[str, Any], rates: dict[str, float]) -> dict[str, float]:
    """The least time that the machine's rates allow for a program, and its share of the time."""
    least = max(
        row["flops"] / rates["flops_per_second"], row["memory_bytes"] / rates["bytes_per_second"]
    )
    return {"least_seconds": least, "share_of_limit": least / row["median"]}


def report_limit(limit: dict[str, float]) -> str:
    """A line on the machine."""
    return (
        f"\n{limit['atoms']:.0f} atoms; meanwhile a matrix product at"
        f" {limit['flops_per_second'] * 1e-9:.0f} GFLOP/s, a copy at"
        f" {limit['bytes_per_second'] * 1e-9:.1f} GB/s read and written"
    )


def report(row: dict[str, Any]) -> str:
    """Two lines on a case: its times, and its size with its memory."""
    peak = row["device_peak_bytes"] or row["peak_rss_bytes"]
    where = "device" if row["device_peak_bytes"] else "process"
    return (
        f"{row['model']:8} {row['task']:16} {row['species']:2} species {row['median']:.4f} s"
        f" ({row['minimum']:.4f}-{row['maximum']:.4f}),"
        f" {row['microseconds_per_atom']:.0f} µs/atom, {100 * row['share_of_limit']:.0f} % of the"
        f" limit ({row['flops'] * 1e-9:.3g} GFLOP, {row['memory_bytes'] * 1e-9:.3g} GB);"
        f" compiled {_times(row['compilations'])} in {row['compile_seconds']:.1f} s\n"
        f"{'':25} {row['parameters']} parameters, {row['edges']} edges; temporary"
        f" {row['temporary_bytes'] * 1e-6:.0f} MB, {row['temporary_bytes_per_edge'] * 1e-3:.1f}"
        f" kB/edge; peak of the {where} {peak * 1e-6:.0f} MB"
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def report_peers(others: Sequence[dict[str, Any]], ratios: Sequence[dict[str, Any]]) -> str:
    """The times of other programs, and how many times longer the best of them takes."""
    lines = [""] if others else []
    for row in others:
        lines.append(
            f"{row['model']:8} {row['task']:16} {row['median']:.4f} s"
            f" ({row['minimum']:.4f}-{row['maximum']:.4f}), {row['parameters']} parameters,"
            f" {row['program']}"
        )
    for row in ratios:
        lines.append(
            f"{row['model']:8} {row['task']:16} {row['ratio']:.2f} times faster than"
            f" {row['best_of_peers']}, the best of its peers"
        )
    return "".join(f"{line}\n" for line in lines)
