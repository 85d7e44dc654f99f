"""Checks that dynamics of water with a saved potential is stable and conserves energy.

    python -m scripts.water.check_md runs/water/water.equipot --start data/water/test.extxyz.xz

At constant temperature, for several seeds: no molecule may break, so no O–H bond of the start
may become longer than 1.5 Å at any step. Then at constant energy: the slope of a line fitted to
the total energy must stay below 0.5 meV/atom/ps. Prints a report; the exit code is 1 if a check
fails.
"""

import argparse
import json
import sys

import numpy as np
from ase import Atoms

from equipot import EquipotCalculator, errors, files
from equipot.calculators import dynamics, log, relaxation, trajectory
from scripts.water import box


class Bonds:
    """Follows the O–H bonds that a structure starts with.

    Attributes:
      longest: The longest bond so far, Å.
      step: When that was.
    """

    def __init__(self, atoms: Atoms) -> None:
        """Gives every hydrogen to its nearest oxygen.

        Raises:
          DataError: If the structure is not made of water molecules.
        """
        self._atoms = atoms
        oxygens, self._hydrogens = (
            np.flatnonzero(atoms.numbers == 8),
            np.flatnonzero(atoms.numbers == 1),
        )
        nearest = [
            oxygens[np.argmin(atoms.get_distances(h, oxygens, mic=True))] for h in self._hydrogens
        ]
        self._oxygens = np.array(nearest)
        if set(atoms.numbers) != {1, 8} or (np.bincount(nearest)[oxygens] != 2).any():
            raise errors.DataError(
                "expected a structure of water molecules, each O with two H near it"
            )
        now = self._vectors()
        fractions = np.round(now @ np.linalg.pinv(np.asarray(atoms.cell)) * atoms.pbc)
        self._images = fractions @ np.asarray(atoms.cell)
        self.longest, self.step = 0.0, 0

    def look(self, step: int) -> None:
        """Measures the bonds; atoms are not wrapped on the way, so images stay."""
        longest = float(np.linalg.norm(self._vectors() - self._images, axis=1).max())
        if longest > self.longest:
            self.longest, self.step = longest, step

    def _vectors(self) -> np.ndarray:
        return self._atoms.positions[self._hydrogens] - self._atoms.positions[self._oxygens]


def main() -> None:
    """Runs all checks."""
    options = parse()
    try:
        report = check(options)
    except errors.EquipotError as error:
        sys.exit(f"check_md: {error}")
    if options.json:
        files.write(options.json, json.dumps(report, indent=2) + "\n")
    sys.exit(0 if report["passed"] else 1)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("potential", help="a file that ends in .equipot")
    parser.add_argument("--start", help="structure to start from; default: a lattice, melted first")
    parser.add_argument("--index", type=int, default=0, help="which frame of it")
    parser.add_argument("--temperature", type=float, default=300.0, help="K")
    parser.add_argument("--time", type=float, default=10.0, help="ps at constant temperature")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--nve-time", type=float, default=2.0, help="ps at constant energy")
    parser.add_argument("--timestep", type=float, default=0.5, help="fs")
    parser.add_argument("--longest", type=float, default=1.5, help="allowed O–H, Å")
    parser.add_argument("--drift", type=float, default=0.5, help="allowed slope, meV/atom/ps")
    parser.add_argument("--dtype", choices=("float32", "float64"))
    parser.add_argument("--json", help="write the report here too")
    return parser.parse_args()


def check(options: argparse.Namespace) -> dict:
    """Runs each seed at constant temperature, and goes on from the first at constant energy."""
    calculator = EquipotCalculator(options.potential, dtype=options.dtype)
    start = make_start(options, calculator)
    runs, equilibrated = [], None
    for seed in options.seeds:
        atoms = start.copy()
        atoms.calc = calculator
        runs.append(check_bonds(atoms, options, seed))
        if equilibrated is None and runs[-1]["passed"]:
            equilibrated = atoms
    report = {"nvt": runs, "passed": all(run["passed"] for run in runs)}
    if equilibrated is not None:
        report["nve"] = check_drift(equilibrated, options)
        report["passed"] = report["passed"] and report["nve"]["passed"]
    print(f"programs compiled: {calculator.n_compilations}")
    print("passed" if report["passed"] else "FAILED")
    return report


def make_start(options: argparse.Namespace, calculator: EquipotCalculator) -> Atoms:
    """The structure given, or 32 molecules that are melted for a picosecond."""
    if options.start:
        return trajectory.read_atoms(options.start, options.index)
    atoms = box.water_box(32, 0.997, seed=0)
    atoms.calc = calculator
    relaxation.relax(atoms, relaxation.RelaxationConfig(fmax=0.5, max_steps=100))
    bonds = Bonds(atoms)
    run(atoms, options, 1.0, seed=99, temperature=1.5 * options.temperature, observe=bonds.look)
    if bonds.longest > options.longest:
        raise errors.DataError(
            f"a molecule broke while the start was melted: O–H {bonds.longest:.2f} Å at step"
            f" {bonds.step}; the potential is no good for liquid water, or give --start"
        )
    atoms.set_momenta(np.zeros((len(atoms), 3)))
    return atoms


def check_bonds(atoms: Atoms, options: argparse.Namespace, seed: int) -> dict:
    """One run at constant temperature."""
    bonds = Bonds(atoms)
    error = ""
    temperatures = [float("nan")]
    try:
        report = run(atoms, options, options.time, seed=seed, observe=bonds.look)
        temperatures = [s.temperature for s in report.samples[len(report.samples) // 2 :]]
    except errors.EquipotError as stopped:
        error = str(stopped)
    passed = not error and bonds.longest <= options.longest
    print(
        f"NVT {options.temperature:g} K, {options.time:g} ps, seed {seed}: longest O–H"
        f" {bonds.longest:.3f} Å at {bonds.step * options.timestep * 1e-3:.3f} ps (allowed"
        f" {options.longest}), mean T {np.mean(temperatures):.1f} K{' ' + error if error else ''}"
        f" {'ok' if passed else 'FAILED'}",
        flush=True,
    )
    return {"seed": seed, "longest": bonds.longest, "error": error, "passed": passed}


def check_drift(atoms: Atoms, options: argparse.Namespace) -> dict:
    """One run at constant energy, with the velocities the atoms have."""
    bonds = Bonds(atoms)
    report = run(atoms, options, options.nve_time, seed=0, ensemble="nve", observe=bonds.look)
    drift = report.drift
    passed = abs(drift.slope) < options.drift and bonds.longest <= options.longest
    print(
        f"NVE, {options.nve_time:g} ps: {drift} (allowed slope {options.drift}), longest O–H"
        f" {bonds.longest:.3f} Å {'ok' if passed else 'FAILED'};"
        f" {report.seconds_per_step * 1e3:.2f} ms per step"
    )
    return {"slope": drift.slope, "excursion": drift.excursion, "passed": passed}


def run(
    atoms: Atoms, options: argparse.Namespace, picoseconds: float, **settings: object
) -> log.DynamicsReport:
    """Runs dynamics of some length; ``observe`` and settings of ``DynamicsConfig`` may be given."""
    observe = settings.pop("observe", None)
    config = dynamics.DynamicsConfig(
        **{
            "temperature": options.temperature,
            "timestep": options.timestep,
            "num_steps": max(1, round(picoseconds * 1e3 / options.timestep)),
            "log_every": 4,
            **settings,
        }
    )
    return dynamics.run_dynamics(atoms, config, observe=observe)


if __name__ == "__main__":
    main()
