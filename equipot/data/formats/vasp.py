"""VASP's OUTCAR and vasprun.xml, looked through before ASE reads them.

ASE leaves out steps of a file that was cut short, and fills rows that are not there with zeros.
"""

import collections
import math
import pathlib
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping

from equipot import errors

_CUT = "the run was killed or the file is damaged"
_GLUED = re.compile(r"(?<=\d)-(?=\d)")  # Fortran prints no space before a wide negative number
_ENERGY = "FREE ENERGIE OF THE ION-ELECTRON SYSTEM"
_FORCES = re.compile(r"^\s*POSITION\s+TOTAL-FORCE")
_IONS = re.compile(r"\bNIONS =\s*(\d{1,9})\s*$")


def check_xml(path: pathlib.Path, name: str) -> int:
    """Counts the steps of a vasprun.xml; stops where it ends early or arrays lack numbers.

    Raises:
      DataError: With the number of the step.
    """
    count, step = 0, 0
    try:
        for _, element in ElementTree.iterparse(path):
            if element.tag == "atominfo":
                rows = element.find("array[@name='atoms']/set")
                count = 0 if rows is None else len(rows)
            elif element.tag == "calculation":
                _check_step(element, count, f"{name}, step {step}")
                step += 1
                element.clear()
    except ElementTree.ParseError as error:
        raise errors.DataError(
            f"{name}: is no whole XML after {step} ionic steps ({errors.brief(error)});"
            f" {_CUT}. To use these steps, end the file after their last </calculation> with"
            " </modeling>"
        ) from error
    if not step:
        raise errors.DataError(f"{name}: holds no ionic step with energies; {_CUT}")
    return step


def _check_step(step: ElementTree.Element, count: int, where: str) -> None:
    for name, rows in (
        ("structure/crystal/varray[@name='basis']", 3),
        ("structure/varray[@name='positions']", count),
        ("varray[@name='forces']", count),
        ("varray[@name='stress']", 3),
    ):
        arrays = step.findall(name)
        if not arrays and name.startswith("structure"):
            raise errors.DataError(f"{where}: has no {name}; take the step out of the file")
        if not arrays:
            continue
        array = arrays[0]
        sound = len(arrays) == 1 and len(array) == rows
        sound = sound and all(_numbers(v.text or "", 3) for v in array)
        if not sound:
            raise errors.DataError(
                f"{where}: expected {array.attrib['name']} once, {rows} rows of three numbers; "
                f"take the step out of the file"
            )
    energies = [e.text or "" for e in step.findall("energy/i[@name='e_fr_energy']")]
    if len(energies) != 1 or not _numbers(energies[0], 1):
        raise errors.DataError(
            f"{where}: expected one energy e_fr_energy; take the step out of the file"
        )


def check_outcar(path: pathlib.Path, name: str) -> int:
    """Counts the steps of an OUTCAR; stops where they are not whole.

    Raises:
      DataError: With the number of the step and the line.
    """
    with path.open(encoding="utf-8", errors="replace") as file:
        lines = iter(enumerate(file, 1))
        found: collections.Counter[str] = collections.Counter()
        ions = 0
        for number, line in lines:
            where = f"{name}, step {found['energies']}, line {number}"
            if "ions per type" in line:
                ions = _check_ions(ions, line, where)
            elif (match := _IONS.search(line)) is not None:
                ions = int(match.group(1))
            elif "direct lattice vectors" in line:
                _check_rows(lines, 3, 6, where)
            elif "in kB " in line and not _numbers(line.partition("in kB ")[2], 6):
                raise errors.DataError(f"{where}: expected six numbers after 'in kB'; {_CUT}")
            elif _FORCES.match(line):
                found["forces"] += 1
                _check_next(lines, "-----", where)
                _check_rows(lines, ions, 6, where)
                _check_next(lines, "-----", where)
            elif _ENERGY in line:
                found["energies"] += 1
                _check_energy(lines, where)
    if not found["energies"] or found["forces"] != found["energies"]:
        raise errors.DataError(
            f"{name}: holds {found['forces']} blocks of positions and forces, but "
            f"{found['energies']} of energies, expected one of each for every ionic step; {_CUT}. "
            f"To use the whole steps, end the file after the last of them"
        )
    return found["energies"]


def _check_ions(ions: int, line: str, where: str) -> int:
    words = line.partition("=")[2].split()
    if (
        not ions
        or not all(w.isdigit() and len(w) < 10 for w in words)
        or ions != sum(map(int, words))
    ):
        raise errors.DataError(
            f"{where}: expected the ions of each type, {ions} in all as NIONS says, found "
            f"{line.strip()[:80]!r}; mend the file"
        )
    return ions


def _check_rows(lines: Iterator[tuple[int, str]], rows: int, columns: int, where: str) -> None:
    for _ in range(rows):
        number, line = next(lines, (0, ""))
        if not _numbers(line, columns):
            at = f"line {number} is {line.strip()[:60]!r}" if number else "the file ends"
            raise errors.DataError(
                f"{where}: expected {rows} rows of {columns} numbers to follow, but {at}; {_CUT}"
            )


def _check_energy(lines: Iterator[tuple[int, str]], where: str) -> None:
    """Two of the four lines that follow hold the free energy, and that for zero smearing."""
    for expected in ("", "TOTEN  =", "", "energy(sigma->0) ="):
        line = _check_next(lines, expected, where)
        number = line.partition(expected)[2].removesuffix("eV\n") if expected else "0"
        if _GLUED.search(number) or not _numbers(number, 1):
            raise errors.DataError(
                f"{where}: expected one number after '{expected}', found {number.strip()[:40]!r}; "
                f"{_CUT}"
            )


def _check_next(lines: Iterator[tuple[int, str]], expected: str, where: str) -> str:
    _, line = next(lines, (0, ""))
    if not line or expected not in line:
        raise errors.DataError(f"{where}: expected a line with '{expected}' after it; {_CUT}")
    return line


def _numbers(text: str, count: int) -> bool:
    """Whether a text is so many finite numbers."""
    words = _GLUED.sub(" -", text).split()
    try:
        return (
            "_" not in text
            and len(words) == count
            and all(math.isfinite(float(word)) for word in words)
        )
    except ValueError:
        return False


CHECKS: Mapping[str, Callable[[pathlib.Path, str], int]] = {
    "vasp-xml": check_xml,
    "vasp-out": check_outcar,
}
