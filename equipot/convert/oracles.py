"""What the original torch model says of structures, in the form of ``potential.evaluate``.

Graphs are built by equipot and handed to the torch model, so no calculator or neighbor list of the
other program is needed, and a difference is one of the models alone.
"""

import importlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from equipot.convert import mace_config, mace_constants
from equipot.convert.nequip import type_names
from equipot.data import structure as structures_
from equipot.data.structure import Structure
from equipot.graphs.batching import HostGraph, build_graph
from equipot.potential.evaluate import HostPrediction
from equipot.store import neighbors

_WIGNER = re.compile(r"_w3j_(\d+)_(\d+)_(\d+)$")


def to_float64(module: Any) -> Any:
    """Turns a model of mace-torch or nequip into one of float64, in place.

    Weights keep their values. Clebsch–Gordan coefficients and other constants, which are no
    weights, are set anew: those of a float32 model are rounded.
    """
    torch: Any = importlib.import_module("torch")
    o3: Any = importlib.import_module("e3nn.o3")
    constants = mace_constants.exact_buffers(module)
    module = module.double()
    for part in module.modules():
        for name in ("_output_dtype", "model_dtype"):
            if getattr(part, name, None) is torch.float32:
                setattr(part, name, torch.float64)
    for name, buffer in module.named_buffers():
        if found := _WIGNER.search(name):
            exact = o3.wigner_3j(*map(int, found.groups()), dtype=torch.float64)
            buffer.copy_(exact.reshape(buffer.shape))
        elif name in constants:
            buffer.copy_(torch.as_tensor(constants[name]))
    return module


def evaluate_nequip(model: Any, structures: Sequence[Structure]) -> list[HostPrediction]:
    """Energies, forces and stresses of a ``GraphModel`` of nequip.

    Args:
      model: The model, in any precision.
      structures: Of elements that it knows.
    """
    torch: Any = importlib.import_module("torch")
    numbers = tuple(structures_.atomic_number(name) or 0 for name in type_names(model))
    cutoff = float(model.metadata["r_max"])

    def evaluate(structure: Structure) -> HostPrediction:
        graph = _graph(structure, cutoff, numbers)
        senders, receivers, shifts = _directed(graph)
        data = {
            "pos": graph.positions,
            "edge_index": np.stack([receivers, senders]).astype(np.int64),
            "edge_cell_shift": -shifts,
            "cell": _cell(graph)[None],
            "atom_types": graph.species.astype(np.int64),
            "batch": np.zeros(graph.num_nodes, np.int64),
            "num_atoms": np.array([graph.num_nodes]),
        }
        found = model({name: torch.as_tensor(value) for name, value in data.items()})
        return _prediction(found, "atomic_energy", structure)

    return [evaluate(structure) for structure in structures]


def evaluate_mace(
    module: Any, structures: Sequence[Structure], head: str | None = None
) -> list[HostPrediction]:
    """Energies, forces and stresses of a model of mace-torch.

    Args:
      module: The model, in any precision.
      structures: Of elements that it knows.
      head: Which of its heads; needed where it has several.

    Raises:
      ConfigError: If there is no such head, or several and none is named.
    """
    torch: Any = importlib.import_module("torch")
    numbers = tuple(int(z) for z in module.atomic_numbers)
    index = mace_config.head_index(module, head)
    dtype = next(module.parameters()).dtype

    def evaluate(structure: Structure) -> HostPrediction:
        graph = _graph(structure, float(module.r_max), numbers)
        cell, (senders, receivers, shifts) = _cell(graph), _directed(graph)
        floats = {
            "positions": graph.positions,
            "node_attrs": np.eye(len(numbers))[graph.species],
            "unit_shifts": shifts,
            "shifts": shifts @ cell,
            "cell": cell,
        }
        integers = {
            "edge_index": np.stack([senders, receivers]),
            "batch": np.zeros(graph.num_nodes),
            "ptr": np.array([0, graph.num_nodes]),
            "head": np.array([index]),
        }
        data = {name: torch.as_tensor(value).to(dtype) for name, value in floats.items()}
        data |= {name: torch.as_tensor(value).to(torch.int64) for name, value in integers.items()}
        return _prediction(module(data, compute_stress=True), "node_energy", structure)

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)  # of products of numbers and atomic numbers, in the repulsion
    try:
        return [evaluate(structure) for structure in structures]
    finally:
        torch.set_default_dtype(before)


def _graph(structure: Structure, cutoff: float, numbers: tuple[int, ...]) -> HostGraph:
    """The graph of a structure; species are indices into ``numbers``, in any order."""
    table = tuple(sorted(numbers))
    graph = build_graph(structure, cutoff, table, np.zeros(len(table)))
    places = np.array([numbers.index(z) for z in table])
    graph.species[...] = places[graph.species]
    return graph


def _directed(graph: HostGraph) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Senders, receivers and shifts of both directions of every pair."""
    shifts = graph.cell_shifts.astype(np.float64)
    return neighbors.both_ways(graph.senders, graph.receivers, shifts)


def _cell(graph: HostGraph) -> np.ndarray:
    """The cell, or a cube where there is none: torch models divide by its volume."""
    return graph.cell if abs(np.linalg.det(graph.cell)) > 0 else 100.0 * np.eye(3)


def _prediction(found: Mapping[str, Any], energies: str, structure: Structure) -> HostPrediction:
    def array(name: str) -> np.ndarray:
        return found[name].detach().cpu().numpy().astype(np.float64)

    has_stress = bool(structure.pbc.all())
    atoms = array(energies).reshape(-1)
    return HostPrediction(
        energy=float(atoms.sum()),
        energies=atoms,
        forces=array("forces"),
        stress=array("stress").reshape(3, 3) if has_stress else np.zeros((3, 3)),
        has_stress=has_stress,
    )
