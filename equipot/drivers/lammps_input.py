"""Input scripts of LAMMPS in which a potential stands where a pair style would.

    pair_style  equipot
    pair_coeff  * * water.equipot O H

LAMMPS itself does not know such a style: the script is run up to these lines, the potential is
attached, and the rest is run.
"""

import dataclasses
import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from equipot import errors

STYLE = "equipot"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Script:
    """A script, cut where the potential is attached.

    Attributes:
      before: Lines before it, with ``pair_style none`` for the style.
      potential: The file or name of the potential.
      elements: Element of each atom type.
      after: Lines after it.
    """

    before: tuple[str, ...]
    potential: str
    elements: tuple[str, ...]
    after: tuple[str, ...]


def read(path: Path) -> Script:
    """Reads a script.

    Raises:
      ConfigError: If it cannot be read, or the two lines are not there once each.
    """
    try:
        lines = _joined(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as failure:
        raise errors.ConfigError(f"{path}: cannot be read: {failure}") from failure
    styles = [i for i, words in _commands(lines) if words[:2] == ["pair_style", STYLE]]
    coefficients = [i for i, words in _commands(lines) if words[0] == "pair_coeff"]
    if len(styles) != 1 or len(coefficients) != 1 or coefficients[0] < styles[0]:
        raise errors.ConfigError(
            f"{path}: expected the lines 'pair_style {STYLE}' and, after it, 'pair_coeff * * "
            f"POTENTIAL ELEMENT …', once each and in this file; received {len(styles)} and "
            f"{len(coefficients)}"
        )
    (style,), (place,) = styles, coefficients
    words = dict(_commands(lines))[place]
    if words[1:3] != ["*", "*"] or len(words) < 5:
        raise errors.ConfigError(
            f"{path}, line {place + 1}: expected 'pair_coeff * * POTENTIAL ELEMENT …' with an "
            f"element for each atom type, received {lines[place].strip()!r}"
        )
    before = [*lines[:style], "pair_style none", *lines[style + 1 : place]]
    return Script(
        before=tuple(before),
        potential=words[3],
        elements=tuple(words[4:]),
        after=tuple(lines[place + 1 :]),
    )


def run(lmp: Any, lines: Sequence[str]) -> None:
    """Runs lines as a file, so that loops and labels among them work."""
    with tempfile.NamedTemporaryFile("w", suffix=".lammps", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        lmp.file(file.name)


def _joined(lines: Sequence[str]) -> list[str]:
    """Lines that go on in the next (``&`` at their end) as one, and empty ones after it."""
    whole, first = list(lines), 0
    for i, line in enumerate(lines[1:], 1):
        if whole[first].rstrip().endswith("&"):
            whole[first] = whole[first].rstrip()[:-1] + line
            whole[i] = ""
        else:
            first = i
    return whole


def _commands(lines: Sequence[str]) -> list[tuple[int, list[str]]]:
    """Number and words of each line that is no comment."""
    found = []
    for i, line in enumerate(lines):
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # a quotation over several lines
            words = line.split()
        if words:
            found.append((i, words))
    return found
