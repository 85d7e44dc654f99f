"""Measures what the calculator adds to the compiled program, in processor time for each step.

    python -m scripts.host_time --atoms 192 1536 12288

Boxes of liquid water whose atoms are displaced at random, by less than what the skin of the
neighbor list allows, as in a simulation between two searches. The potential's program is replaced
by one that reads its arguments and gives zeros: the processor time of a step, less that of this
program called with arguments on the device, is what positions cost on their way in and forces on
their way out. Given are medians over steps, of all threads, in ms, with and without the comparison
of distances with those of training.
"""

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import ase
import jax
import jax.numpy as jnp
import numpy as np

from equipot import graphs
from equipot.calculators.ase import EquipotCalculator
from equipot.data import distance_range
from equipot.data.structure import Structure
from equipot.potential import potential
from equipot.typing import PyTree
from scripts.benchmark import cases

SKIN = 0.5  # Å
LARGEST_MOVE = 0.45  # of the skin; a search comes beyond one half
CUTOFF = 5.0  # Å


def idle(
    spec: potential.PotentialSpec, **options: Any
) -> Callable[[PyTree, graphs.Graph], potential.Prediction]:
    """A program that takes and gives what a potential's does, and computes nothing."""

    def predict(params: PyTree, graph: graphs.Graph) -> potential.Prediction:
        dtype = graph.nodes.positions.dtype
        leaves = jax.tree.leaves((params, graph))
        touched = [leaf.ravel()[0].astype(dtype) for leaf in leaves]
        nothing = 0.0 * sum(touched[1:], touched[0])
        return potential.Prediction(
            node_energy=nothing + jnp.zeros(len(graph.nodes.species), dtype),
            energy=nothing + jnp.zeros(len(graph.n_node), dtype),
            forces=nothing + jnp.zeros(graph.nodes.positions.shape, dtype),
            stress=nothing + jnp.zeros((len(graph.n_node), 3, 3), dtype),
        )

    return predict


def make_potential(structure: Structure, with_range: bool) -> potential.Potential:
    """A potential for water; what it computes does not matter."""
    spec = cases.water_spec("schnet", cutoff=CUTOFF, num_layers=1, num_channels=4)
    params = potential.init_params(spec, jax.random.key(0), jnp.ones(2), jnp.zeros(2))
    span = _wide_range(structure) if with_range else None
    return potential.Potential(spec=spec, params=params, distance_range=span)


def _wide_range(structure: Structure) -> distance_range.DistanceRange:
    """A range that no displacement leaves, as in a simulation within it."""
    span = distance_range.measure([structure], CUTOFF)
    return dataclasses.replace(
        span,
        shortest={pair: length - SKIN for pair, length in span.shortest.items()},
        longest={number: length + SKIN for number, length in span.longest.items()},
    )


def median_milliseconds(function: Callable[[int], Any], repeats: int) -> float:
    """Processor time of one call, the median, after a few that do not count."""
    times = []
    for i in range(repeats + 3):
        begin = time.process_time()
        function(i)
        times.append(time.process_time() - begin)
    return 1e3 * statistics.median(times[3:])


def measure(num_atoms: int, repeats: int, with_range: bool) -> tuple[float, float]:
    """Processor time in ms of a step and of the program alone."""
    structure = cases.water_structure(num_atoms // cases.ATOMS_PER_MOLECULE)
    atoms = ase.Atoms(
        numbers=structure.atomic_numbers,
        positions=structure.positions,
        cell=structure.cell,
        pbc=structure.pbc,
    )
    trained = make_potential(structure, with_range)
    atoms.calc = EquipotCalculator(trained, skin=SKIN)
    atoms.get_forces()
    moves = _moves(len(atoms), repeats + 3)

    def step(i: int) -> None:
        atoms.positions = structure.positions + moves[i]
        atoms.get_forces()

    step_time = median_milliseconds(step, repeats)
    if atoms.calc.n_neighbor_searches != 1:
        raise RuntimeError(f"expected one search, found {atoms.calc.n_neighbor_searches}")
    return step_time, _program_alone(trained, structure, repeats)


def _moves(num_atoms: int, steps: int) -> np.ndarray:
    """Displacements in Å, of which the largest grows as between two searches of a simulation."""
    generator = np.random.default_rng(0)
    moves = generator.standard_normal((steps, num_atoms, 3))
    moves /= np.linalg.norm(moves, axis=-1).max(axis=1)[:, None, None]
    largest = LARGEST_MOVE * SKIN * generator.uniform(0.0, 1.0, steps)
    return moves * largest[:, None, None]


def _program_alone(trained: potential.Potential, structure: Structure, repeats: int) -> float:
    spec = trained.spec
    host = graphs.build_graph(structure, spec.cutoff, spec.species_table, np.zeros(2))
    batch = graphs.collate([host], graphs.plan_budget([host], 1), spec.cutoff)
    arguments = jax.device_put((trained.params, batch))
    program = jax.jit(idle(spec))
    return median_milliseconds(
        lambda i: jax.block_until_ready(program(*arguments)), max(repeats, 50)
    )


def main() -> None:
    """Prints one line for each size."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--atoms", nargs="*", type=int, default=[192, 1536, 12288])
    parser.add_argument("--repeats", type=int, default=100, help="steps")
    arguments = parser.parse_args()
    potential.make_predict = idle  # what the calculator compiles
    print("   atoms  range     step  program  host time, ms")
    for num_atoms in arguments.atoms:
        for with_range in (False, True):
            step, alone = measure(num_atoms, arguments.repeats, with_range)
            word = "yes" if with_range else "no"
            print(
                f"{num_atoms:8}  {word:5} {step:8.3f} {alone:8.3f} {step - alone:8.3f}", flush=True
            )


if __name__ == "__main__":
    main()
