"""Plots g_OO(r) of liquid water from dynamics with a saved potential beside the measured one.

    python -m scripts.water.plot_rdf runs/water/water.equipot --time 10
    python -m scripts.water.plot_rdf runs/water/water.equipot --trajectory md.extxyz

Without ``--trajectory`` 64 molecules are put on a lattice, melted, equilibrated and run. The
measured function is that of Skinner and Benmore at 295.1 K, from a path you give or from
$EQUIPOT_REFERENCE_DATA/experiment; without it the simulated one is plotted alone.

Reference: Skinner, Benmore et al. 2014, J. Chem. Phys. 141, 214507. doi:10.1063/1.4902412
"""

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from equipot import EquipotCalculator, errors, files
from equipot.calculators import dynamics, relaxation, trajectory
from scripts.water import box

MEASURED = "experiment/exp-goo-T295.1K"
BIN = 0.05  # Å
PEAKS = (2.4, 3.2)  # Å, where the first peak is looked for
MINIMUM = (3.0, 4.2)  # Å, and the first minimum


def main() -> None:
    """Runs or reads, averages and plots."""
    options = parse()
    measured = read_measured(options.measured) if options.measured else None
    try:
        frames = read_frames(options) if options.trajectory else simulate(options)
    except errors.EquipotError as error:
        sys.exit(f"plot_rdf: {error}")
    r, g = pair_correlation(frames)
    print(f"{len(frames)} frames of {len(frames[0])} atoms")
    print(describe("simulated", r, g))
    if measured is not None:
        print(describe("measured ", *measured))
    np.savetxt(
        Path(options.output).with_suffix(".csv"),
        np.column_stack([r, g]),
        "%.4f",
        ",",
        header="r_A,g_OO",
        comments="",
    )
    plot(options, r, g, measured)
    print(f"picture: {options.output}")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("potential", help="a file that ends in .equipot")
    parser.add_argument("--trajectory", help="read these frames instead of running dynamics")
    parser.add_argument(
        "--skip", type=int, default=0, help="frames of it to leave out at the start"
    )
    parser.add_argument("--molecules", type=int, default=64)
    parser.add_argument("--density", type=float, default=0.9977, help="g/cm³")
    parser.add_argument("--temperature", type=float, default=295.1, help="K")
    parser.add_argument("--equilibration", type=float, default=4.0, help="ps, half of it melting")
    parser.add_argument("--time", type=float, default=10.0, help="ps that are averaged")
    parser.add_argument("--timestep", type=float, default=0.5, help="fs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--measured", type=Path, default=default_measured())
    parser.add_argument("--level", default="GFN1-xTB", help="what the potential was trained on")
    parser.add_argument("--output", default="rdf.png")
    return parser.parse_args()


def default_measured() -> Path | None:
    """The measured function in the reference data, if there is one."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    path = Path(os.environ.get("EQUIPOT_REFERENCE_DATA", beside)) / MEASURED
    return path if path.is_file() else None


def read_measured(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads r and g from the columns of a text file, whatever words stand above or between them."""
    rows = []
    for line in path.read_text(encoding="latin-1").splitlines():
        try:
            rows.append([float(word) for word in line.split()[:2]])
        except ValueError:
            continue
    table = np.array([row for row in rows if len(row) == 2])
    return table[:, 0], table[:, 1]


def read_frames(options: argparse.Namespace) -> list[Atoms]:
    """The frames of a trajectory after those to be left out."""
    frames = list(ase.io.iread(options.trajectory))[options.skip :]
    if not frames:
        raise errors.DataError(f"{options.trajectory}: no frames after the first {options.skip}")
    return frames


def simulate(options: argparse.Namespace) -> list[Atoms]:
    """Melts a lattice, equilibrates, and collects a frame every 20 fs."""
    atoms = box.water_box(options.molecules, options.density, options.seed)
    atoms.calc = EquipotCalculator(options.potential)
    relaxation.relax(atoms, relaxation.RelaxationConfig(fmax=0.5, max_steps=100))
    half = 0.5 * options.equilibration
    frames: list[Atoms] = []
    every = max(1, round(20 / options.timestep))

    def collect(step: int) -> None:
        if step % every == 0:
            frames.append(atoms.copy())

    for temperature, time, observe in (
        (1.5 * options.temperature, half, None),
        (options.temperature, half, None),
        (options.temperature, options.time, collect),
    ):
        config = dynamics.DynamicsConfig(
            temperature=temperature,
            timestep=options.timestep,
            num_steps=max(1, round(time * 1e3 / options.timestep)),
            seed=options.seed,
        )
        dynamics.run_dynamics(atoms, config, observe=observe)
    with trajectory.frame_writer(Path(options.output).with_suffix(".traj"), atoms, True) as write:
        write()  # the last frame, to go on from
    return frames


def pair_correlation(frames: Iterable[Atoms]) -> tuple[np.ndarray, np.ndarray]:
    """g_OO(r) = V/(N(N−1)) ⟨Σ_i Σ_j≠i δ(r − r_ij)⟩ / 4πr², up to half of the smallest height.

    Returns:
      Middles of the bins in Å, and g.
    """
    frames = list(frames)
    limit = min(float(_half_height(atoms)) for atoms in frames)
    edges = np.arange(0.0, limit, BIN)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    g = np.zeros(len(shells))
    for atoms in frames:
        distances = _oxygen_distances(atoms)
        count = atoms.numbers.tolist().count(8)
        pairs = np.histogram(distances, edges)[0] * 2.0
        g += pairs * atoms.get_volume() / (count * (count - 1) * shells)
    return 0.5 * (edges[1:] + edges[:-1]), g / len(frames)


def describe(name: str, r: np.ndarray, g: np.ndarray) -> str:
    """First peak and first minimum in words."""
    near, far = ((r > low) & (r < high) for low, high in (PEAKS, MINIMUM))
    if not (near.any() and far.any()):
        return f"{name}: the box is too small for the first shell"
    peak, dip = int(np.argmax(g[near])), int(np.argmin(g[far]))
    return (
        f"{name}: first peak {g[near][peak]:.3f} at {r[near][peak]:.2f} Å,"
        f" first minimum {g[far][dip]:.3f} at {r[far][dip]:.2f} Å"
    )


def plot(
    options: argparse.Namespace,
    r: np.ndarray,
    g: np.ndarray,
    measured: tuple[np.ndarray, np.ndarray] | None,
) -> None:
    """Draws both functions, and says what the simulated one is."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if measured is not None:
        axes.plot(*measured, color="0.35", label="measured, 295.1 K (Skinner et al. 2014)")
    axes.plot(r, g, color="tab:blue", label=f"{Path(options.potential).name}")
    axes.set(xlabel="r, Å", ylabel="$g_{OO}(r)$", xlim=(2, max(r[-1], 6)), ylim=(0, None))
    axes.set_title(
        f"{options.level} water is not real water: the potential reproduces the liquid of\n"
        f"{options.level}, which it was trained on, not the measured one",
        fontsize=9,
    )
    axes.legend(frameon=False)
    with files.whole(options.output) as draft:
        figure.savefig(draft, dpi=150)


def _half_height(atoms: Atoms) -> float:
    return 0.5 / float(np.linalg.norm(np.linalg.inv(np.asarray(atoms.cell)), axis=0).max())


def _oxygen_distances(atoms: Atoms) -> np.ndarray:
    """Distances of the nearest images of all pairs of O; right below half of the heights."""
    cell = np.asarray(atoms.cell)
    positions = atoms.positions[atoms.numbers == 8]
    first, second = np.triu_indices(len(positions), 1)
    fractions = (positions[first] - positions[second]) @ np.linalg.inv(cell)
    return np.linalg.norm((fractions - np.round(fractions)) @ cell, axis=1)


if __name__ == "__main__":
    main()
