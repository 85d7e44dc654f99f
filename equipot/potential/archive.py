"""One file made of named parts: a zip with a manifest of checksums, written whole or not at all.

The bytes depend on the parts alone (no clock, no compression, names sorted), so that the same
parts give the same file. Nothing is ever unpickled, and nothing is extracted to disk.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equipot import errors, files

MANIFEST = "manifest.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold


def write_archive(
    path: Path, kind: str, version: int, parts: Mapping[str, bytes], **manifest: Any
) -> None:
    """Writes the parts under a manifest; the file appears whole or not at all.

    Args:
      path: Name of the file; what stood there is replaced.
      kind: What the archive is, checked when it is read.
      version: Of the layout of the parts.
      parts: Contents by name.
      manifest: Further JSON values of the manifest.

    Raises:
      ArtefactError: If the disk does not take it; the file that stood there stays, and nothing is
        left beside it.
    """
    checksums = {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}
    head = {"format": kind, "format_version": version, **manifest, "sha256": checksums}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, MANIFEST, write_json(head))
        for name in sorted(parts):
            _add(archive, name, parts[name])
    files.write(path, buffer.getvalue(), errors.ArtefactError)


def read_archive(path: Path, kind: str, newest_version: int) -> tuple[int, dict[str, bytes]]:
    """Reads and checks every part.

    Returns:
      The version of the layout, and the contents by name.

    Raises:
      ArtefactError: If the file is missing, foreign, damaged, or from a newer version.
    """
    if not path.is_file():
        raise errors.ArtefactError(f"{path}: there is no such file.{_nearest_file(path)}")
    if not zipfile.is_zipfile(path):
        raise errors.ArtefactError(
            f"{path}: expected an {kind}, received a file that is no complete zip;"
            " it is something else, or was cut off while being copied"
        )
    with zipfile.ZipFile(path) as archive:
        head = _read_manifest(archive, path, kind)
        version = head["format_version"]
        if not isinstance(version, int) or version > newest_version:
            raise errors.ArtefactError(
                f"{path}: has format version {version}, this equipot reads up to {newest_version};"
                " it was written by a newer equipot: upgrade with pip install --upgrade equipot"
            )
        return version, {
            name: _read_part(archive, path, name, checksum)
            for name, checksum in head["sha256"].items()
        }


def write_json(value: Any) -> bytes:
    """JSON with sorted keys; floats keep all their digits, NaN is refused.

    Raises:
      ArtefactError: If the value holds something that is no JSON.
    """
    try:
        return json.dumps(value, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise errors.ArtefactError(
            f"expected numbers, strings, lists and mappings: {error}"
        ) from error


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)


def _read_manifest(archive: zipfile.ZipFile, path: Path, kind: str) -> dict[str, Any]:
    names = archive.namelist()
    try:
        head = json.loads(archive.read(MANIFEST)) if MANIFEST in names else None
    except (zipfile.BadZipFile, ValueError) as error:
        raise errors.ArtefactError(
            f"{path}: {MANIFEST} is damaged: {error}; copy it anew"
        ) from error
    if not isinstance(head, dict) or head.get("format") != kind:
        raise errors.ArtefactError(
            f"{path}: expected an {kind}, received a foreign zip file, which holds"
            f" {', '.join(names[:3])}"
        )
    if "format_version" not in head or not isinstance(head.get("sha256"), dict):
        raise errors.ArtefactError(f"{path}: {MANIFEST} is damaged: it names no version or parts")
    return head


def _read_part(archive: zipfile.ZipFile, path: Path, name: str, checksum: str) -> bytes:
    try:
        data = archive.read(name)
    except KeyError:
        raise errors.ArtefactError(
            f"{path}: the part {name} is missing; copy the file anew"
        ) from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise errors.ArtefactError(
            f"{path}: the part {name} is damaged ({error}); copy the file anew"
        ) from error
    if hashlib.sha256(data).hexdigest() != checksum:
        raise errors.ArtefactError(
            f"{path}: the part {name} is damaged (its checksum differs); copy the file anew"
        )
    return data


def _nearest_file(path: Path) -> str:
    """A suggestion among the files of the same ending in that folder."""
    if not path.parent.is_dir():
        return f" The folder {path.parent} does not exist either"
    beside = [file.name for file in path.parent.glob(f"*{path.suffix}")]
    return errors.did_you_mean(path.name, beside)
