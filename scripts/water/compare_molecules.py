"""What potentials of liquid water say of molecules on their own, beside the method of their labels.

    python -m scripts.water.compare_molecules runs/water/water.equipot
    python -m scripts.water.compare_molecules before=old.equipot after=new.equipot --plot both.png

Prints the energies of H2O and of its clusters of two to six against those in
data/water/clusters.extxyz, and the largest force between two atoms that are at least 3 Å apart. The
picture has, besides, H2O with one O–H pulled, and pairs of atoms.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import ase.io
import matplotlib.pyplot as plt
import numpy as np
from ase import Atoms

from equipot import files
from equipot.data.structure import Structure
from equipot.potential import artefact, evaluate
from equipot.potential.potential import Potential

CLUSTERS = Path(__file__).resolve().parents[2] / "data" / "water" / "clusters.extxyz"
PAIRS = {"H–H": (1, 1), "O–H": (8, 1), "O–O": (8, 8)}
DISTANCES = np.arange(1.0, 5.01, 0.05)  # Å, of two atoms
FAR = 3.0  # Å: beyond it two atoms are to exert no force to speak of


def main() -> None:
    """Prints a table for each potential and draws the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("potentials", nargs="+", metavar="[LABEL=]FILE")
    parser.add_argument("--plot", type=Path, help="write a picture here")
    arguments = parser.parse_args()
    frames = ase.io.read(CLUSTERS, ":")
    found = {}
    for given in arguments.potentials:
        label, _, name = given.rpartition("=")
        found[label or Path(name).stem] = curves(artefact.load(name), frames)
    for label, own in found.items():
        print(report(label, own, frames))
    if arguments.plot:
        with files.whole(arguments.plot) as draft:
            draw(found, frames, draft)


def curves(potential: Potential, frames: list[Atoms]) -> dict[str, np.ndarray]:
    """Energies in eV of the frames, and energy and force of each pair of atoms over distance."""
    found = {"frames": np.array([p.energy for p in predict(potential, frames)])}
    for name, numbers in PAIRS.items():
        pairs = [Atoms(numbers, [[0.0, 0.0, 0.0], [0.0, 0.0, d]]) for d in DISTANCES]
        said = predict(potential, pairs)
        found[name] = np.array([p.energy for p in said])
        found[f"force {name}"] = np.array([p.forces[1, 2] for p in said])
    return found


def predict(potential: Potential, frames: list[Atoms]) -> list[evaluate.HostPrediction]:
    """What a potential says of molecules."""
    made = [
        Structure(
            positions=atoms.positions,
            atomic_numbers=atoms.numbers,
            cell=np.zeros((3, 3)),
            pbc=np.zeros(3, bool),
        )
        for atoms in frames
    ]
    return evaluate.evaluate(potential, made, len(made))


def report(label: str, found: dict[str, np.ndarray], frames: list[Atoms]) -> str:
    """The table of one potential."""
    relaxed = [i for i, atoms in enumerate(frames) if atoms.info["kind"] == "relaxed"]
    right = np.array([frames[i].get_potential_energy() for i in relaxed])
    said = found["frames"][relaxed]
    lines = [
        f"{label}: energies in eV",
        "  molecules     method  potential  binding: method  potential",
    ]
    for n, (a, b) in enumerate(zip(right, said, strict=True), start=1):
        bound = f"{a - n * right[0]:17.3f}  {b - n * said[0]:9.3f}" if n > 1 else ""
        lines.append(f"  {n:9d} {a:10.3f} {b:10.3f}{bound}")
    far = DISTANCES >= FAR
    largest = {name: np.abs(found[f"force {name}"][far]).max() for name in PAIRS}
    shown = ", ".join(f"{name} {force:.3f}" for name, force in largest.items())
    return "\n".join([*lines, f"  largest force of two atoms from {FAR:g} Å on, eV/Å: {shown}"])


def draw(found: dict[str, dict[str, np.ndarray]], frames: list[Atoms], path: Path) -> None:
    """Three panels: clusters, H2O with one O–H pulled, two atoms."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
    energies = np.array([atoms.get_potential_energy() for atoms in frames])
    kinds = np.array([atoms.info["kind"] for atoms in frames])
    relaxed, pulled = kinds == "relaxed", kinds == "stretched"
    sizes = np.arange(1, relaxed.sum() + 1)
    distances = [atoms.info["distance"] for atoms in frames if atoms.info["kind"] == "stretched"]
    middle.plot(distances, energies[pulled] - energies[0], "k.-", label="GFN1-xTB")
    for (label, own), color in zip(found.items(), plt.cm.tab10.colors, strict=False):
        error = (own["frames"][relaxed] - energies[relaxed]) / sizes
        left.plot(sizes, error, "o-", color=color, label=label)
        middle.plot(distances, own["frames"][pulled] - energies[0], color=color, label=label)
        for name, line in zip(PAIRS, ("-", "--", ":"), strict=True):
            shifted = own[name] - own[name][-1]
            right.plot(DISTANCES, shifted, line, color=color, label=f"{label}, {name}")
    left.axhline(0.0, color="0.7", linewidth=0.8)
    left.set(xlabel="molecules", ylabel="energy error, eV per molecule", title="Relaxed clusters")
    middle.set(xlabel="one O–H, Å", ylabel="energy, eV", title="H2O, one O–H pulled", ylim=(-4, 12))
    right.set(
        xlabel="distance, Å", ylabel="energy, eV", title="Two atoms", xlim=(2, 5), ylim=(-14, 4)
    )
    for axes in (left, middle, right):
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=150, format="png")
    plt.close(figure)


if __name__ == "__main__":
    main()
