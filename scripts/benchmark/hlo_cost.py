"""Counts the floating-point operations and the traffic of a compiled program.

The rules are those of XLA's own cost analysis, but for loops, which XLA counts as if they ran once:
here their bodies count as often as they run. Element by element, an operation is one whatever it
is; transcendental functions are none, as in XLA. Custom calls are opaque, and count as nothing.

Traffic is what goes into and comes out of instructions outside of fusions. Of a loop, only the
arrays that it is given and that it returns are counted, once each: what is handed on inside of a
loop over blocks of edges is made to stay in the cache. It is an estimate of what must come from
memory, neither a bound nor a measurement.
"""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from scripts.benchmark import hlo

_ELEMENTWISE = frozenset(
    """abs add and ceil clamp compare convert divide floor is-finite maximum minimum multiply negate
    not or popcnt remainder round-nearest-afz round-nearest-even select shift-left
    shift-right-arithmetic shift-right-logical sign subtract xor""".split()
)
_FREE = frozenset("parameter constant tuple get-tuple-element bitcast after-all".split())
LOOPS = frozenset("while call conditional".split())
_SLICES = frozenset("slice dynamic-slice gather".split())


class Cost(NamedTuple):
    """Floating-point operations and bytes."""

    flops: float
    bytes: float


class Executed(NamedTuple):
    """An instruction outside of fusions, with the loops it stands in.

    Attributes:
      instruction: The instruction.
      times: How often it runs.
      enclosing: The loops and calls around it, outermost first.
    """

    instruction: hlo.Instruction
    times: int
    enclosing: tuple[hlo.Instruction, ...]


def executed(module: hlo.Module) -> Iterator[Executed]:
    """All instructions that a program runs, loops and calls included."""

    def walk(name: str, times: int, enclosing: tuple[hlo.Instruction, ...]) -> Iterator[Executed]:
        for instruction in module.computations[name]:
            yield Executed(instruction, times, enclosing)
            if instruction.opcode in LOOPS:
                trips = times * (instruction.trips or 1)
                for called in instruction.called:
                    yield from walk(called, trips, (*enclosing, instruction))

    yield from walk(module.entry, 1, ())


def total(module: hlo.Module, *, loops_once: bool = False) -> Cost:
    """The cost of a whole program.

    Args:
      module: The program.
      loops_once: Whether to count as XLA does, for comparison.
    """
    costs = Costs(module)
    flops, traffic = 0.0, 0.0
    for instruction, times, enclosing in executed(module):
        flops += costs.flops(instruction) * (1 if loops_once else times)
        if not any(around.opcode == "while" for around in enclosing):
            traffic += costs.bytes(instruction)
    return Cost(flops, traffic)


class Costs:
    """Costs of the instructions of a module, each run once."""

    def __init__(self, module: hlo.Module) -> None:
        self._module = module
        self._shapes = {i.name: i.shapes for i in module.instructions()}

    def flops(self, instruction: hlo.Instruction) -> float:
        """Operations of an instruction with all that is fused into it; none for loops."""
        if instruction.opcode == "fusion":
            return sum(self.flops(i) for i in self._fused(instruction))
        size = float(sum(shape.elements for shape in instruction.shapes))
        if instruction.opcode == "dot":
            return 2 * size * self._contracted(instruction)
        if instruction.opcode in ("reduce", "scatter"):
            updates = self._shapes[
                instruction.operands[-1 if instruction.opcode == "scatter" else 0]
            ]
            return float(sum(shape.elements for shape in updates))
        return size if instruction.opcode in _ELEMENTWISE else 0.0

    def bytes(self, instruction: hlo.Instruction) -> float:
        """Bytes that an instruction outside of fusions reads and writes."""
        opcode = instruction.opcode
        if opcode in _FREE or opcode in ("call", "conditional"):
            return 0.0
        written = float(sum(shape.bytes for shape in instruction.shapes))
        if opcode == "while":
            return written  # what it is given is what it returns, in place
        if opcode in _SLICES:
            return 2 * written
        if opcode in ("dynamic-update-slice", "scatter"):
            return 2 * self._size(instruction.operands[1 if opcode.startswith("d") else -1])
        if opcode == "fusion":
            return self._fusion_bytes(instruction)
        return written + sum(self._size(name) for name in set(instruction.operands))

    def products(self, instruction: hlo.Instruction) -> Iterator[tuple[int, int, int]]:
        """Rows, columns and contracted size of the matrix products in an instruction."""
        for found in self.inside(instruction):
            if found.opcode == "dot":
                dims = found.shapes[0].dims or (1,)
                yield math.prod(dims[:-1]), dims[-1], self._contracted(found)

    def inside(self, instruction: hlo.Instruction) -> tuple[hlo.Instruction, ...]:
        """The instructions of a fusion; otherwise the instruction itself."""
        return self._fused(instruction) if instruction.opcode == "fusion" else (instruction,)

    def _fused(self, instruction: hlo.Instruction) -> tuple[hlo.Instruction, ...]:
        return self._module.computations[instruction.called[0]]

    def _size(self, name: str) -> float:
        return float(sum(shape.bytes for shape in self._shapes[name]))

    def _contracted(self, instruction: hlo.Instruction) -> int:
        found = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", instruction.text)
        dims = self._shapes[instruction.operands[0]][0].dims
        return math.prod(dims[int(n)] for n in found.group(1).split(",") if n) if found else 1

    def _fusion_bytes(self, instruction: hlo.Instruction) -> float:
        """Operands as far as they are used, and results; of what is updated, the part that is."""
        inside = self._fused(instruction)
        users: dict[str, list[hlo.Instruction]] = {}
        for found in inside:
            for name in found.operands:
                users.setdefault(name, []).append(found)
        result = 0.0
        for found in inside:
            if found.opcode == "parameter":
                result += self._read(found, users.get(found.name, []))
            if found.is_root:
                updates = found.opcode == "dynamic-update-slice"
                result += self._size(found.operands[1] if updates else found.name)
        return result

    def _read(self, parameter: hlo.Instruction, users: list[hlo.Instruction]) -> float:
        """What a fusion reads of an operand: a slice where it takes only slices of it."""
        taken = [user for user in users if user.operands[0] == parameter.name]
        if len(taken) == len(users) and all(user.opcode in _SLICES for user in users):
            return min(sum(self._size(u.name) for u in users), self._size(parameter.name))
        if users and all(
            u.opcode == "dynamic-update-slice" and u.operands[0] == parameter.name for u in users
        ):
            return 0.0
        return self._size(parameter.name)
