"""What is timed: potentials with random parameters on boxes of water, each a compiled program.

A case is a model with its settings, a number of atoms, a precision, and a task: energies with
forces and stress, or a step of Adam on the sum of the squared errors of energy and forces.
"""

import argparse
import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from equipot import graphs
from equipot.data.structure import Structure
from equipot.models import registry
from equipot.potential import potential
from equipot.typing import PyTree
from scripts.water import box

ENERGY_FORCES, TRAINING = "energy + forces", "training step"
TASKS = (ENERGY_FORCES, TRAINING)
AVG_NUM_NEIGHBORS = 50.0
ATOMS_PER_MOLECULE = 3

# The models that `--peers` times, with all that their sizes depend on.
PEERS_PRESET: dict[str, dict[str, Any]] = {
    "mace": {
        "cutoff": 5.0,
        "num_layers": 2,
        "num_channels": 64,
        "lmax": 3,
        "message_lmax": 1,
        "correlation": 3,
        "num_radial_basis": 8,
        "radial_widths": [64, 64, 64],
        "readout_width": 16,
    },
    "nequip": {
        "cutoff": 5.0,
        "num_layers": 4,
        "num_channels": 32,
        "lmax": 2,
        "num_radial_basis": 8,
        "radial_widths": [64, 64],
        "readout_widths": [],
    },
    "allegro": {
        "cutoff": 5.0,
        "num_layers": 2,
        "num_scalars": 64,
        "num_channels": 32,
        "lmax": 2,
        "num_radial_basis": 8,
        "embedding_dim": 64,
        "embedding_widths": [64],
        "latent_widths": [64],
        "readout_widths": [32],
    },
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One program to time.

    Attributes:
      model: Name of the model.
      settings: The model's settings that are not the defaults.
      atoms: Atoms of the box, three times a cube.
      task: One of ``TASKS``.
      dtype: Precision of the model.
      species: Elements that the potential knows: H and O alone if 2, else the first of the table.
    """

    model: str
    settings: Mapping[str, Any]
    atoms: int
    task: str
    dtype: str = "float32"
    species: int = 2


class Program(NamedTuple):
    """A function with its arguments, and the size of the work; each pair makes two edges."""

    function: Callable[..., PyTree]
    arguments: tuple[PyTree, ...]
    atoms: int
    edges: int
    parameters: int


def water_structure(num_molecules: int) -> Structure:
    """The box of water that peers are timed on."""
    water = box.jittered_lattice(num_molecules, seed=0)
    return Structure(
        positions=water.positions,
        atomic_numbers=water.numbers,
        cell=np.asarray(water.cell),
        pbc=np.asarray(water.pbc),
        source=f"water box of {num_molecules} molecules",
    )


def water_spec(
    model: str, dtype: str = "float32", species: int = 2, **settings: object
) -> potential.PotentialSpec:
    """A potential for H and O, or for the first elements of the table, with a model's settings."""
    name, config = registry.config_from_mapping({"name": model, **settings})
    table = (1, 8) if species == 2 else tuple(range(1, species + 1))
    return potential.PotentialSpec(
        model_name=name,
        model_config=registry.for_species(config, species),
        species_table=table,
        atomic_energies=(0.0,) * species,
        avg_num_neighbors=AVG_NUM_NEIGHBORS,
        dtype=dtype,
    )


def make_step(predict: Callable, optimizer: optax.GradientTransformation) -> Callable:
    """One update on energy and forces, as a pure function of (params, state, graph)."""

    def loss(params: PyTree, graph: graphs.Graph) -> jax.Array:
        prediction = predict(params, graph)
        return jnp.mean(prediction.energy**2) + jnp.mean((prediction.forces - 0.1) ** 2)

    def step(params: PyTree, state: PyTree, graph: graphs.Graph) -> tuple[PyTree, PyTree]:
        updates, state = optimizer.update(jax.grad(loss)(params, graph), state)
        return optax.apply_updates(params, updates), state

    return step


def build_programs(spec: potential.PotentialSpec, structure: Structure) -> dict[str, Program]:
    """Energy and forces, and a training step, of one potential on one structure.

    In float64 this must be called inside ``potential.precision.of``.
    """
    references = np.asarray(spec.atomic_energies)
    host = graphs.build_graph(structure, spec.cutoff, spec.species_table, references)
    budget = graphs.plan_budget([host], 1)
    batch = graphs.collate([host], budget, spec.cutoff, dtype=spec.dtype)
    graph = jax.tree.map(jnp.asarray, batch)
    each = np.ones(len(spec.species_table), np.float32)
    params = potential.init_params(spec, jax.random.key(0), jnp.asarray(each), jnp.zeros_like(each))
    predict = potential.make_predict(spec)
    optimizer = optax.adam(1e-3)
    step = make_step(predict, optimizer)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(params["model"]))
    size = len(structure.positions), 2 * host.num_edges, parameters
    return {
        ENERGY_FORCES: Program(predict, (params, graph), *size),
        TRAINING: Program(step, (params, optimizer.init(params), graph), *size),
    }


def build(case: Case) -> Program:
    """The program of a case.

    Raises:
      ValueError: The number of atoms is not that of a box.
    """
    molecules = case.atoms // ATOMS_PER_MOLECULE
    if molecules * ATOMS_PER_MOLECULE != case.atoms:
        raise ValueError(
            f"expected atoms of whole molecules, a multiple of {ATOMS_PER_MOLECULE}, received"
            f" {case.atoms}"
        )
    spec = water_spec(case.model, case.dtype, case.species, **case.settings)
    return build_programs(spec, water_structure(molecules))[case.task]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say what is timed."""
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="name of a model, or all; may be repeated; by default nequip",
    )
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the models"
    )
    parser.add_argument(
        "--preset",
        choices=["peers"],
        help="peers: models of the size that other programs are timed with; by default all of them",
    )
    parser.add_argument(
        "--atoms", nargs="*", type=int, default=[192], help="sizes of the box: 192, 1536, 5184, ..."
    )
    parser.add_argument("--task", choices=TASKS, help="by default both")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument(
        "--species", nargs="*", type=int, default=[2], help="elements that a potential knows: 2, 89"
    )


def cases(arguments: argparse.Namespace) -> list[Case]:
    """The cases that a command line asks for: sizes, then models, then tasks."""
    preset = PEERS_PRESET if arguments.preset else {}
    names = arguments.model or list(preset) or ["nequip"]
    if "all" in names:
        names = list(registry.available())
    settings = {key: json.loads(value) for key, value in (s.split("=", 1) for s in arguments.set)}
    return [
        Case(
            model=name,
            settings=preset.get(name, {}) | settings,
            atoms=atoms,
            task=task,
            dtype=arguments.dtype,
            species=species,
        )
        for atoms in arguments.atoms
        for name in names
        for species in arguments.species
        for task in ([arguments.task] if arguments.task else TASKS)
    ]
