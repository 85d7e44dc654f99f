"""Reads the text of a compiled program: its instructions, and where in the code each comes from.

XLA prints a module as computations of one instruction per line, preceded by tables of the Python
functions that were on the stack when an instruction was traced:

    %dot.3 = f32[512,32]{1,0} dot(%x, %w), lhs_contracting_dims={1}, ...,
        metadata={op_name="jit(step)/jvp(Model)/dot_general" stack_frame_id=312}

Fusions and loops name the computations that they call.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_BYTES = {"pred": 1, "bf16": 2, "f16": 2, "c64": 8, "c128": 16}
_ARRAY = re.compile(r"([a-z]+\d*)\[([\d,]*)\]")
_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$")
_LINE = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*)$")
_CALLED = re.compile(
    r"\b(?:calls|to_apply|body|condition|branch_computations|true_computation|false_computation)"
    r"=\{?((?:%[\w.\-]+(?:, )?)+)\}?"
)
_TABLE_ROW = re.compile(r"^(\d+) (.*)$")


class Shape(NamedTuple):
    """An array of a program."""

    dtype: str
    dims: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.dims)

    @property
    def bytes(self) -> int:
        """Size in memory."""
        digits = re.sub(r"\D", "", self.dtype)
        width = _BYTES.get(self.dtype) or (int(digits) // 8 if digits else 0)
        return self.elements * width


class Instruction(NamedTuple):
    """One operation; ``text`` is what follows its operands."""

    name: str
    opcode: str
    shapes: tuple[Shape, ...]
    operands: tuple[str, ...]
    called: tuple[str, ...]
    text: str
    is_root: bool

    @property
    def op_name(self) -> str:
        """The path of jax's transformations and flax's modules, and the primitive."""
        match = re.search(r'op_name="([^"]*)"', self.text)
        return match.group(1) if match else ""

    @property
    def frame(self) -> int:
        """Number of its stack frame, 0 where there is none."""
        match = re.search(r"stack_frame_id=(\d+)", self.text)
        return int(match.group(1)) if match else 0

    @property
    def trips(self) -> int | None:
        """How often a loop runs, where XLA knows it."""
        match = re.search(r'known_trip_count":\{"n":"(\d+)"', self.text)
        return int(match.group(1)) if match else None


class Function(NamedTuple):
    """A Python function on a stack, with the file that has it."""

    file: str
    name: str


class Module(NamedTuple):
    """A compiled program.

    Attributes:
      name: The name of the module.
      entry: Name of the computation where it starts.
      computations: The instructions of each computation.
      stacks: The Python functions of each stack frame, innermost first.
    """

    name: str
    entry: str
    computations: Mapping[str, tuple[Instruction, ...]]
    stacks: Mapping[int, tuple[Function, ...]]

    def instructions(self) -> Iterator[Instruction]:
        """All instructions of all computations."""
        for computation in self.computations.values():
            yield from computation


def parse(text: str | None) -> Module:
    """Reads ``compiled.as_text()``.

    Raises:
      ValueError: There is no text, or it has no entry computation.
    """
    lines = (text or "").splitlines()
    computations: dict[str, list[Instruction]] = {}
    current, entry = "", ""
    for line in lines:
        if header := _HEADER.match(line):
            current = header.group(2)
            computations[current] = []
            entry = current if header.group(1) else entry
        elif current and (match := _LINE.match(line)):
            computations[current].append(_instruction(match))
    if not entry:
        raise ValueError("expected the text of a compiled program, found no ENTRY computation")
    name = lines[0].split()[1].rstrip(",")
    return Module(name, entry, {k: tuple(v) for k, v in computations.items()}, _stacks(lines))


def _instruction(match: re.Match[str]) -> Instruction:
    root, name, rest = match.groups()
    end = _closing(rest, 0) + 1 if rest.startswith("(") else rest.index(" ")
    shapes, rest = _shapes(rest[:end]), rest[end:].lstrip()
    opening = rest.index("(")
    closing = _closing(rest, opening)
    operands = tuple(re.findall(r"%([\w.\-]+)", rest[opening:closing]))
    text = rest[closing + 1 :]
    called = tuple(
        computation.lstrip("%")
        for group in _CALLED.findall(text)
        for computation in group.split(", ")
        if computation
    )
    return Instruction(name, rest[:opening], shapes, operands, called, text, bool(root))


def _shapes(text: str) -> tuple[Shape, ...]:
    """Shapes of an array or of the leaves of a tuple."""
    return tuple(
        Shape(dtype, tuple(int(n) for n in dims.split(",") if n))
        for dtype, dims in _ARRAY.findall(text)
    )


def _closing(text: str, opening: int) -> int:
    """Position of the bracket that closes the one at ``opening``."""
    depth = 0
    for position in range(opening, len(text)):
        depth += (text[position] == "(") - (text[position] == ")")
        if depth == 0:
            return position
    raise ValueError(f"expected a closing bracket in '{text[:80]}'")


def _stacks(lines: list[str]) -> dict[int, tuple[Function, ...]]:
    """The functions of every stack frame, from the four tables at the head of a module."""
    files = {i: row.strip('"') for i, row in _table(lines, "FileNames").items()}
    functions = {i: row.strip('"') for i, row in _table(lines, "FunctionNames").items()}
    locations = {
        i: Function(files[_field(row, "file_name_id")], functions[_field(row, "function_name_id")])
        for i, row in _table(lines, "FileLocations").items()
    }
    stacks: dict[int, tuple[Function, ...]] = {}
    for i, row in _table(lines, "StackFrames").items():
        # Parents are counted from one, as if none were the first.
        outer = stacks.get(_field(row, "parent_frame_id") - 1, ())
        stacks[i] = (locations[_field(row, "file_location_id")], *outer)
    return stacks


def _table(lines: list[str], title: str) -> dict[int, str]:
    rows: dict[int, str] = {}
    if title in lines:
        for line in lines[lines.index(title) + 1 :]:
            if not (match := _TABLE_ROW.match(line)):
                break
            rows[int(match.group(1))] = match.group(2)
    return rows


def _field(row: str, name: str) -> int:
    match = re.search(rf"{name}=(\d+)", row)
    return int(match.group(1)) if match else 0
