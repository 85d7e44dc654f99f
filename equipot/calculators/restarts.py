"""Where a simulation stands, so that it goes on as if it had never stopped, to the last bit.

The file holds positions, momenta, the random numbers' state, and how far the other files had grown.
It is replaced whole while the simulation runs; one that was killed goes on from there.
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from ase import Atoms

from equipot import config as configuration
from equipot import errors
from equipot.potential import archive, arrays
from equipot.potential.potential import Potential

SUFFIX = ".restart"
KIND = "equipot restart file"
_VERSION = 1
_ARRAYS = "positions", "momenta"
_STATE, _RUN = "state.json", "run.json"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """A simulation after a step.

    Attributes:
      step: Number of that step.
      positions: Å, [nodes, 3].
      momenta: In ASE's units, [nodes, 3].
      rng: State of the random numbers.
      sizes: Bytes of the other files, by what they are: "trajectory" and "log".
    """

    step: int
    positions: np.ndarray
    momenta: np.ndarray
    rng: Mapping[str, Any]
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
    parts = {name: arrays.to_bytes(getattr(state, name)) for name in _ARRAYS}
    numbers = {"step": state.step, "rng": dict(state.rng), "sizes": dict(state.sizes)}
    parts |= {_STATE: archive.write_json(numbers), _RUN: archive.write_json(dict(run))}
    archive.write_archive(path, KIND, _VERSION, parts)


def load(path: pathlib.Path, run: Mapping[str, Any]) -> State:
    """Reads the state of the same run.

    Args:
      path: Name of the file.
      run: What the run is that is to go on.

    Raises:
      ArtefactError: If there is no such file, or it is damaged.
      ConfigError: If it belongs to another run; the message names what differs.
    """
    _, parts = archive.read_archive(path, KIND, _VERSION)
    try:
        before = archive.read_json(parts[_RUN], _RUN)
        numbers = archive.read_json(parts[_STATE], _STATE)
        found = {name: arrays.from_bytes(parts[name]) for name in _ARRAYS}
        state = State(
            step=int(numbers["step"]), rng=numbers["rng"], sizes=numbers["sizes"], **found
        )
    except (KeyError, TypeError, ValueError) as failure:
        raise errors.ArtefactError(
            f"{path}: is damaged ({errors.brief(failure)}); begin again with --overwrite"
        ) from failure
    for name in sorted({*before, *run}):
        if before.get(name) != run.get(name):
            raise errors.ConfigError(
                f"{path}: belongs to a run with {name} {_shown(before.get(name))}, now it is "
                f"{_shown(run.get(name))}; give the same, or begin another one"
            )
    return state


def run_of(atoms: Atoms, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same for a simulation to go on: settings, atoms, cell and potential.

    Args:
      atoms: As they were read, with a calculator.
      settings: Of the simulation, those alone that its course depends on.
    """
    calculator = atoms.calc
    potential = getattr(calculator, "potential", None)
    masses = hashlib.sha256(atoms.get_masses().tobytes()).hexdigest()
    return {
        **settings,
        "atoms": str(atoms.symbols),
        "cell": np.asarray(atoms.cell).tolist(),
        "pbc": atoms.pbc.tolist(),
        "masses": masses,
        "constraints": repr([constraint.todict() for constraint in atoms.constraints]),
        "potential": (
            _digest(potential) if isinstance(potential, Potential) else type(calculator).__name__
        ),
    }


def _digest(potential: Potential) -> str:
    """A number that two potentials share only if they are the same function."""
    digest = hashlib.sha256(archive.write_json(configuration.to_mapping(potential.spec)))
    for leaf in jax.tree.leaves(potential.params):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) < 60 else f"{text[:57]}…"
