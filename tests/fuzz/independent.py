"""The numbers that stand in a file, read without any code of the project or of ASE.

Each reader takes the bytes of the files by name and returns a list of frames, in eV and Å; a label
that is not there is absent from the frame. ValueError and its like mean that the file is none.
"""

import bz2
import gzip
import io
import json
import lzma
import pathlib
import re
import shlex
import sqlite3
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Frame = dict[str, Any]
_SYMBOLS = {"H": 1, "C": 6, "N": 7, "O": 8}  # another one is 0, and not compared


def _by_name(files: Mapping[str, bytes]) -> bytes:
    (data,) = files.values()
    return data


def extxyz(files: Mapping[str, bytes]) -> list[Frame]:
    """Frames of extended or plain xyz."""
    lines = _by_name(files).decode().split("\n")
    frames, at = [], 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        count = int(lines[at])
        if at + 2 + count > len(lines):
            raise ValueError("ends early")
        words = shlex.split(lines[at + 1])
        header = dict(word.split("=", 1) for word in words if "=" in word)
        columns = header.get("Properties", "species:S:1:pos:R:3").split(":")
        names = [n for n, k in zip(columns[::3], columns[2::3], strict=True) for _ in range(int(k))]
        rows = [line.split() for line in lines[at + 2 : at + 2 + count]]
        if any(len(row) != len(names) for row in rows):
            raise ValueError("columns")
        table = np.array(rows).reshape(count, len(names))
        numbers = [_SYMBOLS.get(row[names.index("species")].capitalize(), 0) for row in rows]
        frame: Frame = {"numbers": numbers}
        for name, key in (("pos", "positions"), ("forces", "forces")):
            where = [i for i, n in enumerate(names) if n == name]
            if where:
                frame[key] = table[:, where].astype(float)
        if "energy" in header:
            frame["energy"] = float(header["energy"])
        if "Lattice" in header:
            frame["cell"] = np.array(header["Lattice"].split(), float).reshape(3, 3)
        frames.append(frame)
        at += 2 + count
    return frames


def _unpacked(open_: Callable[[bytes], bytes]) -> Callable[[Mapping[str, bytes]], list[Frame]]:
    return lambda files: extxyz({"a": open_(_by_name(files))})


def _npz(numbers: str, positions: str, energies: str, forces: str) -> Any:
    def read(files: Mapping[str, bytes]) -> list[Frame]:
        with np.load(io.BytesIO(_by_name(files)), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files if key.isidentifier()}
        return [
            {"numbers": np.broadcast_to(arrays[numbers], p.shape[:1]), "positions": p}
            | ({"energy": float(np.squeeze(arrays[energies][i]))} if energies in arrays else {})
            | ({"forces": arrays[forces][i]} if forces in arrays else {})
            for i, p in enumerate(arrays[positions])
        ]

    return read


def deepmd(files: Mapping[str, bytes]) -> list[Frame]:
    """Frames of the one set of a system."""

    def array(name: str) -> np.ndarray | None:
        data = files.get(f"system/set.000/{name}.npy")
        return None if data is None else np.load(io.BytesIO(data), allow_pickle=False)

    symbols = files["system/type_map.raw"].decode().split()
    types = [int(word) for word in files["system/type.raw"].decode().split()]
    coord, energy, force, box = (array(n) for n in ("coord", "energy", "force", "box"))
    assert coord is not None
    return [
        {
            "numbers": [_SYMBOLS.get(symbols[t], 0) for t in types],
            "positions": coord[i].reshape(-1, 3),
        }
        | ({} if energy is None else {"energy": float(np.squeeze(energy[i]))})
        | ({} if force is None else {"forces": force[i].reshape(-1, 3)})
        | ({} if box is None else {"cell": box[i].reshape(3, 3)})
        for i in range(len(coord))
    ]


def vasprun(files: Mapping[str, bytes]) -> list[Frame]:
    """Ionic steps of vasprun.xml."""

    def rows(element: ElementTree.Element, path: str) -> np.ndarray:
        return np.array([(v.text or "").split() for v in element.findall(path)], float)

    root = ElementTree.fromstring(_by_name(files))
    numbers = [_SYMBOLS[rc[0].text.strip()] for rc in root.findall(".//array[@name='atoms']//rc")]
    frames: list[Frame] = []
    for step in root.iter("calculation"):
        cell = rows(step, "structure/crystal/varray[@name='basis']/v")
        scaled = rows(step, "structure/varray[@name='positions']/v")
        frame: Frame = {"numbers": numbers, "cell": cell, "positions": scaled @ cell}
        forces = rows(step, "varray[@name='forces']/v")
        frame["energy"] = float(step.find("energy/i[@name='e_fr_energy']").text)
        frames.append(frame | ({"forces": forces} if len(forces) else {}))
    return frames


def outcar(files: Mapping[str, bytes]) -> list[Frame]:
    """Ionic steps of an OUTCAR."""
    text = _by_name(files).decode(errors="replace")
    types = re.findall(r"POTCAR:\s+\S+ ([A-Z][a-z]?)", text)[: len(_SYMBOLS) - 1]
    (counts,) = set(re.findall(r"ions per type =(.*)", text))
    numbers = [
        _SYMBOLS[s] for s, n in zip(types, counts.split(), strict=True) for _ in range(int(n))
    ]
    blocks = [_rows_of_six(rest) for rest in re.split(r"POSITION +TOTAL-FORCE.*\n.*\n", text)[1:]]
    energies = re.findall(r"FREE ENERGIE.*\n.*\n.* TOTEN  =\s*(\S+)", text)
    frames = []
    for block, energy in zip(blocks, energies, strict=True):
        rows = np.array(block)
        frames.append(
            {
                "numbers": numbers,
                "positions": rows[:, :3],
                "forces": rows[:, 3:],
                "energy": float(energy),
            }
        )
    return frames


def _rows_of_six(text: str) -> list[list[float]]:
    rows = []
    for line in text.splitlines():
        words = re.sub(r"(?<=\d)-(?=\d)", " -", line).split()
        if len(words) != 6 or line.startswith(" ---"):
            break
        rows.append([float(word.replace("_", "x")) for word in words])
    return rows


def db(files: Mapping[str, bytes]) -> list[Frame]:
    """Rows of ASE's database in SQLite."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "a.db"
        path.write_bytes(_by_name(files))
        connection = sqlite3.connect(path)
        try:
            rows = list(
                connection.execute("SELECT numbers, positions, energy, forces, cell FROM systems")
            )
        finally:
            connection.close()
    return [
        {
            "numbers": np.frombuffer(numbers, np.int32),
            "positions": np.frombuffer(positions).reshape(-1, 3),
            "cell": np.frombuffer(cell).reshape(3, 3),
        }
        | ({} if energy is None else {"energy": energy})
        | ({} if forces is None else {"forces": np.frombuffer(forces).reshape(-1, 3)})
        for numbers, positions, energy, forces, cell in rows
    ]


def json_rows(files: Mapping[str, bytes]) -> list[Frame]:
    """Rows of ASE's database in JSON."""

    def array(value: Any) -> np.ndarray:
        if isinstance(value, dict):
            shape, dtype, entries = value.get("__ndarray__") or value["array"]["__ndarray__"]
            return np.array(entries, dtype).reshape(shape)
        return np.array(value)

    content = json.loads(_by_name(files))
    rows = [value for key, value in sorted(content.items()) if key.isdigit()]
    return [
        {"numbers": array(row["numbers"]), "positions": array(row["positions"])}
        | ({"energy": row["energy"]} if row.get("energy") is not None else {})
        | ({"forces": array(row["forces"])} if row.get("forces") is not None else {})
        for row in rows
    ]


READERS: Mapping[str, Callable[[Mapping[str, bytes]], list[Frame]]] = {
    "extxyz": extxyz,
    "xyz": extxyz,
    "extxyz.gz": _unpacked(gzip.decompress),
    "extxyz.xz": _unpacked(lzma.decompress),
    "extxyz.bz2": _unpacked(bz2.decompress),
    "rmd17": _npz("nuclear_charges", "coords", "energies", "forces"),
    "sgdml": _npz("z", "R", "E", "F"),
    "deepmd": deepmd,
    "vasprun": vasprun,
    "outcar": outcar,
    "db": db,
    "json": json_rows,
}
