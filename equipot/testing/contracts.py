"""The contracts of a model by name, and those of its settings and of its file."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import yaml

from equipot import config
from equipot.potential import artefact
from equipot.potential.potential import Potential
from equipot.testing import derivatives, forms, locality, numerics, symmetry
from equipot.testing.subject import Subject

CONTRACTS: Mapping[str, Callable[[Subject], None]] = {
    "rotation": symmetry.check_rotation,
    "inversion": symmetry.check_inversion,
    "translation": symmetry.check_translation,
    "permutation": symmetry.check_permutation,
    "supercell": symmetry.check_supercell,
    "charge": symmetry.check_charge,
    "forces": derivatives.check_forces,
    "stress": derivatives.check_stress,
    "momentum": derivatives.check_momentum,
    "separation": locality.check_separation,
    "isolated_atoms": locality.check_isolated_atoms,
    "cutoff": locality.check_cutoff,
    "order_of_pairs": forms.check_order_of_pairs,
    "directed_edges": forms.check_directed_edges,
    "domains": forms.check_domains,
    "padding": numerics.check_padding,
    "batching": numerics.check_batching,
    "gradients_within_graphs": numerics.check_gradients_within_graphs,
    "finite": numerics.check_finite,
    "jit": numerics.check_jit,
    "parameter_gradients": numerics.check_parameter_gradients,
}
"""What every model must obey: the name, and a function that raises an AssertionError."""


def _load(path: Path) -> Potential:
    return artefact.load(path, verify=False)


def check_config_round_trip(model_config: Any) -> None:
    """Settings survive YAML (a run folder) and JSON (a saved potential).

    Args:
      model_config: A frozen dataclass.

    Raises:
      AssertionError: If they come back changed.
    """
    mapping = config.to_mapping(model_config)
    for name, copy in {
        "YAML": yaml.safe_load(yaml.safe_dump(mapping)),
        "JSON": json.loads(json.dumps(mapping)),
    }.items():
        found = config.from_mapping(type(model_config), copy)
        if found != model_config:
            raise AssertionError(f"settings survive {name}: {model_config} came back as {found}")


def check_saving(
    potential: Potential,
    folder: Path,
    load: Callable[[Path], Potential] = _load,
) -> None:
    """A saved potential comes back bit by bit.

    Args:
      potential: Of a model that equipot knows by name.
      folder: Where to write.
      load: What reads the file; by default without evaluating the stored probe.

    Raises:
      AssertionError: If the specification, or one bit of a parameter, differs.
    """
    path = folder / f"potential{artefact.SUFFIX}"
    artefact.save(path, potential)
    found = load(path)
    if found.spec != potential.spec:
        raise AssertionError(f"the specification survives: {potential.spec} became {found.spec}")
    saved, structure = jax.tree.flatten(potential.params)
    loaded, found_structure = jax.tree.flatten(found.params)
    if structure != found_structure:
        raise AssertionError(f"names of parameters survive: {structure} became {found_structure}")
    for a, b in zip(saved, loaded, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        if a.dtype != b.dtype or not np.array_equal(a, b):
            raise AssertionError(f"parameters survive bit by bit: {a} became {b}")
