"""Where the time of energy + forces and of a training step goes, part by part.

    python -m scripts.benchmark profile --model nequip --set num_layers=4 lmax=2 num_channels=32
    python -m scripts.benchmark profile --preset peers --task "training step"

jax's profiler notes how long every instruction of the compiled program runs, and XLA knows which
Python functions each was traced from. A fusion of several counts for the function of its result.
Inside of sums over edges, derivatives are traced from no function of their own: there, matrix
products and activations count for networks, the rest for gathers, sums or tensor products, by
what the instruction does. Floating-point operations are counted as
scripts/benchmark/hlo_cost.py says.

Forward is the energy, backward its derivatives (forces, stress), second backward the derivatives
of a loss on both with respect to the parameters.
"""

import argparse
import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax

from scripts.benchmark import cases, hlo, hlo_cost, instruction_times
from scripts.benchmark.timing import Compiled, in_turn

FORWARD, BACKWARD, SECOND, OTHER = "forward", "backward", "second backward", "other"
PASSES = (FORWARD, BACKWARD, SECOND, OTHER)

GATHER, SUM, PRODUCT = "gather at senders", "sum at receivers", "tensor products"
BLOCKS, REST = "bookkeeping of blocks", "rest"
CONTRACTION = "contractions on nodes"
NETWORKS, HIDDEN = "networks on edges, by block", "radial networks, hidden"
# What a function belongs to: the first row with its file and, where given, part of its name. The
# innermost function of a stack that has a row decides.
PARTS = (
    (GATHER, "e3/kernels/edge_sum.py", "_take"),
    (SUM, "e3/kernels/edge_sum.py", "_add_rows"),
    (PRODUCT, "e3/kernels/convolution.py", "_Message"),
    (PRODUCT, "e3/kernels/convolution.py", "_products"),
    (PRODUCT, "e3/kernels/convolution.py", "spread"),
    (BLOCKS, "e3/kernels/edge_sum.py", ""),
    (HIDDEN, "e3/nn/channels.py", "RadialNetwork"),
    (NETWORKS, "e3/nn/channels.py", "radial_weights"),
    (NETWORKS, "models/allegro/composed.py", ""),
    (NETWORKS, "models/allegro/pair_embedding.py", ""),
    (PRODUCT, "models/allegro/message.py", "Message"),
    (CONTRACTION, "e3/kernels/environments.py", ""),
    (CONTRACTION, "e3/kernels/contraction.py", ""),
    (CONTRACTION, "e3/kernels/polynomials.py", ""),
    (CONTRACTION, "e3/nn/many_body.py", ""),
    (PRODUCT, "e3/kernels/", ""),
    ("linear maps, gates", "e3/nn/channels.py", ""),
    ("radial basis", "e3/functions/radial.py", ""),
    ("harmonics", "e3/so3/spherical_harmonics.py", ""),
    ("optimizer", "optax/", ""),
)
_ACTIVATIONS = ("exponential", "logistic", "tanh")
_OF_PRIMITIVE = {
    "gather": GATHER,
    "select_n": GATHER,
    "scatter-add": SUM,
    "dynamic_slice": BLOCKS,
    "dynamic_update_slice": BLOCKS,
}


class Share(NamedTuple):
    """Seconds and floating-point operations of one part in one pass, per call."""

    seconds: float
    flops: float


def part_of(found: hlo_cost.Executed, module: hlo.Module, costs: hlo_cost.Costs) -> str:
    """The part of a model that an instruction belongs to."""
    instruction = _described(found)
    part = next(_parts(module.stacks.get(instruction.frame, ())), REST)
    if part != BLOCKS:
        return part
    # The derivative of a sum over edges, in which instructions have no function of their own.
    if any(min(product) > 1 for product in costs.products(found.instruction)) or any(
        inner.opcode in _ACTIVATIONS for inner in costs.inside(found.instruction)
    ):
        return NETWORKS
    steps = instruction.op_name.split("/")
    return _OF_PRIMITIVE.get(steps[-1], PRODUCT if "closed_call" in steps else BLOCKS)


def pass_of(found: hlo_cost.Executed, *, training: bool) -> str:
    """Whether an instruction belongs to the energy, its derivative, or the derivative of both."""
    transformed = _described(found).op_name.split("/")[1:2]
    if not transformed or "jvp(" not in transformed[0]:
        return OTHER
    if training and transformed[0].startswith("transpose("):
        return SECOND
    return BACKWARD if "transpose(" in transformed[0] else FORWARD


def _described(found: hlo_cost.Executed) -> hlo.Instruction:
    """The instruction, or what is around it where XLA added it and gave it no name."""
    around = (found.instruction, *reversed(found.enclosing))
    return next((i for i in around if i.op_name), found.instruction)


def _parts(stack: tuple[hlo.Function, ...]) -> Iterator[str]:
    for function in stack:
        for part, file, name in PARTS:
            if file in function.file and name in function.name:
                yield part
                break


def shares(
    module: hlo.Module, seconds: Mapping[str, float], *, training: bool
) -> dict[tuple[str, str], Share]:
    """Sums times and operations by part and pass.

    Args:
      module: The program.
      seconds: Of its instructions, as ``instruction_times`` measures.
      training: Whether the program is a training step.
    """
    costs = hlo_cost.Costs(module)
    result: dict[tuple[str, str], Share] = defaultdict(lambda: Share(0.0, 0.0))
    for found in hlo_cost.executed(module):
        name = found.instruction.name
        flops = costs.flops(found.instruction) * found.times
        if name in seconds or flops:
            key = part_of(found, module, costs), pass_of(found, training=training)
            old = result[key]
            result[key] = Share(old.seconds + seconds.get(name, 0.0), old.flops + flops)
    return dict(result)


def measure(case: cases.Case, repeats: int) -> dict[str, Any]:
    """Compiles a case, times it without the profiler, and again with it."""
    program = cases.build(case)
    lowered = jax.jit(program.function).lower(*program.arguments)
    executable = lowered.compile()
    module = hlo.parse(executable.as_text())
    run = functools.partial(executable, *program.arguments)
    median = in_turn({"": Compiled(run, 0.0, 0.0)}, repeats)[""].median
    loops = {i.name for i in module.instructions() if i.opcode in hlo_cost.LOOPS}
    seconds = instruction_times.seconds_by_instruction(run, module.name, loops, repeats)
    parts = shares(module, seconds, training=case.task == cases.TRAINING)
    return {
        "model": case.model,
        "settings": dict(case.settings),
        "atoms": program.atoms,
        "edges": program.edges,
        "task": case.task,
        "median": median,
        "profiled": sum(seconds.values()),
        "parts": [
            {"part": part, "pass": name} | share._asdict() for (part, name), share in parts.items()
        ],
        "instructions": instructions(module, seconds),
    }


def instructions(module: hlo.Module, seconds: Mapping[str, float]) -> list[dict[str, Any]]:
    """The instructions that were timed, the slowest first."""
    costs = hlo_cost.Costs(module)
    rows = [
        {
            "name": found.instruction.name,
            "seconds": seconds[found.instruction.name],
            "times": found.times,
            "part": part_of(found, module, costs),
            "op_name": found.instruction.op_name,
            "shapes": [f"{x.dtype}{list(x.dims)}" for x in found.instruction.shapes],
        }
        for found in hlo_cost.executed(module)
        if found.instruction.name in seconds
    ]
    return sorted(rows, key=lambda row: -row["seconds"])


def table(row: Mapping[str, Any], top: int) -> str:
    """Per part and pass the share of the time; per part its rate; the slowest instructions."""
    total = row["profiled"]
    parts: dict[str, dict[str, Share]] = defaultdict(dict)
    for entry in row["parts"]:
        parts[entry["part"]][entry["pass"]] = Share(entry["seconds"], entry["flops"])
    sums = {part: _total(of_pass.values()) for part, of_pass in parts.items()}
    lines = [
        f"\n{row['model']}, {row['task']}, {row['atoms']} atoms, {row['edges']} edges:"
        f" {row['median'] * 1e3:.1f} ms, under the profiler {total * 1e3:.1f} ms",
        f"{'share of the time, %':28}" + "".join(f"{n:>16}" for n in (*PASSES, "all", "GFLOP/s")),
    ]
    for part, summed in sorted(sums.items(), key=lambda item: -item[1].seconds):
        numbers = [parts[part].get(name, Share(0.0, 0.0)).seconds / total for name in PASSES]
        rate = summed.flops / summed.seconds * 1e-9 if summed.seconds else 0.0
        lines.append(
            f"{part:28}"
            + "".join(f"{100 * x:16.1f}" if x else f"{'–':>16}" for x in numbers)
            + f"{100 * summed.seconds / total:16.1f}{rate:16.1f}"
        )
    by_pass = [_total(of[n] for of in parts.values() if n in of).seconds / total for n in PASSES]
    lines.append(f"{'all':28}" + "".join(f"{100 * x:16.1f}" for x in (*by_pass, 1.0)))
    for slow in row["instructions"][:top]:
        lines.append(
            f"{slow['seconds'] * 1e3:9.2f} ms in {slow['times']:5} calls of {slow['name']}"
            f" -> {', '.join(slow['shapes'][:2])}: {slow['part']}, {slow['op_name']}"
        )
    return "\n".join(lines)


def _total(parts: Iterable[Share]) -> Share:
    parts = list(parts)
    return Share(sum(part.seconds for part in parts), sum(part.flops for part in parts))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this benchmark."""
    cases.add_arguments(parser)
    parser.add_argument("--repeats", type=int, default=5, help="calls without and with profiler")
    parser.add_argument("--top", type=int, default=0, help="print so many slowest instructions")


def run(arguments: argparse.Namespace) -> list[dict]:
    """Profiles every case."""
    rows = []
    for case in cases.cases(arguments):
        rows.append(measure(case, arguments.repeats))
        print(table(rows[-1], arguments.top), flush=True)
    return rows
