"""The notation of irreps: "1o" is degree 1 and odd, "16x0e + 1o" a direct sum."""

import re

_IRREP = re.compile(r"\s*(\d+)\s*([eoy])\s*")
_MUL_IRREP = re.compile(r"\s*(?:(\d+)\s*x\s*)?(\d+\s*[eoy])\s*")


def parse_irrep(text: str) -> tuple[int, int]:
    """Degree l and parity p of "1e" (p = 1), "1o" (p = -1) or "1y" (p = (-1)ˡ).

    Raises:
      ValueError: The text is no irrep.
    """
    match = _IRREP.fullmatch(text)
    if match is None:
        raise ValueError(f'unable to convert string "{text}" into an Irrep: write "0e", "1o"')
    l = int(match[1])
    return l, {"e": 1, "o": -1, "y": (-1) ** l}[match[2]]


def parse_irreps(text: str) -> list[tuple[int, tuple[int, int]]]:
    """Multiplicity and (l, p) of each term of "16x0e + 1o"; the empty text has no terms.

    Raises:
      ValueError: A term is no irrep.
    """
    entries = []
    for term in text.split("+") if text.strip() else ():
        match = _MUL_IRREP.fullmatch(term)
        if match is None:
            raise ValueError(
                f'Unable to convert string "{text}" into an Irreps: '
                f'expected terms such as "2x0e", received "{term}"'
            )
        entries.append((int(match[1] or 1), parse_irrep(match[2])))
    return entries
