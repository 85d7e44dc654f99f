"""The errors a user can meet: each says what was expected, what came, where, and what to do."""

import difflib
from collections.abc import Iterable


class EquipotError(Exception):
    """Base of every error raised on purpose."""


class ConfigError(EquipotError, ValueError):
    """A configuration key or value is wrong."""


class MemoryLimitError(ConfigError, MemoryError):
    """What the settings ask for does not fit into the memory of the device."""


class DataError(EquipotError, ValueError):
    """A structure file, a label or a split is wrong."""


class UnknownElementError(DataError):
    """A structure holds an element that the model was not made for."""


class GraphTooLargeError(DataError):
    """A structure does not fit into the fixed budget of a batch."""


class CheckpointError(EquipotError):
    """A checkpoint or a run folder cannot be used."""


class ArtefactError(CheckpointError, ValueError):
    """A saved potential is damaged, foreign, or from a newer version."""


class ConversionError(EquipotError, ValueError):
    """A potential of another program cannot be read, or not exactly."""


class DownloadError(EquipotError):
    """A file could not be fetched, or is another one than was asked for."""


class NonFiniteError(EquipotError, ArithmeticError):
    """Training met a loss or a gradient that is not finite."""


class OutOfRangeError(EquipotError, ValueError):
    """A structure lies outside of what the potential was trained on, and that was to be refused."""


class OutOfRangeWarning(UserWarning):
    """A structure lies outside of what the potential was trained on; its numbers mean little."""


class DriverError(EquipotError):
    """A program that runs a potential is missing, or failed for reasons of its own."""


class StoppedError(EquipotError):
    """A command was asked to stop, and did so; training writes a checkpoint before."""


class TimeUpError(StoppedError):
    """The time that training was given in one go is up; the same command goes on."""


class HostError(EquipotError):
    """Another process of the same run is missing, or has ended before its time."""


def brief(error: BaseException | str) -> str:
    """The words of another library on one line, which may quote whole files, cut in the middle."""
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else f"{text[:98]} … {text[-98:]}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns ``" Did you mean 'x'?"`` for the nearest known word, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""
