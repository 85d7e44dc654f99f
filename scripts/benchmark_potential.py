"""Times a potential on boxes of liquid water: energy + forces, and one training step on both.

    python scripts/benchmark.py potential --set num_layers=4 lmax=2 num_channels=32 cutoff=5.0
    python scripts/benchmark.py potential --molecules 64 512 --json benchmark.json

The box is turned molecules on a lattice at 0.997 g/cm³. The training step is Adam on the sum of
the squared errors of energy and forces.
"""

import argparse
import json
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
import water_box
from timing import Compiled, Timing, compile_once, in_turn

from equipot import graphs
from equipot.data.structure import Structure
from equipot.models import registry
from equipot.potential import potential
from equipot.typing import PyTree

DENSITY = 0.997  # g/cm³


def water_structure(num_molecules: int) -> Structure:
    """A box of turned water molecules on a lattice."""
    box = water_box.water_box(num_molecules, DENSITY, seed=0)
    return Structure(
        positions=box.positions,
        atomic_numbers=box.numbers,
        cell=np.asarray(box.cell),
        pbc=np.asarray(box.pbc),
        source=f"water box of {num_molecules} molecules",
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


def programs(spec: potential.PotentialSpec, structure: Structure) -> dict[str, Compiled]:
    """Energy and forces, and a training step, of one potential on one structure."""
    host = graphs.build_graph(
        structure, spec.cutoff, spec.species_table, np.asarray(spec.atomic_energies)
    )
    budget = graphs.plan_budget([host], 1)
    graph = jax.tree.map(jnp.asarray, graphs.collate([host], budget, spec.cutoff))
    params = potential.init_params(spec, jax.random.key(0), jnp.ones(2), jnp.zeros(2))
    predict = potential.make_predict(spec)
    optimizer = optax.adam(1e-3)
    step = make_step(predict, optimizer)
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    print(f"{len(structure.positions)} atoms, {host.num_edges} edges, {size} parameters")
    return {
        "energy + forces": compile_once(predict, params, graph),
        "training step": compile_once(step, params, optimizer.init(params), graph),
    }


def report(timings: dict[str, Timing], num_atoms: int) -> str:
    """A line for each program."""
    return "\n".join(
        f"  {name:16} {t.median:.4f} s ({t.minimum:.4f}-{t.maximum:.4f}),"
        f" {t.median / num_atoms * 1e6:.1f} µs/atom, compile {t.compile_seconds:.1f} s,"
        f" {t.temporary_mb:.0f} MB"
        for name, t in timings.items()
    )


def water_spec(model: str, **settings: object) -> potential.PotentialSpec:
    """A potential for hydrogen and oxygen with the settings of a model."""
    name, config = registry.config_from_mapping({"name": model, **settings})
    return potential.PotentialSpec(
        model_name=name,
        model_config=config,
        species_table=(1, 8),
        atomic_energies=(0.0, 0.0),
        avg_num_neighbors=50.0,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this benchmark."""
    parser.add_argument("--model", default="nequip", help="name of the model")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="its settings")
    parser.add_argument("--molecules", nargs="*", type=int, default=[64], help="sizes of the box")
    parser.add_argument("--repeats", type=int, default=7, help="timed calls of each")


def run(arguments: argparse.Namespace) -> list[dict]:
    """Times every size."""
    settings = {key: json.loads(value) for key, value in (s.split("=", 1) for s in arguments.set)}
    spec = water_spec(arguments.model, **settings)
    print(f"{spec.model_name} {spec.model_config}")
    results = []
    for count in arguments.molecules:
        structure = water_structure(count)
        timings = in_turn(programs(spec, structure), arguments.repeats)
        print(report(timings, len(structure.positions)))
        results.append({"molecules": count} | {k: t._asdict() for k, t in timings.items()})
    return results
