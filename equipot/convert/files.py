"""Files of other programs: recognised without running anything in them, then opened with torch.

What torch saves is a pickle, and a package of nequip is Python source beside one: both are
programs, and opening them runs them. So a file is first looked at from outside – the names of the
classes that its pickle asks for stand there in plain text – and opened only for users who say that
they trust it. Files of Nequix and SevenNet hold settings and numbers alone; these are read without
the program (``foundation``), and no trust is asked for.
"""

import dataclasses
import hashlib
import importlib
import importlib.metadata
import pickle
import pickletools
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from equipot import errors

MACE, NEQUIP, ALLEGRO = "mace-torch", "nequip", "nequip-allegro"
NEQUIX, SEVENNET = "nequix", "sevenn"
_REQUIREMENTS = {
    "torch": "torch",
    "mace": MACE,
    "nequip": NEQUIP,
    "allegro": ALLEGRO,
    "e3nn": "e3nn",
}
_COMPILED = "model.so", "model.pt2", "aotinductor"
_LIGHTNING = "pytorch-lightning_version"
_SEVENNET = {"model_state_dict", "config", "onehot_to_feature_x.linear.weight"}
_NEQUIX = b"radial_polynomial_p", b"hidden_irreps"
_HEADER = 2**20  # bytes

DAMAGES = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    UnicodeDecodeError,
    NotImplementedError,  # of compression that zipfile does not know
    RuntimeError,  # of encryption
)
"""What zipfile raises where an archive is damaged."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A file of another program, recognised but not opened.

    Attributes:
      path: The file.
      program: What wrote it: ``mace-torch``, ``nequip``, ``nequix`` or ``sevenn``.
      kind: What it is, in words: ``model``, ``checkpoint`` or ``package``.
      sha256: Checksum of the file.
    """

    path: Path
    program: str
    kind: str
    sha256: str


def recognise(path: str | Path) -> Source:
    """Says what a file is, from its names alone: nothing in it is run.

    Raises:
      ConversionError: If the file is missing, or none that can be converted.
    """
    path = Path(path)
    if not path.is_file():
        raise errors.ConversionError(f"{path}: there is no such file")
    if _is_nequix(path):
        return Source(path=path, program=NEQUIX, kind="model", sha256=sha256(path))
    if not zipfile.is_zipfile(path):
        raise errors.ConversionError(
            f"{path}: expected a model of Nequix (.nqx), or one of mace-torch, or a checkpoint or"
            " package of nequip, or a checkpoint of SevenNet, which are zip archives; this file"
            f" {_why_no_zip(path)}"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            program, kind = _classify(archive, path)
    except DAMAGES as error:
        raise errors.ConversionError(
            f"{path}: the archive is damaged ({errors.brief(error)}); fetch it again"
        ) from error
    return Source(path=path, program=program, kind=kind, sha256=sha256(path))


def _why_no_zip(path: Path) -> str:
    """By how the file begins: as a zip, as a pickle, or otherwise."""
    with path.open("rb") as file:
        begin = file.read(2)
    if begin == b"PK":
        return "begins as one and is cut short: fetch it again"
    if begin[:1] == b"\x80":
        return (
            "is a pickle, as a torch before 1.6 saved them: open it with the program that wrote it"
            " and save it again with torch.save"
        )
    return "is none"


def check_trust(source: Source, trust: bool) -> None:
    """Refuses to open a file unless the user trusts it.

    Raises:
      ConversionError: If it is not trusted, saying why that is asked for.
    """
    if not trust:
        what = "source code beside a pickle" if source.kind == "package" else "a pickle"
        raise errors.ConversionError(
            f"{source.path}: opening a {source.kind} of {source.program} runs the Python code"
            f" inside it (it is {what}), with your rights on this computer. Nothing was opened."
            " If you know where the file comes from, say so with --trust. The artefact that is"
            " written holds numbers and settings only"
        )


def open_model(source: Source, name: str | None = None) -> Any:
    """Opens a trusted file: the torch module in it, on the CPU, for evaluation.

    Args:
      source: The recognised file.
      name: Which model, for a file of nequip that holds several.

    Raises:
      ConversionError: If a program is not installed, the file does not open with it, or holds
        several models and none of this name.
    """
    require("torch", source)
    require("mace" if source.program == MACE else "nequip", source)
    if source.program == MACE:
        return _open_mace(source)
    return choose(_open_nequip(source), name, source)


def require(module: str, source: Source) -> ModuleType:
    """Imports a module that only the conversion needs.

    Raises:
      ConversionError: If it is not installed, with the line that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _REQUIREMENTS:
            raise
        missing = _REQUIREMENTS[(error.name or "").partition(".")[0]]
        packages = sorted({source.program, missing} - {"torch", "e3nn"})
        raise errors.ConversionError(
            f"{source.path}: a {source.kind} of {source.program} is opened with {missing}, which is"
            f' not installed here: pip install "equipot[convert]" {" ".join(packages)}. mace-torch'
            " needs an old e3nn and nequip a new one: give each an environment of its own. The"
            " artefact then works in any environment"
        ) from error


def versions(source: Source) -> dict[str, str]:
    """Versions of what opened a file, as far as they are installed."""
    names = ["torch", "e3nn", source.program, *([ALLEGRO] if source.program == NEQUIP else [])]
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _is_nequix(path: Path) -> bool:
    """Whether the first line is that of a model of Nequix."""
    with path.open("rb") as file:
        line = file.readline(_HEADER)
    return line.startswith(b"{") and any(word in line for word in _NEQUIX)


def _classify(archive: zipfile.ZipFile, path: Path) -> tuple[str, str]:
    """Program and kind of an archive, from the names of its parts and of the classes it holds."""
    parts = archive.namelist()
    if any(part.endswith("model/package_metadata.txt") for part in parts):
        return NEQUIP, "package"
    if any(word in part for part in parts for word in _COMPILED):
        raise errors.ConversionError(
            f"{path}: this is a compiled model, which holds no weights by name: give the checkpoint"
            " or package that it was compiled from"
        )
    if any(part.endswith("/constants.pkl") or "/code/__torch__" in part for part in parts):
        raise errors.ConversionError(
            f"{path}: this is a TorchScript program, compiled for one use: give the model that it"
            " was made from (mace-torch's .model without _compiled or -lammps in its name, or"
            " nequip's .ckpt or .nequip.zip)"
        )
    pickles = [part for part in parts if part.endswith("data.pkl")]
    if pickles and archive.getinfo(pickles[0]).file_size > _MAX_PICKLE:
        raise errors.ConversionError(f"{path}: its pickle is too large for a potential")
    names = _names(archive.read(pickles[0]), path) if pickles else []
    classes = [name.replace(" ", ".") for name in names]
    if _LIGHTNING in names and any("nequip" in name or "allegro" in name for name in names):
        return NEQUIP, "checkpoint"
    if any(name.startswith("mace.modules.models.") for name in classes):
        return MACE, "model"
    if _SEVENNET <= set(names):
        return SEVENNET, "checkpoint"
    if {"model", "optimizer"} <= set(names):
        raise errors.ConversionError(
            f"{path}: this looks like a checkpoint of mace-torch, which holds weights without the"
            " model they belong to: give the .model file that mace_run_train wrote at its end"
        )
    raise errors.ConversionError(
        f"{path}: expected a model of mace-torch (.model), a checkpoint (.ckpt) or package"
        f" (.nequip.zip) of nequip, or a checkpoint of SevenNet (.pth); found"
        f" {', '.join(classes[:3]) or 'no pickle'}"
    )


_MAX_PICKLE = 256 * 2**20  # bytes


def _names(data: bytes, path: Path) -> list[str]:
    """All strings of a pickle, classes among them, read from its opcodes without running them."""
    try:
        return [text for _, text, _ in pickletools.genops(data) if isinstance(text, str)]
    except (ValueError, pickle.UnpicklingError) as error:
        raise errors.ConversionError(
            f"{path}: its pickle is damaged ({errors.brief(error)})"
        ) from error


def sha256(path: Path) -> str:
    """Checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _open_mace(source: Source) -> Any:
    torch: Any = importlib.import_module("torch")
    try:
        module = torch.load(source.path, map_location="cpu", weights_only=False)
        return module.to("cpu").eval()
    except (AttributeError, ModuleNotFoundError, RuntimeError, TypeError) as error:
        raise _does_not_open(source, error) from error


def _open_nequip(source: Source) -> Any:
    state: Any = importlib.import_module("nequip.utils.global_state")
    state.set_global_state()
    saved: Any = importlib.import_module("nequip.model.saved_models")
    opener = saved.ModelFromPackage if source.kind == "package" else saved.ModelFromCheckpoint
    try:
        return opener(str(source.path), compile_mode="eager").to("cpu").eval()
    except ImportError as error:
        for cause in (error, error.__cause__, error.__context__):  # Hydra wraps what is missing
            missing = getattr(cause, "name", None) or ""
            if missing.partition(".")[0] in _REQUIREMENTS:
                require(missing, source)
        raise _does_not_open(source, error) from error
    except (AttributeError, AssertionError, KeyError, RuntimeError, TypeError) as error:
        raise _does_not_open(source, error) from error


def _does_not_open(source: Source, error: Exception) -> errors.ConversionError:
    have = ", ".join(f"{name} {version}" for name, version in versions(source).items())
    return errors.ConversionError(
        f"{source.path}: this {source.kind} does not open with {have}"
        f" ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason'});"
        " was it made with another version?"
    )


def choose(models: Any, name: str | None, source: Source) -> Any:
    """The model of a name, or the only one.

    Args:
      models: What a file of nequip holds: models by name, or one model.
      name: Which one; None where there is one.
      source: The file, for the message.

    Raises:
      ConversionError: If there are several and none is named, or none has the name.
    """
    if not hasattr(models, "keys"):
        models = {"sole_model": models}
    known: Sequence[str] = list(models.keys())
    if name is None and len(known) == 1:
        return models[known[0]]
    if name not in known:
        raise errors.ConversionError(
            f"{source.path}: holds the models {', '.join(known)}: choose one with --head, received"
            f" {name or 'none'}"
        )
    return models[name]
