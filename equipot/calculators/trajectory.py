"""Reads starting structures from files, and writes frames to files during a run."""

import contextlib
import io
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from ase import Atoms
from ase.io.extxyz import write_extxyz
from ase.io.trajectory import TrajectoryWriter

from equipot import errors
from equipot.calculators import growing
from equipot.data.formats import ase_files

SUFFIXES = (".extxyz", ".xyz", ".traj")


def read_atoms(path: str | pathlib.Path, index: int = -1) -> Atoms:
    """Reads one frame of any file that ASE reads, without its labels and notes.

    The whole file is read and must be valid, as in training.

    Args:
      path: Name of the file; it may also be packed, as ``.gz`` or ``.xz``.
      index: Which frame; the last one by default.

    Raises:
      DataError: If there is no such file or frame, or ASE cannot read it.
    """
    images = _read_images(pathlib.Path(path))
    try:
        found = images[index]
    except IndexError:
        raise errors.DataError(
            f"{path}: cannot read frame {index}: the file holds {len(images)} frames, counted"
            " from 0, or from -1 backwards"
        ) from None
    return without_labels(found)


def read_all(path: str | pathlib.Path) -> list[Atoms]:
    """Reads all frames of a file, as ``read_atoms`` does one.

    Raises:
      DataError: If there is no such file, it holds no structure, or ASE cannot read it.
    """
    found = _read_images(pathlib.Path(path))
    if not found:
        raise errors.DataError(f"{path}: expected structures, found none")
    return [without_labels(own) for own in found]


def _read_images(path: pathlib.Path) -> list[Atoms]:
    if path.is_dir():
        raise errors.DataError(f"{path}: expected a file with a structure, found a folder")
    if not path.is_file():
        raise errors.DataError(f"{path}: expected a file with a structure, there is no such file")
    return ase_files.read_images(path)


def without_labels(found: Atoms) -> Atoms:
    """A copy with positions, elements, cell, velocities, masses and constraints, nothing else."""
    atoms = Atoms(
        numbers=found.numbers,
        positions=found.positions,
        cell=found.cell,
        pbc=found.pbc,
        masses=found.get_masses(),
        constraint=found.constraints,
    )
    if found.has("momenta"):
        atoms.set_momenta(found.get_momenta(), apply_constraint=False)
    return atoms


@contextlib.contextmanager
def frame_writer(
    path: str | pathlib.Path | None, atoms: Atoms, overwrite: bool, kept: int | None = None
) -> Iterator[Callable[..., int]]:
    """Gives a function that appends the current frame of ``atoms``, with energy, forces, stress.

    It appends other atoms if these are its argument.

    Each frame has been passed on for writing to the disk when the function returns, with the size
    of the file (zero for ``.traj``).

    Args:
      path: ``.extxyz``, ``.xyz`` or ``.traj``; None writes nothing.
      atoms: The atoms whose frames are written.
      overwrite: Whether an existing file may be replaced.
      kept: Bytes of an existing file to go on after; None for a new file.

    Raises:
      ConfigError: If the suffix is another one, or the file already exists.
      DataError: If a frame cannot be written.
    """
    if path is None:
        yield lambda frame=None: 0
        return
    target = prepare(path, SUFFIXES, overwrite or kept is not None)
    if target.suffix == ".traj":  # its header counts the frames, after they are written
        with growing.refused(target):
            writer: Any = TrajectoryWriter(str(target), "w", atoms)  # poorly typed in ASE
            try:
                with writer:

                    def write_binary(frame: Atoms | None = None) -> int:
                        writer.write(frame)
                        return 0

                    yield write_binary
            except OSError:  # ASE leaves the file open, which would warn when garbage-collected
                with contextlib.suppress(OSError):
                    writer.backend.fd.close()
                raise
        return
    with growing.appender(target, kept or 0) as append:

        def write(frame: Atoms | None = None) -> int:
            text = io.StringIO()
            write_extxyz(text, [atoms if frame is None else frame])
            return append(text.getvalue().encode())

        yield write


def prepare(path: str | pathlib.Path, suffixes: tuple[str, ...], overwrite: bool) -> pathlib.Path:
    """Checks the name of a file about to be written, and makes its folder.

    Raises:
      ConfigError: If the suffix is another one, or the file already exists.
    """
    target = pathlib.Path(path)
    if target.suffix not in suffixes:
        raise errors.ConfigError(
            f"{target}: expected a name ending in {' or '.join(suffixes)}, received"
            f" '{target.suffix}'.{errors.did_you_mean(target.suffix, suffixes)}"
        )
    if target.exists() and not overwrite:
        raise errors.ConfigError(
            f"{target}: already stands there; move it away, choose another name, or ask for it to"
            " be overwritten (--overwrite)"
        )
    with growing.refused(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    return target
