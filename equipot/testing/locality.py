"""Atoms far apart know nothing of each other, and become strangers smoothly."""

import numpy as np

from equipot.data.structure import Structure
from equipot.potential.evaluate import HostPrediction
from equipot.testing import structures
from equipot.testing.subject import Subject
from equipot.testing.tolerances import F64, F64_EXACT, assert_close

_CLOSE, _AWAY = 0.7, 1.5  # of the cutoff
_BELOW = 1e-6  # below one, of the cutoff
_SHARE = 1e-4  # of what it is when close, that an interaction may have just below the cutoff


def check_separation(subject: Subject) -> None:
    """Energies of two clusters far apart add up, and forces are those of each alone."""
    first = structures.cluster(subject.cutoff, subject.species_table)
    second = structures.fragment(subject.cutoff, subject.species_table)
    offset = 10 * subject.cutoff * np.array([0.6, -0.48, 0.64])
    together = subject.observe(structures.joined(first, second, offset))[0]
    a, b = subject.observe(first)[0], subject.observe(second)[0]
    forces = np.concatenate([a.forces, b.forces])
    assert_close(together.energy, a.energy + b.energy, F64, "energies of distant clusters add")
    energies = np.concatenate([a.energies, b.energies])
    assert_close(together.energies, energies, F64, "atoms do not feel distant clusters")
    assert_close(together.forces, forces, F64, "forces of distant clusters stay")


def check_isolated_atoms(subject: Subject) -> None:
    """An atom without neighbors has the constant energy that is stated, in a large cell too.

    That is exactly its reference energy where the potential promises it.
    """
    for number, stated in zip(subject.species_table, subject.stated_alone, strict=True):
        boxed = structures.boxed_atom(subject.cutoff, number, edge=3.0)
        for structure in (structures.atom(number), boxed):
            found = subject.observe(structure)[0]
            what = f"an isolated atom of Z={number} has the energy that is stated"
            within = 0.0 if subject.anchored else F64_EXACT
            assert_close(found.energies, np.array([stated]), within, what)
            assert_close(found.forces, np.zeros((1, 3)), 0.0, "an isolated atom feels no force")
            assert_close(found.stress, np.zeros((3, 3)), 0.0, "an isolated atom has no stress")


def check_cutoff(subject: Subject) -> None:
    """What one more atom changes, forces too, goes to zero at the cutoff and is zero beyond."""
    first, *others = subject.species_table
    for alone, second in (
        (structures.atom(first), first),
        (structures.atom(others[-1] if others else first), first),
        (structures.cluster(subject.cutoff, subject.species_table), first),
    ):
        _check_approach(subject, alone, second)


def _check_approach(subject: Subject, alone: Structure, second: int) -> None:
    """One atom approaches the last atom of a structure."""
    anchor = len(alone.positions) - 1

    def at(share: float) -> HostPrediction:
        distance = share * subject.cutoff
        return subject.observe(structures.extended(alone, second, anchor, distance))[0]

    away = at(_AWAY)

    def changes(share: float) -> tuple[np.ndarray, np.ndarray]:
        found = at(share)
        return found.energies - away.energies, found.forces - away.forces

    close, below, beyond = changes(_CLOSE), changes(1 - _BELOW), changes(1 + _BELOW)
    names = ("energies", "forces")
    for name, typical, inside, outside in zip(names, close, below, beyond, strict=True):
        what = f"{name} at the cutoff, an atom approaching {alone.source}:"
        size = np.abs(typical).max()
        if size < F64_EXACT:
            raise AssertionError(f"{what} expected an interaction within it, found {size}")
        assert_close(outside, 0 * outside, F64_EXACT, f"{what} zero beyond")
        assert_close(inside, 0 * inside, _SHARE * min(1.0, size), f"{what} continuous to zero")
