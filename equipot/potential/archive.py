"""A file of named parts: a zip with a manifest of checksums, written whole or not at all.

The bytes depend on the parts alone (no clock, no compression, names sorted), so that the same
parts give the same file. Nothing is ever unpickled, and nothing is extracted to disk.
"""

import collections
import hashlib
import io
import json
import os
import reprlib
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from equipot import errors, files

MANIFEST = "manifest.json"
LARGEST = 4 * 2**30  # bytes of a file; the largest potentials have some hundred million
_LARGEST_JSON = 2**26
_BEGINS = b"PK"  # a zip, also one that was cut off
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold
# What zipfile raises for a file that is damaged.
_DAMAGE = (zipfile.BadZipFile, EOFError, RuntimeError, ValueError, OverflowError, struct.error)


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

    Nothing is unpacked: parts lie in the file as they are, so that what is read is never larger
    than the file.

    Returns:
      The version of the layout, and the contents by name.

    Raises:
      ArtefactError: If the file is missing, foreign, damaged, or from a newer version.
    """
    try:
        check_is_there(path)
        if not path.is_file():
            raise errors.ArtefactError(f"{path}: expected an {kind}, received no regular file")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > LARGEST:
                raise errors.ArtefactError(
                    f"{path}: expected an {kind}, received {size / 1e9:.0f} GB, more than any has"
                )
            return _read(file, size, path, kind, newest_version)
    except OSError as error:
        raise errors.ArtefactError(f"{path}: could not be read ({files.cause(error)})") from error


def check_is_there(path: Path) -> None:
    """Refuses the name of a file that does not exist.

    Raises:
      ArtefactError: With the nearest name.
    """
    if not path.exists():
        raise errors.ArtefactError(f"{path}: there is no such file.{_nearest_file(path)}")


def _read(
    file: BinaryIO, size: int, path: Path, kind: str, newest_version: int
) -> tuple[int, dict[str, bytes]]:
    if not zipfile.is_zipfile(file):
        file.seek(0)
        is_cut = size == 0 or file.read(len(_BEGINS)) == _BEGINS
        why = "was cut off while being copied; copy it anew" if is_cut else "is something else"
        raise errors.ArtefactError(
            f"{path}: expected an {kind}, received a file that is no complete zip; it {why}"
        )
    try:
        archive = zipfile.ZipFile(file)
    except _DAMAGE as error:
        raise errors.ArtefactError(
            f"{path}: the directory of the zip is damaged ({errors.brief(error)}); copy the file"
            " anew"
        ) from error
    with archive:
        if sum(max(e.file_size, e.compress_size) for e in archive.infolist()) > size:
            # Entries may lie over each other, and so hold more than the file.
            raise errors.ArtefactError(
                f"{path}: its parts claim to be larger than the file; it is damaged, copy it anew"
            )
        head = _read_manifest(archive, path, kind)
        version = head["format_version"]
        if version > newest_version:
            raise errors.ArtefactError(
                f"{path}: has format version {version}, this equipot reads up to {newest_version};"
                " it was written by a newer equipot: upgrade with pip install --upgrade equipot"
            )
        _check_names(archive.namelist(), {MANIFEST, *head["sha256"]}, path)
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
            f"expected numbers, strings, lists and mappings: {errors.brief(error)}"
        ) from error


def read_json(data: bytes, name: str) -> dict[str, Any]:
    """The mapping of a part in JSON.

    Args:
      data: The part.
      name: Its name, for messages.

    Raises:
      ArtefactError: If it is none: no JSON, something else than a mapping, a key twice, a number
        that is not finite.
    """
    try:
        if len(data) > _LARGEST_JSON:
            raise ValueError(f"it has {len(data)} bytes")
        found = json.loads(data, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise errors.ArtefactError(
            f"{name} is no JSON as equipot writes it ({errors.brief(error)})"
        ) from error
    if not isinstance(found, dict):
        raise errors.ArtefactError(f"{name}: expected a mapping, received {reprlib.repr(found)}")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)


def _read_manifest(archive: zipfile.ZipFile, path: Path, kind: str) -> dict[str, Any]:
    names = archive.namelist()
    if MANIFEST not in names:
        raise errors.ArtefactError(
            f"{path}: expected an {kind}, received a foreign zip file, which holds"
            f" {', '.join(names[:3]) or 'nothing'}"
        )
    try:
        head = read_json(_stored(archive, MANIFEST), MANIFEST)
    except (errors.ArtefactError, *_DAMAGE) as error:
        raise errors.ArtefactError(
            f"{path}: {MANIFEST} is damaged: {errors.brief(error)}; copy it anew"
        ) from error
    if head.get("format") != kind:
        raise errors.ArtefactError(
            f"{path}: expected an {kind}, received a zip file of the format"
            f" {reprlib.repr(head.get('format'))}"
        )
    version, checksums = head.get("format_version"), head.get("sha256")
    numbered = type(version) is int and version > 0
    if not numbered or not isinstance(checksums, dict):
        raise errors.ArtefactError(f"{path}: {MANIFEST} is damaged: it names no version or parts")
    return head


def _check_names(names: list[str], named: set[str], path: Path) -> None:
    counts = collections.Counter(names)
    strange = next((name for name in names if name not in named or counts[name] > 1), None)
    if strange is not None:
        raise errors.ArtefactError(
            f"{path}: the part {reprlib.repr(strange)} is not in the manifest, or stands there"
            " twice; the file was not written by equipot"
        )


def _read_part(archive: zipfile.ZipFile, path: Path, name: str, checksum: str) -> bytes:
    try:
        data = _stored(archive, name)
    except KeyError:
        raise errors.ArtefactError(
            f"{path}: the part {name} is missing; copy the file anew"
        ) from None
    except _DAMAGE as error:
        raise errors.ArtefactError(
            f"{path}: the part {name} is damaged ({errors.brief(error)}); copy the file anew"
        ) from error
    if hashlib.sha256(data).hexdigest() != checksum:
        raise errors.ArtefactError(
            f"{path}: the part {name} is damaged (its checksum differs); copy the file anew"
        )
    return data


def _stored(archive: zipfile.ZipFile, name: str) -> bytes:
    """The contents of a part; what is packed is refused, for it could be of any size."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise zipfile.BadZipFile("it is packed, and equipot packs nothing")
    return archive.read(name)


def _nearest_file(path: Path) -> str:
    """A suggestion among the files of the same ending in that folder."""
    if not path.parent.is_dir():
        return f" The folder {path.parent} does not exist either"
    beside = [file.name for file in path.parent.glob(f"*{path.suffix}")]
    return errors.did_you_mean(path.name, beside)
