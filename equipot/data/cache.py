"""Structures of slow files on disk, as plain arrays, so that the next run need not parse again.

One npz per (contents of the file, settings that shape the result). Written beside its place and
moved there, so that a killed run leaves nothing half-written. Only files that took long are kept,
and only the latest few.
"""

import hashlib
import json
import pathlib
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from equipot import errors, files
from equipot.data import config as data_config
from equipot.data import contents, paths, structure
from equipot.quantities import DERIVED, Label

VERSION = 4  # raise when the reading of any format changes
WORTHWHILE_SECONDS = 2.0
MAX_FILES = 32
_OWN = re.compile("[0-9a-f]{64}")  # names of files; users may keep others beside them
_DAMAGE = (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, RuntimeError)
_DAMAGE += (MemoryError, OverflowError, zipfile.BadZipFile, zlib.error)
_OTHER = "others/"  # begins the names of arrays of declared quantities
_SCALARS = ("energy", *(f"{name}_weight" for name in DERIVED), "charge")


def key(path: pathlib.Path, config: data_config.DataConfig) -> str:
    """Name of the cache file for a structure file: a digest of its contents and of the settings."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    said = [VERSION, path.name, config.of_reading()]
    digest.update(json.dumps(said, sort_keys=True).encode())
    return digest.hexdigest()


def load(digest: str) -> contents.FileContents | None:
    """Returns what was saved under a digest, or None where nothing usable is."""
    path = paths.cache_folder() / f"{digest}.npz"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return _unpack(dict(archive))
    except _DAMAGE:
        return None  # absent, or damaged: the file itself is read, and the cache written anew


def save(digest: str, made: contents.FileContents) -> bool:
    """Saves what a file gave; returns False where the folder cannot be written."""
    folder = paths.cache_folder()
    try:
        with files.whole(folder / f"{digest}.npz") as draft:
            np.savez(draft, allow_pickle=False, **_pack(made))
        _prune(folder)
    except (OSError, errors.DataError):
        return False
    return True


def _prune(folder: pathlib.Path) -> None:
    own = [path for path in folder.glob("*.npz") if _OWN.fullmatch(path.stem)]
    newest_last = sorted(own, key=lambda p: p.stat().st_mtime)
    for old in newest_last[:-MAX_FILES]:
        old.unlink(missing_ok=True)


def _pack(made: contents.FileContents) -> dict[str, np.ndarray]:
    items = made.structures
    texts = {
        "sources": [s.source for s in items],
        "groups": [s.group for s in items],
        "heads": [s.head for s in items],
        "isolated_atoms": {str(z): energy for z, energy in made.isolated_atoms.items()},
        "isolated_by_head": {
            head: {str(z): energy for z, energy in energies.items()}
            for head, energies in made.isolated_by_head.items()
        },
        "found": made.found,
        "keys_present": made.keys_present,
        "length_unit_given": made.length_unit_given,
        "units_given": made.units_given,
    }
    return {
        "n_node": np.array([len(s.positions) for s in items], np.int64),
        "positions": np.concatenate([np.zeros((0, 3)), *(s.positions for s in items)]),
        "forces": np.concatenate([np.zeros((0, 3)), *(s.forces for s in items)]),
        "atomic_numbers": np.concatenate(
            [np.zeros(0, np.int64), *(s.atomic_numbers for s in items)]
        ),
        "cell": np.array([s.cell for s in items]).reshape(-1, 3, 3),
        "pbc": np.array([s.pbc for s in items], bool).reshape(-1, 3),
        "stress": np.array([s.stress for s in items]).reshape(-1, 3, 3),
        "scalars": np.array([[getattr(s, n) for n in _SCALARS] for s in items], np.float64),
        "texts": np.array(json.dumps(texts)),
        **_pack_others(items),
    }


def _pack_others(items: Sequence[structure.Structure]) -> dict[str, np.ndarray]:
    """Labels of declared quantities: those that there are, whose they are, and their weights."""
    packed: dict[str, np.ndarray] = {}
    for name in dict.fromkeys(name for item in items for name in item.others):
        owners = [i for i, item in enumerate(items) if name in item.others]
        found = [items[i].others[name] for i in owners]
        shapes = [np.shape(label.value) for label in found]
        packed |= {
            f"{_OTHER}{name}/owners": np.array(owners, np.int64),
            f"{_OTHER}{name}/weights": np.array([label.weight for label in found], np.float64),
            f"{_OTHER}{name}/values": np.concatenate([np.ravel(label.value) for label in found]),
            f"{_OTHER}{name}/shapes": np.array(shapes, np.int64),
        }
    return packed


def _unpack_others(arrays: Mapping[str, np.ndarray], count: int) -> list[dict[str, Label]]:
    """The inverse, for each structure."""
    others: list[dict[str, Label]] = [{} for _ in range(count)]
    for key in arrays:
        if not (key.startswith(_OTHER) and key.endswith("/owners")):
            continue
        name = key.removeprefix(_OTHER).removesuffix("/owners")
        own = {part: arrays[f"{_OTHER}{name}/{part}"] for part in ("weights", "shapes", "owners")}
        ends = np.cumsum(np.prod(own["shapes"], axis=1, dtype=np.int64))
        values = np.split(arrays[f"{_OTHER}{name}/values"], ends[:-1])
        for value, weight, shape, owner in zip(
            values, own["weights"], own["shapes"], own["owners"], strict=True
        ):
            others[owner][name] = Label(value.reshape(shape), float(weight))
    return others


def _unpack(arrays: dict[str, np.ndarray]) -> contents.FileContents:
    texts = json.loads(str(arrays["texts"]))
    ends = np.cumsum(arrays["n_node"])[:-1]
    per_atom = {n: np.split(arrays[n], ends) for n in ("positions", "forces", "atomic_numbers")}
    others = _unpack_others(arrays, len(arrays["n_node"]))
    structures = tuple(
        structure.Structure(
            **{name: parts[i] for name, parts in per_atom.items()},
            **{name: arrays[name][i] for name in ("cell", "pbc", "stress")},
            **dict(zip(_SCALARS, arrays["scalars"][i].tolist(), strict=True)),
            others=others[i],
            source=texts["sources"][i],
            group=texts["groups"][i],
            head=texts["heads"][i],
        )
        for i in range(len(arrays["n_node"]))
    )
    return contents.FileContents(
        structures=structures,
        isolated_atoms={int(z): energy for z, energy in texts["isolated_atoms"].items()},
        isolated_by_head={
            head: {int(z): energy for z, energy in energies.items()}
            for head, energies in texts["isolated_by_head"].items()
        },
        found=tuple(texts["found"]),
        keys_present=tuple(texts["keys_present"]),
        length_unit_given=texts["length_unit_given"],
        units_given=tuple(texts["units_given"]),
    )
