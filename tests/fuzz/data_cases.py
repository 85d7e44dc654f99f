"""Damages one file of labelled structures, reads it, and compares with what stands in it."""

import functools
import pathlib
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from equipot.data import config as data_config
from equipot.data import readers, structure
from tests.fuzz import data_files, harness, independent, mutations

_MIGHT_FAIL = (ValueError, LookupError, TypeError, OSError, EOFError, SyntaxError, AssertionError)
_MIGHT_FAIL += (AttributeError, ArithmeticError)


def subjects() -> list[str]:
    """Names of the files that can be damaged."""
    return list(_files())


def attempt(subject: str, seed: int) -> harness.Outcome:
    """Damages a file and reads it.

    Args:
      subject: One of ``subjects``.
      seed: Decides the damage.
    """
    source = _files()[subject]
    rng = np.random.default_rng([seed, list(_files()).index(subject)])
    chosen = sorted(source.contents)[int(rng.integers(len(source.contents)))]
    damaged, damage = mutations.mutate(source.contents[chosen], rng)
    contents = dict(source.contents) | {chosen: damaged}
    if len(contents) > 1:
        damage = f"{chosen}: {damage}"
        if rng.random() < 0.1:
            del contents[chosen]
            damage = f"{chosen} taken out"
    folder = pathlib.Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        for name, data in contents.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        read = functools.partial(_read, folder / source.name, subject, source, contents)
        return harness.judge(subject, seed, damage, read, [source.name])
    finally:
        shutil.rmtree(folder)


@functools.cache
def _files() -> dict[str, data_files.DataFile]:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        return data_files.make_files(pathlib.Path(folder))


def _read(
    path: pathlib.Path,
    subject: str,
    source: data_files.DataFile,
    contents: Mapping[str, bytes],
) -> str:
    config = data_config.DataConfig(train="unused", cache=False, **source.settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ASE
        found = readers.read_file(path, config).structures
    if any(not np.isfinite(s.positions).all() for s in found):
        return "positions are not finite"
    if subject not in independent.READERS:
        return _known_bytes(found, next(iter(contents.values()))) if subject == "traj" else ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = independent.READERS[subject](contents)
        except _MIGHT_FAIL as error:
            return f"was read although it is none: {type(error).__name__}: {error}"
    return _differences(found, expected)


def _known_bytes(found: Sequence[structure.Structure], data: bytes) -> str:
    """A trajectory holds arrays as they lie in memory; all frames must be there."""
    if len(found) != data_files.NUM_FRAMES:
        return f"{len(found)} frames, expected {data_files.NUM_FRAMES}"
    for index, item in enumerate(found):
        for array, weight in ((item.positions, 1.0), (item.forces, item.forces_weight)):
            if weight and array.tobytes() not in data:
                return f"frame {index} has numbers that are not in the file"
    return ""


def _differences(
    found: Sequence[structure.Structure], expected: Sequence[independent.Frame]
) -> str:
    if len(found) != len(expected):
        return f"{len(found)} frames, expected {len(expected)}"
    for index, (item, frame) in enumerate(zip(found, expected, strict=True)):
        labels: dict[str, Any] = {"positions": item.positions, "numbers": item.atomic_numbers}
        if "cell" in frame:
            labels["cell"] = item.cell
        for name in ("energy", "forces"):
            if (getattr(item, f"{name}_weight") > 0.0) != (name in frame):
                return f"frame {index}: {name} is {'not ' * (name in frame)}read"
            if name in frame:
                labels[name] = getattr(item, name)
        for name, value in labels.items():
            other = np.asarray(frame[name], np.float64)
            if name == "numbers" and np.shape(value) == other.shape:
                other = np.where(other == 0, value, other)
            if value is None or np.shape(value) != other.shape:
                return f"frame {index}: {name} has shape {np.shape(value)}, expected {other.shape}"
            if not np.allclose(value, other, rtol=1e-7, atol=1e-9):
                return f"frame {index}: {name} is {value}, expected {other}"
    return ""
