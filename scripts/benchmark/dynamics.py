"""Times a step of dynamics: on the device, through ASE, and the compiled evaluation alone.

    python -m scripts.benchmark dynamics runs/water/water.equipot --atoms 192
    python -m scripts.benchmark dynamics ethanol.equipot --structure molecule.xyz --systems 64

The first moves a box of water at 300 K. The second moves so many copies of a structure, disturbed
by some hundredths of an Å: on the device together, through ASE one; what is compared is the time of
a step of one of them. The evaluation alone is the program of the calculator with a graph that stays
as it is and has as much room for pairs as the dynamics.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet

from equipot import EquipotCalculator
from equipot.calculators import dynamics, trajectory
from equipot.data import paths
from equipot.data.structure import Structure
from equipot.graphs import batching
from equipot.md import atoms as between
from equipot.md.ensembles import Ensemble
from equipot.md.simulation import Simulation
from equipot.potential import artefact
from equipot.potential.bound import Bound
from scripts.water import box

_STEP = 0.5  # fs
_RUNS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("potential", help="a saved potential")
    parser.add_argument("--atoms", type=int, default=192, help="of a box of water, about")
    parser.add_argument("--structure", help="a file of another structure")
    parser.add_argument("--systems", type=int, default=1, help="copies that move together")
    parser.add_argument("--steps", type=int, default=200, help="of each of five runs")


def run(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Prints and returns the milliseconds of a step of one system."""
    many = _structures(arguments)
    bound = Bound(artefact.load(arguments.potential))
    simulation = _simulation(bound, many)
    simulation.advance(0)
    steps = arguments.steps
    ase_steps = _ase_steps(arguments.potential, many[0])
    alone = _alone(bound, many, simulation.capacities[1])
    cases: dict[str, tuple[Callable[[], Any], int, int]] = {
        "evaluation alone": (lambda: [alone() for _ in range(steps)], steps, len(many)),
        "device": (lambda: simulation.advance(steps), steps, len(many)),
        "ASE": (lambda: ase_steps(steps), steps, 1),
    }
    rows = []
    for name, (function, count, systems) in cases.items():
        function()
        times = []
        for _ in range(_RUNS):
            start = time.perf_counter()
            function()
            times.append((time.perf_counter() - start) / count / systems)
        low, middle, high = (1e3 * x for x in (min(times), float(np.median(times)), max(times)))
        day = 86400.0 / (middle * 1e-3) * _STEP * 1e-6
        rows.append({"what": name, "systems": systems, "ms": middle, "ns_per_day": day})
        print(f"{name:18s} {middle:9.3f} ms ({low:.3f}–{high:.3f})  {day:8.3f} ns/day")
    searches = simulation.num_searches
    print(f"{len(many)} systems of {len(many[0])} atoms; {searches} searches for neighbors")
    return rows


def _structures(arguments: argparse.Namespace) -> list[Atoms]:
    if arguments.structure is None:
        start = box.water_box(arguments.atoms // 3, density=1.0, seed=0)
    else:
        start = trajectory.read_atoms(paths.resolve(arguments.structure))
    rng = np.random.default_rng(0)
    many = [start.copy() for _ in range(arguments.systems)]
    for own in many:
        own.positions += rng.normal(scale=0.02, size=own.positions.shape)
        dynamics.draw_velocities(own, 300.0, rng)
    return many


def _simulation(bound: Bound, many: list[Atoms]) -> Simulation:
    starts = [between.start_of(own, i, 300.0, conserves=True) for i, own in enumerate(many)]
    velocities = [own.get_velocities() for own in many]
    return Simulation(bound, starts, Ensemble(timestep=_STEP * units.fs), velocities=velocities)


def _alone(bound: Bound, many: list[Atoms], capacity: int) -> Callable[[], Any]:
    """The compiled evaluation of all systems, with the room that the dynamics has."""
    spec = bound.spec
    graphs = [
        batching.build_graph(
            Structure(
                positions=own.get_positions(),
                atomic_numbers=own.numbers,
                cell=np.asarray(own.cell),
                pbc=np.asarray(own.pbc),
            ),
            spec.cutoff,
            spec.species_table,
            spec.references,
            spec.heads,
        )
        for own in many
    ]
    nodes = sum(len(own) for own in many) + 1
    edges = max(capacity, sum(len(graph.senders) for graph in graphs) + 1)
    budget = batching.Budget(nodes=nodes, edges=edges, graphs=len(many) + 1)
    with bound.entered():
        batch = jax.device_put(batching.collate(graphs, budget, spec.cutoff, spec.dtype))

    def evaluate() -> Any:
        with bound.entered():
            return jax.block_until_ready(bound.predict(bound.params, batch))

    return evaluate


def _ase_steps(potential: str, start: Atoms) -> Callable[[int], Any]:
    own = start.copy()
    own.calc = EquipotCalculator(potential)
    integrator = VelocityVerlet(own, _STEP * units.fs)
    return integrator.run
