"""Whatever ASE reads, compressed or not, with labels as they stand in the file.

ASE moves labels it recognises from ``info`` and ``arrays`` into a calculator, whose ``get_forces``
zeroes the forces of constrained atoms; so the calculator's results are read, never its methods.
"""

import bz2
import contextlib
import gzip
import lzma
import pathlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ase
import ase.db
import ase.io
import numpy as np
from ase.io.formats import UnknownFileTypeError

from equipot import errors
from equipot.data.formats import frame

KNOWN_KEYS: Mapping[str, frozenset[str]] = {
    "energy": frozenset(
        {"energy", "free_energy", "ref_energy", "dft_energy", "total_energy", "totenergy"}
    ),
    "forces": frozenset({"forces", "force", "ref_forces", "ref_force", "dft_forces", "dft_force"}),
    "stress": frozenset(
        {"stress", "ref_stress", "dft_stress"}
        | {"virial", "virials", "ref_virial", "ref_virials", "dft_virial", "dft_virials"}
    ),
}
UNIT_KEYS: Mapping[str, tuple[str, ...]] = {
    "energy": ("energy_unit",),
    "length": ("length_unit", "positions_unit"),
    "forces": ("forces_unit",),
    "stress": ("stress_unit",),
}
_DATABASES = frozenset({"db", "json"})
_OPENERS = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
_PARSE_ERRORS = (
    UnknownFileTypeError,
    OSError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    StopIteration,
    RuntimeError,
    lzma.LZMAError,
    sqlite3.Error,
)


def read(path: pathlib.Path, ase_format: str | None = None) -> frame.FrameFile:
    """Reads every frame of a file.

    Args:
      path: A file ASE reads; may end in .gz, .xz or .bz2.
      ase_format: ASE's name of the format; None lets ASE guess.

    Raises:
      DataError: If ASE cannot read it, or a key has two values in one frame.
    """
    images = read_images(path, ase_format)
    frames = [_frame(atoms, f"frame {index}", path.name) for index, atoms in enumerate(images)]
    return frame.FrameFile(
        frames=frames, known_keys=KNOWN_KEYS, stated_units=_stated_units(frames, path.name)
    )


def read_images(path: pathlib.Path, ase_format: str | None = None) -> list[ase.Atoms]:
    """Reads every frame of a file as ASE gives it.

    Args:
      path: A file ASE reads; may end in .gz, .xz or .bz2.
      ase_format: ASE's name of the format; None lets ASE guess.

    Raises:
      DataError: If ASE cannot read it.
    """
    try:
        with _plain_file(path) as plain:
            return _read_images(plain, ase_format)
    except _PARSE_ERRORS as error:
        raise errors.DataError(
            f"{path}: ASE could not read it as {ase_format or 'a format guessed from its name'}: "
            f"{type(error).__name__}: {error}. Mend the file or set data.format"
        ) from error


@contextlib.contextmanager
def _plain_file(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields the file itself, or a decompressed copy; ASE seeks back in an .xz, which is slow."""
    opener = _OPENERS.get(path.suffix)
    if opener is None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="equipot-") as folder:
        plain = pathlib.Path(folder) / path.stem
        with opener(path, "rb") as source, plain.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        yield plain


def _read_images(path: pathlib.Path, ase_format: str | None) -> list[ase.Atoms]:
    if ase_format in _DATABASES or (ase_format is None and path.suffix in (".db", ".json")):
        # ase.io.read leaves out the keys a user has given the rows.
        rows = ase.db.connect(path, serial=True).select()
        return [row.toatoms(add_additional_information=True) for row in rows]
    images = ase.io.read(path, index=":", format=ase_format)
    return [images] if isinstance(images, ase.Atoms) else images


def _frame(atoms: ase.Atoms, where: str, name: str) -> frame.Frame:
    return frame.Frame(
        atomic_numbers=atoms.numbers,
        positions=atoms.positions,
        cell=np.array(atoms.cell),
        pbc=np.array(atoms.pbc),
        values=_values(atoms, f"{name}, {where}"),
        where=where,
    )


def _values(atoms: ase.Atoms, where: str) -> dict[str, Any]:
    """Everything the frame holds beside its geometry, by key."""
    arrays = {k: v for k, v in atoms.arrays.items() if k not in ("numbers", "positions")}
    info = dict(atoms.info)
    # ASE's databases keep a user's keys one level down.
    nested = [k for k in ("key_value_pairs", "data") if isinstance(info.get(k), Mapping)]
    stored = [info.pop(key) for key in nested]
    results = getattr(atoms.calc, "results", {})
    values: dict[str, Any] = {}
    for source in (info, *stored, arrays, results):
        for key, value in source.items():
            if key in values and not _equal(values[key], value):
                raise errors.DataError(
                    f"{where}: '{key}' stands there twice, in info or arrays and in the results of "
                    f"a calculator, with different values; rename one, and name the right one in "
                    f"data.*_key"
                )
            if value is not None:
                values[key] = value
    return values


def _equal(first: Any, second: Any) -> bool:
    return bool(np.array_equal(np.asarray(first), np.asarray(second)))


def _stated_units(frames: Sequence[frame.Frame], name: str) -> dict[str, str]:
    """Units that the frames themselves name, as in ``forces_unit=eV/A``."""
    stated: dict[str, str] = {}
    for quantity, keys in UNIT_KEYS.items():
        found = {str(f.values[key]) for f in frames for key in keys if key in f.values}
        if len(found) > 1:
            raise errors.DataError(
                f"{name}: its frames name different units of {quantity}: "
                f"{', '.join(sorted(found))}; convert them to one"
            )
        if found:
            stated[quantity] = found.pop()
    return stated
