"""Damages the bytes of a file in one of many ways, chosen by a generator of random numbers.

``mutate`` looks at what it is given: text loses lines and has its numbers replaced, JSON has its
values replaced in place, an npy array its header or its entries, and what is packed (gz, xz, bz2,
zip) is damaged either as it lies on the disk or inside, packed again with the right checksums. The
same bytes and the same state of the generator give the same damage.
"""

import ast
import bz2
import gzip
import io
import json
import lzma
import re
import warnings
import zipfile
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

Mutated = tuple[bytes, str]
_Item = TypeVar("_Item")

WORDS = ("nan", "inf", "-inf", "1e300", "-1", "0", "0.7", "1e11", "99999999999", "1e-300", "abc")
WORDS += ("T", "", "--5", "1e999", "0x10", "1_0", "2024-01-01", "(1+2j)", "9" * 400)
JSON_VALUES: tuple[Any, ...] = (None, True, -1, 0.5, 1e300, 10**12, "", "abc", [], {}, [[1]])
DTYPES = ("<f4", "<i8", "<c16", "|b1", "<U4", "|S8", "<M8[s]", "|O", ">f8", "<f2")
_NUMBER = re.compile(rb"(?<![\w.])[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?(?![\w.])")
_PAIR = re.compile(rb"[A-Za-z_][\w]*=(?:\"[^\"\n]*\"|[^\s\"]+)")
_NPY = b"\x93NUMPY"
_PACKED: dict[bytes, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes], str]] = {
    b"\x1f\x8b": (gzip.decompress, lambda data: gzip.compress(data, mtime=0), "gz"),
    b"\xfd7zXZ": (lzma.decompress, lzma.compress, "xz"),
    b"BZh": (bz2.decompress, bz2.compress, "bz2"),
}


def mutate(data: bytes, rng: np.random.Generator) -> Mutated:
    """Damages a file once.

    Args:
      data: The whole file, as it should be.
      rng: Decides what is done and where.

    Returns:
      The damaged file, and what was done to it. Now and then the two are equal, as when one line
      was exchanged with another like it.
    """
    for magic, (unpack, pack, name) in _PACKED.items():
        if data.startswith(magic) and rng.random() < 0.5:
            inner, what = mutate(unpack(data), rng)
            return pack(inner), f"inside {name}: {what}"
    if data.startswith(b"PK") and rng.random() < 0.75:
        return _mutate_zip(data, rng)
    if data.startswith(_NPY) and rng.random() < 0.75:
        return _mutate_npy(data, rng)
    if _is_json(data) and rng.random() < 0.7:
        return _mutate_json(data, rng)
    if _is_text(data) and rng.random() < 0.8:
        return _pick(rng, _TEXT)(data, rng)
    return _pick(rng, _BYTES)(data, rng)


def _pick(rng: np.random.Generator, items: Sequence[_Item]) -> _Item:
    return items[int(rng.integers(len(items)))]


def _is_text(data: bytes) -> bool:
    sample = data[:4096]
    return (
        bool(sample) and b"\0" not in sample and sum(32 > b not in (9, 10, 13) for b in sample) == 0
    )


def _is_json(data: bytes) -> bool:
    if not data.lstrip().startswith((b"{", b"[")):
        return False
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


# Bytes


def _flip(data: bytes, rng: np.random.Generator) -> Mutated:
    if not data:
        return b"\xff", "one byte put into an empty file"
    damaged = bytearray(data)
    places = rng.integers(len(data), size=int(rng.integers(1, 4)))
    for place in places:
        damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged), f"a bit flipped at {sorted(places.tolist())}"


def _truncate(data: bytes, rng: np.random.Generator) -> Mutated:
    end = int(rng.integers(len(data) + 1))
    return data[:end], f"cut after {end} of {len(data)} bytes"


def _empty(data: bytes, rng: np.random.Generator) -> Mutated:
    return b"", f"all {len(data)} bytes taken out"


def _zero(data: bytes, rng: np.random.Generator) -> Mutated:
    start, end = _span(len(data), rng)
    return data[:start] + bytes(end - start) + data[end:], f"zeros from {start} to {end}"


def _delete_block(data: bytes, rng: np.random.Generator) -> Mutated:
    start, end = _span(len(data), rng)
    return data[:start] + data[end:], f"bytes {start} to {end} taken out"


def _repeat_block(data: bytes, rng: np.random.Generator) -> Mutated:
    start, end = _span(len(data), rng)
    return data[:end] + data[start:], f"bytes {start} to {end} twice"


def _noise(data: bytes, rng: np.random.Generator) -> Mutated:
    start, end = _span(len(data), rng)
    return data[:start] + rng.bytes(end - start) + data[end:], f"noise from {start} to {end}"


def _append(data: bytes, rng: np.random.Generator) -> Mutated:
    return data + rng.bytes(32), "32 bytes of noise at the end"


def _span(length: int, rng: np.random.Generator) -> tuple[int, int]:
    start = int(rng.integers(length + 1))
    return start, min(length, start + 1 + int(rng.integers(max(1, length // 8))))


_BYTES = (_flip, _flip, _flip, _truncate, _truncate, _empty, _zero, _delete_block)
_BYTES += (_repeat_block, _noise, _append)


# Text


def _with_lines(data: bytes, rng: np.random.Generator, kind: str) -> Mutated:
    lines = data.splitlines(keepends=True) or [b""]
    start = int(rng.integers(len(lines)))
    end = min(len(lines), start + int(rng.integers(1, 6)))
    block = lines[start:end]
    where = f"lines {start + 1} to {end}"
    other = int(rng.integers(len(lines)))
    changed = {
        "delete": (lines[:start] + lines[end:], f"{where} taken out"),
        "repeat": (lines[:end] + lines[start:], f"{where} twice"),
        "blank": ([*lines[:start], b"\n", *lines[start:]], f"a blank line before {start + 1}"),
        "swap": (
            [lines[other] if i == start else lines[start] if i == other else line
             for i, line in enumerate(lines)],
            f"lines {start + 1} and {other + 1} exchanged",
        ),
        "cut": ([*lines[:start], lines[start][:-2]], f"cut within line {start + 1}"),
        "spaces": ([*lines[:start], b"  " + lines[start], *lines[end:]], f"{where} indented, cut"),
        "move": (lines[:start] + lines[end:] + block, f"{where} moved to the end"),
    }  # fmt: skip
    made, what = changed[kind]
    return b"".join(made), what


def _lines(kind: str) -> Callable[[bytes, np.random.Generator], Mutated]:
    return lambda data, rng: _with_lines(data, rng, kind)


def _number(data: bytes, rng: np.random.Generator) -> Mutated:
    found = list(_NUMBER.finditer(data))
    if not found:
        return _flip(data, rng)
    match, word = _pick(rng, found), _pick(rng, WORDS)
    line = data.count(b"\n", 0, match.start()) + 1
    damaged = data[: match.start()] + word.encode() + data[match.end() :]
    return damaged, f"line {line}: {match.group().decode()} became '{word[:20]}'"


def _first_number(data: bytes, rng: np.random.Generator) -> Mutated:
    """Counts stand at the beginning of lines."""
    found = list(re.finditer(rb"(?m)^\s*\d+\s*$", data))
    if not found:
        return _number(data, rng)
    match, word = _pick(rng, found), _pick(rng, WORDS)
    line = data.count(b"\n", 0, match.start()) + 1
    return (
        data[: match.start()] + word.encode() + data[match.end() :],
        f"line {line}: the count {match.group().decode().strip()} became '{word[:20]}'",
    )


def _pair(data: bytes, rng: np.random.Generator) -> Mutated:
    """Of ``key=value`` a second one, one without its value, or one with another value."""
    found = list(_PAIR.finditer(data))
    if not found:
        return _number(data, rng)
    match, word = _pick(rng, found), _pick(rng, WORDS)
    key = match.group().partition(b"=")[0]
    pair, what = {
        0: (match.group() + b" " + key + b"=" + word.encode(), f"a second time, as '{word[:20]}'"),
        1: (key, "without a value"),
        2: (key + b"=" + word.encode(), f"became '{word[:20]}'"),
        3: (b"", "taken out"),
        4: (match.group() + b" " + match.group(), "twice"),
    }[int(rng.integers(5))]
    return data[: match.start()] + pair + data[match.end() :], f"{key.decode()}= {what}"


_TEXT = (*(_lines(k) for k in ("delete", "repeat", "blank", "swap", "cut", "spaces", "move")),)
_TEXT += (_number, _number, _number, _number, _first_number, _pair, _pair)


# JSON


def _mutate_json(data: bytes, rng: np.random.Generator) -> Mutated:
    if rng.random() < 0.05:
        return b"[" * 100_000, "replaced by 100000 brackets"
    root = json.loads(data)
    holders = [h for h in _holders(root) if h]
    if not holders:
        return json.dumps(_pick(rng, JSON_VALUES)).encode(), "replaced as a whole"
    holder = _pick(rng, holders)
    key = _pick(rng, list(holder) if isinstance(holder, dict) else range(len(holder)))
    kind = int(rng.integers(4))
    if kind == 0:
        del holder[key]
        what = f"'{key}' taken out"
    elif kind == 1 and isinstance(holder, dict):
        holder[f"{key}_"] = holder.pop(key)
        what = f"'{key}' renamed"
    else:
        value = _pick(rng, JSON_VALUES)
        holder[key] = value
        what = f"'{key}' became {value!r}"
    return json.dumps(root).encode(), what


def _holders(value: Any) -> list[Any]:
    if not isinstance(value, dict | list):
        return []
    inner = value.values() if isinstance(value, dict) else value
    return [value, *(holder for item in inner for holder in _holders(item))]


# npy and zip


def _mutate_npy(data: bytes, rng: np.random.Generator) -> Mutated:
    header, length, end = _npy_header(data)
    if header is None or rng.random() < 0.1:
        return _pick(rng, _BYTES)(data, rng)
    if rng.random() < 0.5:
        return _mutate_entries(data, rng)
    key = _pick(rng, ("descr", "shape", "shape", "fortran_order"))
    value = {
        "descr": _pick(
            rng, ("<f4", "<i8", "<c16", "|b1", "<U4", "|S8", "<M8[s]", "|O", ">f8", "<f2")
        ),
        "shape": _pick(rng, ((10**12,), (0,), (3, 10**9), (), (-1,), (1,), header["shape"][::-1])),
        "fortran_order": True,
    }[key]
    written = repr(header | {key: value}).encode("latin-1")
    written = written.ljust(length - 1)[: max(length - 1, len(written))] + b"\n"
    start = data[:8] + len(written).to_bytes(2 if data[6] == 1 else 4, "little")
    return start + written + data[end:], f"{key} of the array became {value!r}"


def _npy_header(data: bytes) -> tuple[dict[str, Any] | None, int, int]:
    size = 2 if data[6:7] == b"\x01" else 4
    length = int.from_bytes(data[8 : 8 + size], "little")
    end = 8 + size + length
    try:
        return ast.literal_eval(data[8 + size : end].decode("latin-1").strip()), length, end
    except (ValueError, SyntaxError):
        return None, length, end


def _mutate_entries(data: bytes, rng: np.random.Generator) -> Mutated:
    """Another entry, another type, or another shape, in a file that is a sound array again."""
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError):
        return _flip(data, rng)
    kind = int(rng.integers(5))
    if kind == 0 and array.ndim:
        array, what = array[: int(rng.integers(len(array) + 1))], "shortened"
    elif kind == 1:
        array, what = array.reshape(-1), "made flat"
    elif kind == 2 and array.dtype.kind in "fiu":
        dtype = _pick(rng, ("c16", "U12", "S12", "f4", "f2", "i4", "u1", "bool", "M8[s]", "f8"))
        with np.errstate(all="ignore"):
            array, what = array.astype(dtype), f"cast to {dtype}"
    elif array.size and array.dtype.kind == "f":
        value = _pick(rng, (np.nan, np.inf, 1e300, -1.0, 0.7, 0.0, 1e-300))
        array = array.copy()
        with np.errstate(all="ignore"):
            array.flat[int(rng.integers(array.size))] = value
        what = f"an entry became {value}"
    elif array.size and array.dtype.kind in "iu":
        value = int(_pick(rng, (0, 1, 119, 100, 127)))
        array = array.copy()
        array.flat[int(rng.integers(array.size))] = value
        what = f"an entry became {value}"
    else:
        return _flip(data, rng)
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue(), f"the array was {what}"


def _mutate_zip(data: bytes, rng: np.random.Generator) -> Mutated:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
            compression = archive.infolist()[0].compress_type if members else zipfile.ZIP_STORED
    except (zipfile.BadZipFile, OSError):
        return _flip(data, rng)
    if not members:
        return _flip(data, rng)
    name = _pick(rng, list(members))
    kind = int(rng.integers(10))
    extra: list[tuple[str, bytes]] = []
    if kind == 0:
        del members[name]
        what = "taken out"
    elif kind == 1:
        members = {(f"{k}_" if k == name else k): v for k, v in members.items()}
        what = "renamed"
    elif kind == 2:
        extra, what = [(name, mutate(members[name], rng)[0])], "a second time"
    elif kind == 3:
        extra, what = [("../outside.npy", members[name])], "again, as ../outside.npy"
    else:
        members[name], what = mutate(members[name], rng)
    return _zip([*members.items(), *extra], compression), f"{name}: {what}"


def _zip(members: Sequence[tuple[str, bytes]], compression: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that comes twice
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = compression
            archive.writestr(info, content)
    return file.getvalue()
