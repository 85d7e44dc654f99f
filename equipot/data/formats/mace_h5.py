"""HDF5 files of mace-torch, as its ``mace_prepare_data`` writes them, and folders of such files."""

import importlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from equipot import errors
from equipot.data import numbers as data_numbers
from equipot.data.formats import frame

KNOWN_KEYS: Mapping[str, frozenset[str]] = {
    "energy": frozenset({"energy"}),
    "forces": frozenset({"forces"}),
    "stress": frozenset({"stress", "virials"}),
}
ENDINGS = frozenset({".h5", ".hdf5"})
_ABSENT = b"None"


def is_h5(path: pathlib.Path) -> bool:
    """Whether a file, or the first file of a folder, is named as HDF5."""
    if path.is_dir():
        return any(own.suffix in ENDINGS for own in path.iterdir())
    return path.suffix in ENDINGS


def read(path: pathlib.Path) -> frame.FrameFile:
    """Reads every configuration of a file, or of all files of a folder by name.

    Args:
      path: The file or folder.

    Raises:
      DataError: If h5py is not installed, or it is no such file.
    """
    return _content(list(_frames(path)))


def blocks(path: pathlib.Path, size: int) -> Iterator[frame.FrameFile]:
    """Reads so many configurations at a time.

    Args:
      path: The file or folder.
      size: How many.

    Raises:
      DataError: As ``read`` does.
    """
    found: list[frame.Frame] = []
    for one in _frames(path):
        found.append(one)
        if len(found) == size:
            yield _content(found)
            found = []
    if found:
        yield _content(found)


def _content(frames: list[frame.Frame]) -> frame.FrameFile:
    return frame.FrameFile(frames=frames, known_keys=KNOWN_KEYS, stated_units={})


def _frames(path: pathlib.Path) -> Iterator[frame.Frame]:
    try:
        h5py: Any = importlib.import_module("h5py")
    except ImportError:
        raise errors.DataError(
            f"{path}: is read with h5py, which is not installed; pip install h5py, or"
            " pip install 'equipot[h5]'"
        ) from None
    files = [path]
    if path.is_dir():
        files = sorted((p for p in path.iterdir() if p.suffix in ENDINGS), key=_natural)
    index = 0
    for own in files:
        try:
            with h5py.File(own, "r") as opened:
                for place, group in _configurations(own, opened):
                    where = f"frame {index}" if path.is_file() else f"{own.name}, {place}"
                    yield _frame(group, f"{own.name}, {place}", where)
                    index += 1
        except (OSError, KeyError, RuntimeError) as error:
            raise errors.DataError(
                f"{own}: could not be read as HDF5 of mace_prepare_data"
                f" ({errors.brief(error)}); it is damaged or of another program, make it again"
            ) from error


def _configurations(path: pathlib.Path, opened: Any) -> Iterator[tuple[str, Any]]:
    """Groups of single configurations, in order.

    Raises:
      DataError: If there are none.
    """
    batches = sorted((k for k in opened if k.startswith("config_batch_")), key=_number)
    if not batches:
        raise errors.DataError(
            f"{path.name}: expected groups config_batch_0, … as mace_prepare_data writes them,"
            f" found {', '.join(list(opened)[:5]) or 'nothing'}"
        )
    for batch in batches:
        for name in sorted(opened[batch], key=_number):
            yield f"{batch}/{name}", opened[batch][name]


def _frame(group: Any, place: str, where: str) -> frame.Frame:
    values = {
        key: value
        for key in group["properties"]
        if (value := _value(group["properties"][key])) is not None
        and _weight(group, key, place) > 0.0
    }
    for key in ("config_type", "weight", "head"):
        value = _value(group[key]) if key in group else values.pop(key, None)
        unset = "Default" if key == "config_type" else ""
        if value not in (None, "", unset):
            values[key] = value
    cell, pbc = _value(group["cell"]), _value(group["pbc"])
    return frame.Frame(
        atomic_numbers=data_numbers.whole(group["atomic_numbers"][()], "atomic numbers", place),
        positions=group["positions"][()],
        cell=np.zeros((3, 3)) if cell is None else np.asarray(cell),
        pbc=np.zeros(3, bool) if pbc is None else np.asarray(pbc, bool),
        values=values,
        where=where,
    )


def _weight(group: Any, key: str, place: str) -> float:
    """0 or 1; of a label that has no weight 1."""
    weights = group["property_weights"] if "property_weights" in group else {}
    weight = float(weights[key][()]) if key in weights else 1.0
    if weight not in (0.0, 1.0):
        raise errors.DataError(
            f"{place}: the weight of '{key}' is {weight:g}, expected 0 or 1; give each frame one"
            " weight for all labels (config_weight of mace_prepare_data, data.weight_key=weight)"
        )
    return weight


def _value(dataset: Any) -> Any:
    """An array, a number, or a word; None where mace has none."""
    value = dataset[()]
    if isinstance(value, bytes):
        return None if value == _ABSENT else value.decode("utf-8", "replace")
    return value


def _number(name: str) -> int:
    tail = name.rsplit("_", 1)[-1]
    return int(tail) if tail.isdigit() else -1


def _natural(path: pathlib.Path) -> tuple[int, str]:
    return _number(path.stem), path.name
