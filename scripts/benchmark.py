"""Times a potential on boxes of liquid water: energy + forces, and one training step on both.

    python scripts/benchmark.py --model nequip --set num_layers=4 lmax=2 num_channels=32 cutoff=5.0
    python scripts/benchmark.py --molecules 64 512 --json benchmark.json

The box is molecules on a jittered lattice at 0.997 g/cm³; parameters are random, which does not
change the time. Times are medians with their extremes, after one call to warm up; compilation is
given apart. The training step is Adam on the sum of the squared errors of energy and forces, with
donated state.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ase import Atoms
from ase.build import molecule
from scipy.spatial.transform import Rotation

from equipot import graphs
from equipot.cli import console
from equipot.data.structure import Structure
from equipot.models import registry
from equipot.potential import potential
from equipot.typing import PyTree

WATER_MASS_AMU, AMU_PER_GRAM, DENSITY = 18.015, 6.02214e23, 0.997


def water_box(side: int, seed: int = 0) -> Structure:
    """``side``³ randomly turned molecules on a jittered cubic lattice at the density of water."""
    length = (side**3 * WATER_MASS_AMU / AMU_PER_GRAM / DENSITY * 1e24) ** (1 / 3)
    rng = np.random.default_rng(seed)
    template = molecule("H2O")
    template.positions -= template.get_center_of_mass()
    box = Atoms(cell=[length] * 3, pbc=True)
    for site in np.ndindex(side, side, side):
        copy = template.copy()
        turn = Rotation.random(rng=rng).as_matrix()
        centre = (np.asarray(site) + 0.5) * length / side + rng.normal(0, 0.1, 3)
        copy.positions = copy.positions @ turn.T + centre
        box += copy
    return Structure(
        positions=box.positions,
        atomic_numbers=box.numbers,
        cell=np.asarray(box.cell),
        pbc=np.asarray(box.pbc),
        source=f"water box of {side**3} molecules",
    )


def measure(call: Callable[[], PyTree], repeats: int) -> dict[str, float]:
    """Median, least and largest seconds of a call that runs to its end."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - start)
    return {"median": float(np.median(seconds)), "min": min(seconds), "max": max(seconds)}


def make_step(predict: Callable, optimizer: optax.GradientTransformation) -> Callable:
    """One update on energy and forces, as a pure function of (params, state, graph)."""

    def loss(params: PyTree, graph: graphs.Graph) -> jax.Array:
        prediction = predict(params, graph)
        return jnp.mean(prediction.energy**2) + jnp.mean((prediction.forces - 0.1) ** 2)

    def step(params: PyTree, state: PyTree, graph: graphs.Graph) -> tuple[PyTree, PyTree]:
        updates, state = optimizer.update(jax.grad(loss)(params, graph), state)
        return optax.apply_updates(params, updates), state

    return step


def benchmark(spec: potential.PotentialSpec, structure: Structure, repeats: int) -> dict:
    """Times one potential on one structure."""
    host = graphs.build_graph(
        structure, spec.cutoff, spec.species_table, np.asarray(spec.atomic_energies)
    )
    budget = graphs.plan_budget([host], 1)
    graph = jax.tree.map(jnp.asarray, graphs.collate([host], budget, spec.cutoff))
    params = potential.init_params(spec, jax.random.key(0), np.ones(2), np.zeros(2))
    predict = potential.make_predict(spec)

    start = time.perf_counter()
    run = jax.jit(predict).lower(params, graph).compile()
    compile_seconds = time.perf_counter() - start
    jax.block_until_ready(run(params, graph))
    energy_forces = measure(lambda: run(params, graph), repeats)

    optimizer = optax.adam(1e-3)
    state = optimizer.init(params)
    start = time.perf_counter()
    step = jax.jit(make_step(predict, optimizer), donate_argnums=(0, 1))
    step = step.lower(params, state, graph).compile()
    step_compile_seconds = time.perf_counter() - start
    carry = [step(params, state, graph)]

    def advance() -> PyTree:
        carry[0] = step(*carry[0], graph)
        return carry[0]

    jax.block_until_ready(advance())
    training = measure(advance, repeats)
    return {
        "atoms": len(structure.positions),
        "edges": int(host.num_edges),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(carry[0][0])),
        "energy_forces_s": energy_forces,
        "training_step_s": training,
        "compile_s": {"energy_forces": compile_seconds, "training_step": step_compile_seconds},
        "temporary_mb": {
            "energy_forces": run.memory_analysis().temp_size_in_bytes / 1e6,
            "training_step": step.memory_analysis().temp_size_in_bytes / 1e6,
        },
    }


def report(result: dict) -> str:
    """Two lines for a terminal."""
    forces, training = result["energy_forces_s"], result["training_step_s"]
    compiled, memory = result["compile_s"], result["temporary_mb"]
    rows = [
        f"{result['atoms']} atoms, {result['edges']} edges, {result['parameters']} parameters",
        f"  energy + forces {forces['median']:.4f} s ({forces['min']:.4f}-{forces['max']:.4f}),"
        f" {forces['median'] / result['atoms'] * 1e6:.1f} µs/atom, compile"
        f" {compiled['energy_forces']:.1f} s, {memory['energy_forces']:.0f} MB",
        f"  training step   {training['median']:.4f} s"
        f" ({training['min']:.4f}-{training['max']:.4f}), compile"
        f" {compiled['training_step']:.1f} s, {memory['training_step']:.0f} MB",
    ]
    return "\n".join(rows)


def main() -> None:
    """Reads the command line, times every size, prints and writes the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="nequip", help="name of the model")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="its settings")
    parser.add_argument("--molecules", nargs="*", type=int, default=[64], help="cubes of integers")
    parser.add_argument("--repeats", type=int, default=7, help="timed calls of each")
    parser.add_argument("--json", type=Path, help="write the results here too")
    arguments = parser.parse_args()
    console.keep_memory()

    settings = {key: json.loads(value) for key, value in (s.split("=", 1) for s in arguments.set)}
    name, config = registry.config_from_mapping({"name": arguments.model, **settings})
    spec = potential.PotentialSpec(
        model_name=name,
        model_config=config,
        species_table=(1, 8),
        atomic_energies=(0.0, 0.0),
        avg_num_neighbors=50.0,
    )
    device = jax.devices()[0]
    print(f"{name} {config}\njax {jax.__version__} on {device.device_kind}, {platform.machine()}")
    results = []
    for count in arguments.molecules:
        side = round(count ** (1 / 3))
        results.append(benchmark(spec, water_box(side), arguments.repeats))
        print(report(results[-1]))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
