"""The comment line of extended xyz: ``key=value`` pairs with the types that ASE gives them.

Beyond ASE's own parser, which it follows in everything else: six numbers make a stress or virial
(xx yy zz yz xz xy), and a key that stands twice with different values, or a quote that is opened
before a value or another key and never closed, is an error instead of a value that is lost.

Reference: https://github.com/libAtoms/extxyz
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

_CLOSING = {"'": "'", '"': '"', "{": "}", "[": "]"}
_MATRICES = frozenset({"Lattice", "virial", "stress"})
_TEXTS = frozenset({"uid", "Properties"})
_LOGICAL = {"T": True, "true": True, "True": True, "TRUE": True}
_LOGICAL |= {"F": False, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?\d+", re.ASCII)
_WORD = r"[^\s=\"'{}\[\]\\]+"
_PAIR = re.compile(rf'({_WORD})=(?:"([^"\\]+)"|({_WORD}))')
_SIMPLE = re.compile(rf'(?:{_WORD}=(?:"[^"\\]+"|{_WORD})\s+)*')
_VOIGT = ((0, 5, 4), (5, 1, 3), (4, 3, 2))  # place of each entry of a matrix among the six


def parse(line: str) -> dict[str, Any]:
    """Returns what a comment line holds; a word without a value is True.

    Raises:
      ValueError: With a sentence on what is wrong with the line.
    """
    found: dict[str, Any] = {}
    for key, text in _pairs(line.strip()):
        value = _value(key, text)
        if key in found and not _equal(found[key], value):
            raise ValueError(
                f"its header has '{key}' twice, once as {_brief(found[key])} and once as "
                f"{_brief(value)}; take one out"
            )
        found[key] = value
    return found


def _pairs(line: str) -> Iterator[tuple[str, str]]:
    """Keys and texts of the values, quickly where nothing but quotes needs a closer look."""
    if _SIMPLE.fullmatch(f"{line} "):
        for key, quoted, plain in _PAIR.findall(line):
            yield key, quoted or plain
        return
    yield from _pairs_by_letter(line)


def _pairs_by_letter(line: str) -> Iterator[tuple[str, str]]:
    """Splits at white space outside quotes and brackets; signs of equality may stand apart."""
    entries: list[list[list[str]]] = [[[]]]
    closing, opened_at, escaped, is_apart = "", 0, False, False
    for place, char in enumerate(line):
        word = entries[-1][-1]
        if escaped:
            word.append(char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif closing:
            if char == closing:
                closing = ""
            else:
                word.append(char)
        elif char in _CLOSING:
            closing, opened_at = _CLOSING[char], place
        elif char.isspace():
            is_apart = not word and len(entries[-1]) > 1  # the value follows after a space
            if word:
                entries.append([[]])
        elif char == "=":
            if entries[-1] == [[]] and len(entries) > 1:
                del entries[-1]
                is_apart = len(entries[-1]) > 1
            if is_apart and len(entries[-1]) > 1 and entries[-1][-1]:
                key, value = ("".join(part) for part in (entries[-1][0], entries[-1][-1]))
                raise ValueError(
                    f"its header has '{key}=' without a value before '{value}='; give it one, or "
                    f"take it out"
                )
            entries[-1].append([])
        else:
            word.append(char)
    prose = closing == "'" and "=" not in line[max(0, opened_at - 1) :]  # an apostrophe
    if closing and "=" in line and not prose:
        raise ValueError(
            f"its header opens {line[opened_at]} before {line[opened_at + 1 :][:30]!r} and never "
            f"closes it; close it"
        )
    for entry in entries:
        key, *values = ("".join(word) for word in entry)
        if entry != [[]]:
            yield key, "=".join(values) if values else "T"


def _value(key: str, text: str) -> Any:
    """Whole numbers, else real ones, else logical ones, else JSON, else the text itself."""
    if key in _TEXTS:
        return text
    words = re.findall(r"[^\s,]+", text)
    number = _numbers(words)
    if key in _MATRICES:
        return _matrix(key, number, text)
    if number is not None:
        return number[0] if len(number) == 1 else number
    if all(word in _LOGICAL for word in words):
        logical = [_LOGICAL[word] for word in words]
        return logical[0] if len(logical) == 1 else logical
    return _json(key, text.removeprefix("_JSON ")) if text.startswith("_JSON ") else text


def _numbers(words: list[str]) -> np.ndarray | None:
    """Whole numbers where all are and fit, else real ones; None where one is no number."""
    if any("_" in word for word in words):
        return None  # Python would take 1_0 for 10
    try:
        if all(_INTEGER.fullmatch(word) and len(word) < 19 for word in words):
            return np.array(words, np.int64)
        return np.array([float(word) for word in words])
    except ValueError:
        return None


def _matrix(key: str, number: np.ndarray | None, text: str) -> np.ndarray:
    if number is not None and number.size == 9:
        return number.reshape((3, 3), order="F")
    if number is not None and number.size == 6 and key != "Lattice":
        return number[np.array(_VOIGT)]
    many = "9 numbers" if key == "Lattice" else "9 numbers, or 6 (xx yy zz yz xz xy)"
    raise ValueError(f"its header has {key}={text[:60]!r}, expected {many}")


def _json(key: str, text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"its header has {key} as JSON that cannot be read: {text[:60]}") from None
    try:
        array = np.array(value)
    except ValueError:
        return value  # rows of different lengths
    return array if array.dtype.kind in "ifb" else value


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, dict | str) or isinstance(second, dict | str):
        return bool(first == second) if type(first) is type(second) else False
    a, b = np.asarray(first), np.asarray(second)
    return a.dtype == b.dtype and np.array_equal(a, b)


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
