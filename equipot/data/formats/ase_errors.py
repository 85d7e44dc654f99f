"""Why ASE could not read a file, in words for who does not know ASE's."""

import pathlib

from ase.io import formats as ase_formats

from equipot import errors

_UNEXPLAINED = (AttributeError, AssertionError, IndexError, KeyError, NameError, StopIteration)
"""What parsers of ASE raise by accident, whose words are about their own variables."""
_HOW = "set data.format (--format)"


def sentence(
    path: pathlib.Path, given: str | None, guessed: str | None, where: str, error: BaseException
) -> str:
    """What is wrong with a file, and what to do.

    Args:
      path: The file.
      given: The format that was asked for.
      guessed: The format that ASE takes it for; None where it knows none.
      where: After which frame, for a file that began well.
      error: What ASE raised.
    """
    known = ase_formats.ioformats
    if given is not None and given not in known:
        return (
            f"data.format: ASE knows no format '{given}'.{errors.did_you_mean(given, known)} Leave"
            f" it out where the name of {path.name} says it, as .extxyz and .traj do"
        )
    kind = given or guessed
    if kind is None or kind not in known:
        return (
            f"{path}: neither its name nor how it begins is that of a format that ASE knows; give"
            f" it the usual ending (.extxyz, .traj, .cif, …), or {_HOW}"
        )
    described = f"{kind} ({known[kind].description})"
    taken = "asked for" if given else "what its name or beginning says"
    if kind == "bundletrajectory":
        return f"{path}: expected a folder for the format {described}, found a file; {_HOW}"
    reason = f"; ASE says: {' '.join(str(error).split())[:200]}" if _speaks(error) else ""
    return (
        f"{path}{where}: could not be read as {described}, {taken}{reason}. Mend the file, or"
        f" {_HOW} if it is of another"
    )


def _speaks(error: BaseException) -> bool:
    return bool(str(error).strip()) and not isinstance(error, _UNEXPLAINED)
