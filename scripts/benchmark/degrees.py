"""Times two kinds of equivariant networks against their highest degree L.

    python -m scripts.benchmark degrees --plot docs/images/e3_degrees.png

What does a degree cost? One answer each for NequIP (three layers of 32 channels per irrep, one
parity) and for a network of ``equipot.e3.dense`` layers (two message passes, each followed by a
product of two dense maps, 32 features, both parities), on the same box of water: energy and forces,
and the gradient of a loss on both with respect to the parameters.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from flax import linen as nn
from matplotlib import pyplot

from equipot import files, graphs
from equipot.data.structure import Structure
from equipot.e3 import dense
from equipot.graphs import geometry
from equipot.store import neighbors
from equipot.typing import Array, PyTree
from scripts.benchmark import cases
from scripts.benchmark.cases import ENERGY_FORCES, TASKS, TRAINING
from scripts.benchmark.timing import Compiled, Timing, compile_once, in_turn

CUTOFF, FEATURES = 5.0, 32


class DenseNetwork(nn.Module):
    """Energies of atoms from dense features of all degrees up to ``max_degree``."""

    max_degree: int

    @nn.compact
    def __call__(
        self, edge_vectors: Array, species: Array, senders: Array, receivers: Array
    ) -> Array:
        """Returns the sum of the energies of all atoms."""
        basis: Any = dense.basis(
            edge_vectors,
            max_degree=self.max_degree,
            num=8,
            radial_fn=dense.sinc,
            radial_kwargs={"limit": CUTOFF},
            cutoff_fn=lambda r: dense.smooth_cutoff(r, cutoff=CUTOFF),
        )
        lists = {"src_idx": senders, "dst_idx": receivers, "num_segments": len(species)}
        x = dense.Embed(num_embeddings=2, features=FEATURES)(species)
        for last in (False, True):
            degree = 0 if last else self.max_degree
            y = dense.MessagePass(max_degree=degree, include_pseudotensors=not last)(
                x, basis, **lists
            )
            x = dense.add(dense.change_max_degree_or_type(x, degree, not last), y)
            x = dense.TensorDense(FEATURES, max_degree=degree, include_pseudotensors=not last)(x)
            x = dense.silu(x)
        return jnp.sum(dense.Dense(1)(x)[:, 0, 0, 0])


def dense_programs(max_degree: int, structure: Structure) -> dict[str, Compiled]:
    """Energy and forces, and a gradient for training, of the dense network."""
    host = graphs.build_graph(structure, CUTOFF, (1, 8), np.zeros(2))
    *ends, shifts = neighbors.both_ways(host.senders, host.receivers, host.cell_shifts)
    edges = jnp.asarray(ends[0]), jnp.asarray(ends[1])
    graph_of_edges = np.zeros(len(shifts), np.int32)
    vectors = geometry.edge_vectors(
        jnp.asarray(host.positions, jnp.float32),
        host.cell[None],
        shifts,
        *edges,
        graph_of_edges,
    )
    network = DenseNetwork(max_degree)
    inputs = vectors, jnp.asarray(host.species), *edges
    params = jax.jit(network.init)(jax.random.key(0), *inputs)

    def energy_forces(params: PyTree, vectors: Array, *rest: Array) -> tuple[Array, Array]:
        energy, pull = jax.value_and_grad(network.apply, argnums=1)(params, vectors, *rest)
        count = len(rest[0])
        forces = jax.ops.segment_sum(pull, edges[0], count)
        return energy, forces - jax.ops.segment_sum(pull, edges[1], count)

    def loss(params: PyTree, *rest: Array) -> Array:
        energy, forces = energy_forces(params, *rest)
        return energy**2 + jnp.mean((forces - 0.1) ** 2)

    return {
        ENERGY_FORCES: compile_once(energy_forces, params, *inputs),
        TRAINING: compile_once(jax.grad(loss), params, *inputs),
    }


def nequip_programs(degree: int, structure: Structure) -> dict[str, Compiled]:
    """Energy and forces, and a training step, of NequIP."""
    settings = {"num_layers": 3, "num_channels": FEATURES, "cutoff": CUTOFF, "lmax": degree}
    spec = cases.water_spec("nequip", **settings)
    return {
        task: compile_once(program.function, *program.arguments)
        for task, program in cases.build_programs(spec, structure).items()
    }


def plot(results: list[dict], path: Path) -> None:
    """Seconds and temporary memory against the degree."""
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for network, marker in (("nequip", "o"), ("dense", "s")):
        for task, line in zip(TASKS, ("-", "--"), strict=True):
            chosen = [row for row in results if (row["network"], row["task"]) == (network, task)]
            degrees = [row["degree"] for row in chosen]
            for axis, key in zip(axes, ("median", "temporary_mb"), strict=True):
                values = [row[key] for row in chosen]
                axis.plot(degrees, values, line, marker=marker, label=f"{network}, {task}")
    for axis, label in zip(axes, ("time, s", "temporary memory, MB"), strict=True):
        axis.set(xlabel="highest degree L", ylabel=label, yscale="log")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False)
    with files.whole(path) as draft:
        figure.savefig(draft, dpi=150)
    pyplot.close(figure)


def report(degree: int, network: str, timings: dict[str, Timing]) -> str:
    """One line: time, compilation and memory of both programs."""
    columns = [
        f"{t.median:8.4f} s ({t.minimum:.4f}-{t.maximum:.4f}), compile {t.compile_seconds:5.1f} s,"
        f" {t.temporary_mb:6.0f} MB"
        for t in (timings[task] for task in TASKS)
    ]
    return f"L = {degree}  {network:8}" + " |".join(columns)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this benchmark."""
    parser.add_argument("--degrees", nargs="*", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--molecules", type=int, default=27, help="of the box, a cube")
    parser.add_argument("--repeats", type=int, default=7, help="timed calls of each")
    parser.add_argument("--plot", type=Path, help="write a picture here")


def run(arguments: argparse.Namespace) -> list[dict]:
    """Times both networks at every degree: energy + forces, then the gradient for training."""
    matplotlib.use("Agg")
    structure = cases.water_structure(arguments.molecules)
    networks: dict[str, Callable[[int], dict[str, Compiled]]] = {
        "nequip": lambda degree: nequip_programs(degree, structure),
        "dense": lambda degree: dense_programs(degree, structure),
    }
    results = []
    for degree in arguments.degrees:
        for network, build in networks.items():
            timings = in_turn(build(degree), arguments.repeats)
            print(report(degree, network, timings))
            results += [
                {"degree": degree, "network": network, "task": task} | timings[task]._asdict()
                for task in TASKS
            ]
    if arguments.plot:
        plot(results, arguments.plot)
    return results
