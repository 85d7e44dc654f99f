"""A process that compiles one case of a benchmark and runs it when it is told to.

It is given the case as JSON, writes a line of JSON about the program that it compiled, and then
reads commands from its standard input: ``time`` calls the program once to warm up and once more,
and writes the seconds of that call; ``end`` writes what the process took, and ends. A process of
its own per case makes the peak of its memory that of the case, and its compilation a first one.
"""

import functools
import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import jax

from equipot.cli import console
from equipot.compilations import Compilations
from equipot.potential import precision
from equipot.typing import PyTree
from scripts.benchmark import cases, hlo, hlo_cost, machine_limit

_LINUX_RSS_UNIT = 1024 if sys.platform == "linux" else 1


def compile_program(
    program: cases.Program,
) -> tuple[Callable[[], PyTree], dict[str, Any]]:
    """Compiles a program; what runs it, and what can be said of it before it runs."""
    start = time.perf_counter()
    lowered = jax.jit(program.function).lower(*program.arguments)
    executable = lowered.compile()
    seconds = time.perf_counter() - start
    memory = executable.memory_analysis()
    cost = hlo_cost.total(hlo.parse(executable.as_text()))
    facts = {
        "parameters": program.parameters,
        "edges": program.edges,
        "compile_seconds": seconds,
        "temporary_bytes": memory.temp_size_in_bytes,
        "argument_bytes": memory.argument_size_in_bytes,
        "flops": cost.flops,
        "memory_bytes": cost.bytes,
        "xla_flops_loops_once": executable.cost_analysis().get("flops"),
        "device": jax.devices()[0].device_kind,
    }
    return functools.partial(executable, *program.arguments), facts


def serve(run: Callable[[], PyTree], facts: dict[str, Any], counter: Compilations) -> None:
    """Writes the facts and answers commands until the end."""
    _answer(facts | {"peak_rss_before_bytes": _peak_rss()})
    for command in sys.stdin:
        if command.strip() == "end":
            break
        jax.block_until_ready(run())
        start = time.perf_counter()
        jax.block_until_ready(run())
        _answer({"seconds": time.perf_counter() - start})
    statistics = jax.devices()[0].memory_stats() or {}
    _answer(
        {
            "peak_rss_bytes": _peak_rss(),
            "device_peak_bytes": statistics.get("peak_bytes_in_use"),
            "compilations": counter.count,
        }
    )


def _peak_rss() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _LINUX_RSS_UNIT


def _answer(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def main() -> None:
    """Serves the case in the first argument, or the limit of the machine that it names."""
    console.keep_memory()
    jax.config.update("jax_enable_compilation_cache", False)
    request = json.loads(sys.argv[1])
    with precision.of(request["dtype"]):
        if "limit" in request:
            serve(*machine_limit.build(**request), Compilations())
            return
        program = cases.build(cases.Case(**request))
        with Compilations() as counter:
            serve(*compile_program(program), counter)


if __name__ == "__main__":
    main()
