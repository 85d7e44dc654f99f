"""Where a simulation stands, so that it goes on as if it had never stopped, to the last bit.

The file holds positions, momenta, the random numbers' state, and how far the other files had grown.
It is replaced whole while the simulation runs; one that was killed goes on from there.
"""

import contextlib
import dataclasses
import hashlib
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ase import Atoms

from equipot import config as configuration
from equipot import errors
from equipot.potential import archive, arrays
from equipot.potential.potential import Potential
from equipot.potential.summands import Summand

SUFFIX = ".restart"
KIND = "equipot restart file"
_VERSION = 1
_LATER = ("head", "plus")  # files of earlier versions lack them
_STATE, _RUN = "state.json", "run.json"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """A simulation after a step.

    Attributes:
      step: Number of that step.
      arrays: Where the atoms are and how they move, by name.
      numbers: What else belongs to it, as plain JSON: the state of the random numbers, …
      sizes: Bytes of the other files, by what they are: "trajectory" and "log".
    """

    step: int
    arrays: Mapping[str, np.ndarray]
    numbers: Mapping[str, Any]
    sizes: Mapping[str, int]


def save(path: pathlib.Path, state: State, run: Mapping[str, Any]) -> None:
    """Writes a state.

    Args:
      path: Name of the file.
      state: The state.
      run: What the run is, see ``run_of``.

    Raises:
      ArtefactError: If the disk does not take it; the file of before stays.
    """
    parts = {name: arrays.to_bytes(value) for name, value in state.arrays.items()}
    numbers = {"step": state.step, "sizes": dict(state.sizes), **state.numbers}
    parts |= {_STATE: archive.write_json(numbers), _RUN: archive.write_json(dict(run))}
    archive.write_archive(path, KIND, _VERSION, parts)


def load(path: pathlib.Path, run: Mapping[str, Any], needed: Sequence[str]) -> State:
    """Reads the state of the same run.

    Args:
      path: Name of the file.
      run: What the run is that is to go on.
      needed: Names of the arrays and numbers that the state must have.

    Raises:
      ArtefactError: If there is no such file, or it is damaged.
      ConfigError: If it belongs to another run; the message names what differs.
    """
    _, parts = archive.read_archive(path, KIND, _VERSION)
    with _damaged(path):
        before = archive.read_json(parts.pop(_RUN), _RUN)
    for name in sorted({*before, *run}):
        if name in _LATER and name not in before:
            continue
        if before.get(name) != run.get(name):
            raise errors.ConfigError(
                f"{path}: belongs to a run with {name} {_shown(before.get(name))}, now it is "
                f"{_shown(run.get(name))}; give the same, or begin another one"
            )
    with _damaged(path):
        numbers = dict(archive.read_json(parts.pop(_STATE), _STATE))
        found = {name: arrays.from_bytes(part) for name, part in parts.items()}
        step, sizes = int(numbers.pop("step")), numbers.pop("sizes")
        state = State(step=step, arrays=found, numbers=numbers, sizes=sizes)
        for name in needed:
            _ = found[name] if name in found else numbers[name]
    return state


def engine_of(path: pathlib.Path) -> str:
    """The engine of the run that a file belongs to.

    Raises:
      ArtefactError: If there is no such file, or it is damaged.
    """
    _, parts = archive.read_archive(path, KIND, _VERSION)
    with _damaged(path):
        return str(archive.read_json(parts[_RUN], _RUN).get("engine", "ase"))


@contextlib.contextmanager
def _damaged(path: pathlib.Path) -> Iterator[None]:
    """Turns what a file of other contents leads to into a sentence."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as failure:
        raise errors.ArtefactError(
            f"{path}: is damaged ({errors.brief(failure)}); begin again with --overwrite"
        ) from failure


def run_of(
    structures: Sequence[Atoms],
    potential: Potential | str,
    settings: Mapping[str, Any],
    *,
    head: str = "",
    plus: Sequence[Summand] = (),
) -> dict[str, Any]:
    """What must be the same for a simulation to go on: settings, atoms, cells and potential.

    Args:
      structures: As they were read; most simulations have one.
      potential: The potential, or a name for what else gives the forces.
      settings: Of the simulation, those alone that its course depends on.
      head: Level of theory, if the potential has several.
      plus: What is added to the potential.
    """
    masses = hashlib.sha256(b"".join(atoms.get_masses().tobytes() for atoms in structures))
    held = [c.todict() for atoms in structures for c in atoms.constraints]
    cells = [np.asarray(atoms.cell).tolist() for atoms in structures]
    pbcs = [atoms.pbc.tolist() for atoms in structures]
    return {
        **settings,
        "atoms": " ".join(str(atoms.symbols) for atoms in structures),
        "cell": cells[0] if len(cells) == 1 else cells,
        "pbc": pbcs[0] if len(pbcs) == 1 else pbcs,
        "masses": masses.hexdigest(),
        "constraints": repr(held),
        "potential": _digest(potential) if isinstance(potential, Potential) else potential,
        "head": head,
        "plus": [_named(summand) for summand in plus],
    }


def _named(summand: Summand) -> str:
    """A description of a summand that is identical in every process."""
    if dataclasses.is_dataclass(summand):
        return repr(summand)
    return f"{type(summand).__qualname__}(cutoff={summand.cutoff})"


def _digest(potential: Potential) -> str:
    """A number that two potentials share only if they are the same function."""
    digest = hashlib.sha256(archive.write_json(configuration.to_mapping(potential.spec)))
    for leaf in jax.tree.leaves(potential.params):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) < 60 else f"{text[:57]}…"
