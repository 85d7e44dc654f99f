"""Models of nequip with random parameters, and structures to compare them on; needs nequip."""

import importlib
from collections.abc import Mapping
from typing import Any

import ase.build
import numpy as np

from equipot.convert import check, nequip, oracles, torch_modules
from equipot.convert.check import Differences
from equipot.data.structure import Structure, atomic_number
from equipot.potential import evaluate

CUTOFF = 3.0
_PLAIN = {
    "r_max": CUTOFF,
    "model_dtype": "float64",
    "avg_num_neighbors": 7.0,
    "seed": 0,
}


def water() -> Structure:
    """Four molecules in a distorted periodic box, edges shorter than twice the cutoff."""
    molecule = ase.build.molecule("H2O")
    rng = np.random.default_rng(1)
    cell = np.diag([4.2, 4.4, 4.0]) + rng.uniform(-0.2, 0.2, (3, 3))
    shifts = np.array([[0.5, 0.5, 0.5], [2.6, 2.5, 0.7], [2.5, 0.4, 2.6], [0.4, 2.7, 2.5]])
    positions = (molecule.positions[None] + shifts[:, None]).reshape(-1, 3)
    return Structure(
        positions=positions + rng.normal(0, 0.05, positions.shape),
        atomic_numbers=np.tile(molecule.numbers, 4),
        cell=cell,
        pbc=np.ones(3, bool),
        source="water",
    )


def silicon() -> Structure:
    """Two atoms in a sheared primitive cell smaller than the cutoff: edges to own images."""
    rng = np.random.default_rng(2)
    cell = 2.1 * np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]]) + rng.normal(0, 0.1, (3, 3))
    return Structure(
        positions=np.array([[0.0, 0, 0], [0.27, 0.24, 0.26]]) @ cell,
        atomic_numbers=np.array([14, 14]),
        cell=cell,
        pbc=np.ones(3, bool),
        source="silicon",
    )


def alloy() -> Structure:
    """Ten atoms of five elements on a distorted cubic lattice."""
    rng = np.random.default_rng(3)
    sites = np.stack(np.meshgrid([0, 1, 2, 3, 4], [0, 1], [0], indexing="ij"), -1).reshape(-1, 3)
    return Structure(
        positions=2.2 * (sites + rng.uniform(-0.12, 0.12, sites.shape)),
        atomic_numbers=np.array([22, 23, 24, 13, 8] * 2),
        cell=2.2 * (np.diag([5.0, 2.0, 1.3]) + rng.uniform(-0.1, 0.1, (3, 3))),
        pbc=np.ones(3, bool),
        source="five elements",
    )


SYSTEMS: Mapping[str, Any] = {"water": water, "silicon": silicon, "alloy": alloy}
TYPES = {"water": ["O", "H"], "silicon": ["Si"], "alloy": ["Ti", "Al", "O", "V", "Cr"]}


def build(builder: str, system: str, seed: int = 0, **settings: Any) -> Any:
    """A model of nequip for a system, with all parameters random.

    Args:
      builder: A function, as in ``nequip.model.NequIPGNNModel``.
      system: A key of ``TYPES``.
      seed: Of the parameters.
      settings: Over the plain ones; ``per_type`` stands for shifts and scales per type.
    """
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    importlib.import_module("nequip.utils.global_state").set_global_state()
    module, _, name = builder.rpartition(".")
    names = TYPES[system]
    if settings.pop("per_type", False):
        settings["per_type_energy_shifts"] = {t: -3.0 - i for i, t in enumerate(names)}
        settings["per_type_energy_scales"] = {t: 1.0 + 0.3 * i for i, t in enumerate(names)}
    model = getattr(importlib.import_module(module), name)(
        **(_PLAIN | {"type_names": names} | settings)
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if key.endswith("bessel_weights"):
                parameter.add_(0.1 * noise)
            else:
                parameter.copy_(noise)
    return model.eval()


def differences(model: Any, system: str) -> tuple[Differences, float]:
    """Between a model and what it is converted to, and the largest force.

    On the system, on small structures and on one atom alone.
    """
    numbers = sorted({atomic_number(name) or 0 for name in TYPES[system]})
    structures = [SYSTEMS[system](), *check.structures(numbers)]
    ours = evaluate.cast(nequip.convert(model), torch_modules.dtype_of(model))
    theirs = oracles.evaluate_nequip(model, structures)
    largest = max(float(np.abs(found.forces).max()) for found in theirs)
    assert largest > 1e-2, f"forces of {largest} eV/Å compare nothing"
    return check.compare(theirs, evaluate.evaluate(ours, structures, len(structures))), largest
