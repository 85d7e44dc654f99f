"""What happens before the first step of a training, timed stage by stage: from files to graphs.

    python -m scripts.start_up --frames 5000 20000
    taskset -c 0,1 python -m scripts.start_up --frames 100000 --formats npz --json start_up.json

For each number of frames it makes an npz as revised MD17 has it (one molecule of 20 atoms of C, H,
N and O, in kcal/mol) and an extended xyz of the same, in a temporary folder, and takes them through
what ``equipot-train`` does with them. Wall time, time of the processor, and frames per second of
wall time; for extended xyz beside ``ase.io.read`` alone. Nothing is read from the cache. jax is
not imported. Run it on a machine that does nothing else.
"""

import argparse
import gc
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import ase
import ase.io
import numpy as np

from equipot import files
from equipot.data import audit, dataset, distance_range, fingerprint, readers, splits, structure
from equipot.data.config import DataConfig
from equipot.store import host_graph, packing, statistics

T = TypeVar("T")

# Eight C, nine H, one N, two O, as in paracetamol; two by two by five places.
NUMBERS = np.array([6, 6, 6, 6, 6, 6, 7, 8, 6, 6, 8, 1, 1, 1, 1, 1, 1, 1, 1, 1])
SPACING = 1.45  # Å
UNIT = 0.0433641153087705  # eV per kcal/mol
LOSS_TERMS = {"energy": 1.0, "forces": 1.0, "stress": 0.0}


class Stages:
    """Times of the stages of one run, in order.

    Attributes:
      rows: Name, seconds on the clock, seconds of the processor.
    """

    def __init__(self) -> None:
        self.rows: list[tuple[str, float, float]] = []

    def timed(self, name: str, function: Callable[..., T], *arguments: object) -> T:
        """Calls a function and keeps how long it took."""
        wall, own = time.perf_counter(), time.process_time()
        result = function(*arguments)
        self.rows.append((name, time.perf_counter() - wall, time.process_time() - own))
        return result


def main() -> None:
    """Reads the command line, times every case, prints tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, nargs="+", default=[5000])
    parser.add_argument(
        "--formats", nargs="+", choices=("npz", "extxyz"), default=["npz", "extxyz"]
    )
    parser.add_argument("--cutoff", type=float, default=5.0, help="Å")
    parser.add_argument("--no-ase", action="store_true", help="leave ase.io.read out")
    parser.add_argument("--profile", metavar="STAGE", help="also run one stage under cProfile")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    gc.set_threshold(50_000, 20, 50)  # as the commands do
    found = []
    for frames in arguments.frames:
        for name in arguments.formats:
            with tempfile.TemporaryDirectory() as folder:
                path = write(Path(folder) / f"molecules.{name}", frames)
                stages = run(path, arguments)
                report(f"{frames} frames of {len(NUMBERS)} atoms, {name}", stages, frames)
                rows = [dict(zip(("stage", "wall", "cpu"), r, strict=True)) for r in stages.rows]
                found.append({"frames": frames, "format": name, "stages": rows})
    if arguments.json:
        about = {"cores": len(os.sched_getaffinity(0)), "machine": platform.processor()}
        files.write(arguments.json, json.dumps({"about": about, "results": found}, indent=2))


def write(path: Path, frames: int) -> Path:
    """Writes distorted molecules with made-up labels."""
    generator = np.random.default_rng(0)
    places = SPACING * np.stack(np.meshgrid(range(5), range(2), range(2)), axis=-1).reshape(-1, 3)
    positions = places + generator.uniform(-0.15, 0.15, (frames, len(places), 3))
    energies = -3.2e5 + generator.normal(0.0, 5.0, frames)  # kcal/mol
    forces = generator.normal(0.0, 20.0, positions.shape)
    forces -= forces.mean(axis=1, keepdims=True)
    if path.suffix == ".npz":
        np.savez(path, nuclear_charges=NUMBERS, coords=positions, energies=energies, forces=forces)
        return path
    symbols = ase.Atoms(NUMBERS).get_chemical_symbols()
    header = 'Properties=species:S:1:pos:R:3:forces:R:3 energy={:.8f} pbc="F F F"\n'
    with path.open("w") as file:
        for i in range(frames):
            file.write(f"{len(symbols)}\n{header.format(UNIT * energies[i])}")
            for symbol, place, force in zip(symbols, positions[i], UNIT * forces[i], strict=True):
                numbers = " ".join(f"{value:15.8f}" for value in (*place, *force))
                file.write(f"{symbol:2} {numbers}\n")
    return path


def run(path: Path, arguments: argparse.Namespace) -> Stages:
    """Takes one file through all stages."""
    stages = Stages()
    unit = "kcal/mol" if path.suffix == ".npz" else None
    config = DataConfig(train=str(path), energy_unit=unit, cache=False)
    timed = profiled(stages, arguments.profile) if arguments.profile else stages.timed
    made = timed("reading", readers.read_file, path, config)
    items = list(made.structures)
    counts = splits.plan_counts(len(items), config, set_aside_valid=True, set_aside_test=True)
    chosen = timed("splits", splits.split, items, counts, config)
    names = ("train", "valid", "test")
    parts = {n: tuple(items[i] for i in c) for n, c in zip(names, chosen, strict=True)}
    digest = timed("fingerprint", fingerprint.dataset, parts, {})
    data = dataset.Dataset(
        train=parts["train"],
        valid=parts["valid"],
        test=parts["test"],
        isolated_atoms={},
        fingerprint=digest,
        found=made.found,
        length_unit_given=made.length_unit_given,
        units_given=made.units_given,
    )
    timed("audit", audit.audit, data, LOSS_TERMS)
    table = timed("references", references, data.train)
    every = [s for part in parts.values() for s in part]
    energies = np.zeros(len(table))
    graphs = timed("graphs", host_graph.build_graphs, every, arguments.cutoff, table, energies)
    timed("packing", pack, graphs)
    timed("distance range", distance_range.measure, data.train, arguments.cutoff)
    if path.suffix == ".extxyz" and not arguments.no_ase:
        images = stages.timed("ase.io.read alone", ase.io.read, path, ":")
        assert len(images) == len(items)
    return stages


def references(structures: tuple[structure.Structure, ...]) -> tuple[int, ...]:
    """The species table and reference energies."""
    # Here, so that this program also runs where potential needs jax.
    from equipot.potential import references as fitted
    from equipot.potential.config import PotentialConfig

    table = statistics.species_table(structures)
    fitted.compute_references(structures, table, {}, PotentialConfig())
    return table


def pack(graphs: list[host_graph.HostGraph]) -> list[packing.Bin]:
    """The size table, the budget, and the batches of one epoch."""
    sizes = packing.size_table(graphs)
    order = np.random.default_rng(0).permutation(len(sizes))
    return packing.pack(sizes, order, packing.plan_sizes(sizes, 8))


def profiled(stages: Stages, wanted: str) -> Callable[..., Any]:
    """As ``Stages.timed``, with a profile of the stage that is wanted."""

    def timed(name: str, function: Callable[..., Any], *arguments: object) -> Any:
        if name != wanted:
            return stages.timed(name, function, *arguments)
        import cProfile
        import pstats

        profile = cProfile.Profile()
        result = stages.timed(name, profile.runcall, function, *arguments)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        return result

    return timed


def report(title: str, stages: Stages, frames: int) -> None:
    """Prints one table."""
    print(f"\n{title}")
    own = [row for row in stages.rows if "alone" not in row[0]]
    total = ("from file to graphs", sum(row[1] for row in own), sum(row[2] for row in own))
    for name, wall, cpu in (*own, total, *(row for row in stages.rows if row not in own)):
        print(f"{name:20} {wall:8.2f} s  {cpu:8.2f} s of processor {frames / wall:10.0f} frames/s")


if __name__ == "__main__":
    main()
