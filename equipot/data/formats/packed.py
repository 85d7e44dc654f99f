"""Files packed by gzip, xz or bzip2, unpacked whole or not at all.

Python's own file objects leave out what follows the first stream if it is no stream itself, so
damage there would go unnoticed.
"""

import bz2
import contextlib
import lzma
import pathlib
import tempfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from equipot import errors

_DECODERS: dict[str, Callable[[], Any]] = {
    ".gz": lambda: zlib.decompressobj(wbits=31),
    ".xz": lzma.LZMADecompressor,
    ".bz2": bz2.BZ2Decompressor,
}
_BLOCK = 1 << 20


def is_packed(path: pathlib.Path) -> bool:
    """Whether a name ends as that of a packed file."""
    return path.suffix in _DECODERS


@contextlib.contextmanager
def plain_file(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields the file itself, or an unpacked copy that lasts as long as the context.

    Args:
      path: A file; whether it is packed is told by its name.

    Raises:
      DataError: If it is damaged or holds more than packed data.
    """
    if not is_packed(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="equipot-") as folder:
        plain = pathlib.Path(folder) / path.stem  # by which ASE tells the format
        with path.open("rb") as source, plain.open("wb") as target:
            _unpack(path, source, target)
        yield plain


def _unpack(path: pathlib.Path, source: BinaryIO, target: BinaryIO) -> None:
    make = _DECODERS[path.suffix]
    decoder = make()
    try:
        while block := source.read(_BLOCK):
            while block:
                if decoder.eof:  # another stream follows, perhaps after a padding of zeros
                    block = block.lstrip(b"\0")
                    if not block:
                        break
                    decoder = make()
                target.write(decoder.decompress(block))
                block = decoder.unused_data if decoder.eof else b""
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, MemoryError) as error:
        raise errors.DataError(f"{path}: {_advice(path, str(error))}") from error
    if not decoder.eof:
        raise errors.DataError(f"{path}: {_advice(path, 'it ends too early')}")


def _advice(path: pathlib.Path, reason: str) -> str:
    kind = path.suffix.removeprefix(".")
    return f"could not be unpacked as {kind} ({reason}); it is damaged, fetch or make it again"
