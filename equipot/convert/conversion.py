"""From the file of another program to a potential of this one: open, read, compare."""

import dataclasses
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from equipot import errors
from equipot.convert import check, files, oracles, torch_modules
from equipot.data.structure import Structure
from equipot.potential import evaluate
from equipot.potential.evaluate import HostPrediction
from equipot.potential.potential import Potential

_READ_DIRECTLY = {files.NEQUIX: "nequix", files.SEVENNET: "sevennet"}
"""Modules of ``foundation`` by the program whose files they read without it."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Conversion:
    """What came out.

    Attributes:
      potential: With its provenance, in the precision asked for.
      differences: Between the original and the potential, both in float64; None where the file was
        read without the program that wrote it.
    """

    potential: Potential
    differences: check.Differences | None


def convert(
    path: str | Path, *, trust: bool, head: str | None = None, dtype: str | None = None
) -> Conversion:
    """Reads a file of another program and, where that is opened too, compares with the original.

    Args:
      path: The file.
      trust: Whether the code inside a file of mace-torch or nequip may be run, without which it
        cannot be opened.
      head: Which head of a model of mace-torch, or which model of a file of nequip that holds
        several; needed only there.
      dtype: Precision of the potential, float32 or float64; by default the model's.

    Raises:
      ConversionError: If the file is not trusted, not known, cannot be read exactly, or what came
        out differs from the original.
    """
    source = files.recognise(path)
    if source.program in _READ_DIRECTLY:
        return _convert_directly(source, head, dtype)
    files.check_trust(source, trust)
    is_mace = source.program == files.MACE
    module = files.open_model(source, None if is_mace else head)
    head_of_mace = head if is_mace else None
    own_dtype = torch_modules.dtype_of(module)
    module = oracles.to_float64(module)
    potential = _read(module, source, head_of_mace)
    structures = check.structures(potential.spec.species_table)
    theirs = evaluate_original(module, source.program, structures, head_of_mace)
    differences = check.compare(theirs, evaluate.evaluate(potential, structures))
    check.check(differences, str(path))
    provenance = _provenance(source, head, own_dtype, differences)
    potential = evaluate.cast(potential, dtype or own_dtype)
    return Conversion(
        potential=dataclasses.replace(potential, provenance=provenance), differences=differences
    )


def _convert_directly(source: files.Source, head: str | None, dtype: str | None) -> Conversion:
    """From a file that holds settings and numbers alone."""
    if head is not None:
        raise errors.ConversionError(
            f"{source.path}: holds one head; leave --head out, received {head!r}"
        )
    reader = importlib.import_module(f"equipot.convert.foundation.{_READ_DIRECTLY[source.program]}")
    potential: Potential = reader.read(source.path)
    potential = evaluate.cast(potential, dtype or "float32")
    provenance = _provenance(source, None, "float32", None)
    return Conversion(
        potential=dataclasses.replace(potential, provenance=provenance), differences=None
    )


def _read(module: Any, source: files.Source, head: str | None) -> Potential:
    try:
        return read(module, source.program, head)
    except AttributeError as error:  # of a module of theirs
        have = ", ".join(f"{name} {version}" for name, version in files.versions(source).items())
        raise errors.ConversionError(
            f"{source.path}: a module lacks what it has in the versions that equipot knows"
            f" ({errors.brief(error)}); was it made with another one? Opened with {have}"
        ) from error


def read(module: Any, program: str, head: str | None = None) -> Potential:
    """A potential in float64 with the energies of an opened model.

    Args:
      module: The torch module.
      program: ``mace-torch`` or ``nequip``.
      head: Which head, for mace-torch.

    Raises:
      ConversionError: If the model cannot be read exactly.
    """
    if program == files.MACE:
        return importlib.import_module("equipot.convert.mace").convert(module, head)
    return importlib.import_module("equipot.convert.nequip").convert(module)


def evaluate_original(
    module: Any, program: str, structures: Sequence[Structure], head: str | None = None
) -> list[HostPrediction]:
    """What an opened model says of structures.

    Args:
      module: The torch module.
      program: ``mace-torch`` or ``nequip``.
      structures: Of elements that it knows.
      head: Which head, for mace-torch.
    """
    if program == files.MACE:
        return oracles.evaluate_mace(module, structures, head)
    return oracles.evaluate_nequip(module, structures)


def _provenance(
    source: files.Source, head: str | None, dtype: str, differences: check.Differences | None
) -> dict[str, Any]:
    return {
        "converted_from": {
            "file": source.path.name,
            "sha256": source.sha256,
            "kind": f"{source.kind} of {source.program}",
            "head": head,
            "dtype": dtype,
            "opened_with": {} if differences is None else files.versions(source),
        },
        "largest_differences": dataclasses.asdict(differences) if differences else None,
    }
