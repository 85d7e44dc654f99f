"""Models of nequip 0.19: what the GNN and Allegro have in common.

A model there is a chain of modules around a body. The common part is read here: names of types,
cutoff, scales and shifts of the atomic energies, repulsion. The body is left to ``gnn`` or
``allegro``. Whatever is not recognised is refused.

    E_i = shift[s] + scale[s] (output of the body)_i + repulsion_i

so the shifts become reference energies, and nothing is anchored.
"""

import dataclasses
import importlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from equipot import errors
from equipot.convert import torch_modules
from equipot.data import structure
from equipot.potential.potential import Potential, PotentialSpec
from equipot.potential.repulsion import ZBL
from equipot.typing import PyTree

_WRAPPERS = {
    "GraphModel": "model",
    "CompileGraphModel": "model",
    "ForceStressOutput": "func",
}
_READERS = {"layer0_convnet": "gnn", "allegro": "allegro"}
_COMMON = (
    "edge_norm",
    "per_type_energy_scale_shift",
    "cutoff",
    "pair_potential",
    "total_energy_sum",
)
# Written in the code of nequip's ZBL, not among its constants; from LAMMPS, pair_zbl_const.h.
_SCREENING_LENGTH, _SCREENING_EXPONENT = 0.46850, 0.23
_SCREENING_COEFFICIENTS = (0.02817, 0.28022, 0.50986, 0.18175)
_SCREENING_DECAYS = (0.20162, 0.40290, 0.94229, 3.19980)
_COULOMB_ROUNDING = 1e-3  # relative; units that differ do so by more


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Body:
    """What is left of a model for ``gnn`` and ``allegro``.

    Attributes:
      modules: The body's modules by name, in their order; each must be read or refused.
      types: For each of our species, in the order of atomic numbers, its index in the file.
      cutoff: Å.
    """

    modules: Mapping[str, Any]
    types: np.ndarray
    cutoff: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ReadBody:
    """What ``gnn`` and ``allegro`` make of it.

    Attributes:
      model_name: Name of the model here.
      config: Its settings.
      params: Its parameters in float64.
      avg_num_neighbors: Mean number of neighbors.
    """

    model_name: str
    config: Any
    params: PyTree
    avg_num_neighbors: float


def convert(model: Any) -> Potential:
    """Reads a model of nequip: a potential in float64 with the same energies.

    Args:
      model: A ``GraphModel``.

    Raises:
      ConversionError: If it holds anything that cannot be read exactly.
    """
    names = type_names(model)
    numbers = _atomic_numbers(names)
    types = np.argsort(numbers)
    modules = dict(sequence(model))
    cutoff = _read_cutoff(modules)
    scale, energies = _read_scale_shift(modules, len(names))
    _check_total(modules)
    body = {name: module for name, module in modules.items() if name not in _COMMON}
    found = _read_body(Body(modules=body, types=types, cutoff=cutoff))
    spec = PotentialSpec(
        model_name=found.model_name,
        model_config=found.config,
        species_table=tuple(sorted(numbers)),
        atomic_energies=tuple(energies[types].tolist()),
        avg_num_neighbors=found.avg_num_neighbors,
        dtype="float64",
        anchor_isolated=False,
        repulsion=_read_repulsion(modules, numbers),
    )
    params = {"model": found.params, "scale": scale[types], "shift": np.zeros(len(names))}
    return Potential(spec=spec, params=params)


def type_names(model: Any) -> list[str]:
    """The names of a model's types, in its order."""
    torch_modules.expect_class(model, ("GraphModel", "CompileGraphModel"), "model")
    return list(model.type_names)


def sequence(model: Any) -> Mapping[str, Any]:
    """The chain of modules inside the wrappers, by name."""
    inner = model
    while torch_modules.class_name(inner) in _WRAPPERS:
        inner = getattr(inner, _WRAPPERS[torch_modules.class_name(inner)])
    torch_modules.expect_class(inner, "SequentialGraphNetwork", "model")
    return torch_modules.children(inner)


def _atomic_numbers(names: list[str]) -> list[int]:
    numbers = [structure.atomic_number(name) for name in names]
    unknown = [name for name, number in zip(names, numbers, strict=True) if number is None]
    if unknown or len(set(numbers)) < len(numbers):
        raise errors.ConversionError(
            f"type_names: expected chemical symbols, each once, received {', '.join(names)}; models"
            " with other types of atoms cannot be read"
        )
    return [number for number in numbers if number is not None]


def _read_cutoff(modules: Mapping[str, Any]) -> float:
    norm = _get(modules, "edge_norm", "EdgeLengthNormalizer")
    if norm._per_edge_type:
        raise errors.ConversionError(
            "edge_norm: cutoffs for pairs of types (per_edge_type_cutoff) cannot be read"
        )
    return float(norm.r_max)


def _read_scale_shift(modules: Mapping[str, Any], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift of every type; those that a model lacks are 1 and 0."""
    module = _get(modules, "per_type_energy_scale_shift", "PerTypeScaleShift")
    scale, shift = np.ones(count), np.zeros(count)
    if module.has_scales:
        scale = np.broadcast_to(torch_modules.array(module.scales).reshape(-1), (count,))
    if module.has_shifts:
        shift = np.broadcast_to(torch_modules.array(module.shifts).reshape(-1), (count,))
    return scale, shift


def _check_total(modules: Mapping[str, Any]) -> None:
    total = _get(modules, "total_energy_sum", "AtomwiseReduce")
    if total.reduce != "sum" or total.constant != 1.0:
        raise errors.ConversionError(
            f"total_energy_sum: expected a plain sum over atoms, received {total.reduce} times"
            f" {total.constant}"
        )


def _read_repulsion(modules: Mapping[str, Any], numbers: list[int]) -> ZBL | None:
    """The repulsion of nuclei, which is all there may be beside the body."""
    if "cutoff" in modules:  # an envelope that no module uses any more
        torch_modules.expect_class(modules["cutoff"], "AddRadialCutoffToData", "cutoff")
    if "pair_potential" not in modules:
        return None
    zbl = _get(modules, "pair_potential", "ZBL")
    charges = torch_modules.array(zbl.atomic_numbers)
    if charges.tolist() != numbers:
        raise errors.ConversionError(
            f"pair_potential: expected the charges {numbers} of the types, received"
            f" {charges.tolist()}"
        )
    coulomb = 2.0 * float(zbl._qqr2exesquare)
    if not math.isclose(coulomb, ZBL().coulomb, rel_tol=_COULOMB_ROUNDING):
        raise errors.ConversionError(
            f"pair_potential: expected units of eV and Å, where e²/4πε₀ is {ZBL().coulomb:.4f},"
            f" received {coulomb:.4f}: a model with other units (units: real is kcal/mol) cannot"
            " be read"
        )
    return ZBL(
        polynomial_cutoff=whole(zbl.cutoff.p, "pair_potential.cutoff.p"),
        coulomb=coulomb,
        length=_SCREENING_LENGTH,
        exponent=_SCREENING_EXPONENT,
        coefficients=_SCREENING_COEFFICIENTS,
        decays=_SCREENING_DECAYS,
    )


def whole(number: float, place: str) -> int:
    """A whole number.

    Raises:
      ConversionError: If it is none.
    """
    if number != int(number):
        raise errors.ConversionError(f"{place}: expected a whole number, received {number}")
    return int(number)


def _get(modules: Mapping[str, Any], name: str, kind: str) -> Any:
    if name not in modules:
        raise errors.ConversionError(
            f"expected a module {name} in the model, found {', '.join(modules)}"
        )
    torch_modules.expect_class(modules[name], kind, name)
    return modules[name]


def _read_body(body: Body) -> ReadBody:
    for name, reader in _READERS.items():
        if name in body.modules:
            return importlib.import_module(f"equipot.convert.{reader}").read(body)
    raise errors.ConversionError(
        f"expected a GNN or Allegro of nequip, found the modules {', '.join(body.modules)}"
    )
