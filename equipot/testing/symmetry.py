"""What must not change: rotated, inverted, translated, renamed, and repeated structures."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from equipot.data.structure import Structure
from equipot.e3.arrays.irreps import Irreps
from equipot.potential.evaluate import HostPrediction
from equipot.quantities import Quantity
from equipot.testing import equivariance, structures
from equipot.testing.subject import Subject
from equipot.testing.tolerances import F64, assert_close

_FAR = np.array([83.0, -61.0, 97.0])  # Å


def check_rotation(subject: Subject) -> None:
    """Under a rotation energies stay; forces, stress and quantities turn along."""
    for seed in range(2):
        _check_orthogonal(subject, equivariance.rotation_matrix(seed), "rotation")


def check_inversion(subject: Subject) -> None:
    """Under inversion energies and stress stay, forces turn round, quantities by their parity.

    Where that is not promised, mirror images must be told apart.
    """
    if subject.inverts:
        _check_orthogonal(subject, -np.eye(3), "inversion")
        return
    chosen = general(subject)
    mirrored = subject.observe(*(structures.rotated(s, -np.eye(3)) for s in chosen))
    energies = [[p.energy for p in found] for found in (subject.observe(*chosen), mirrored)]
    if np.allclose(*energies, rtol=F64, atol=F64):
        raise AssertionError(
            "energy differs between mirror images, as a potential without inversion has it:"
            f" received {energies[0]} for both"
        )


def check_translation(subject: Subject) -> None:
    """Nothing changes when all atoms move together, or one of them by a lattice vector."""
    chosen = general(subject)
    before = subject.observe(*chosen)
    for offset in (0.37 * np.ones(3), _FAR):
        after = subject.observe(*chosen, offset=offset)
        for a, b in zip(after, before, strict=True):
            assert_same(a, b, "a translation")
    wrapped = [structures.displaced(s, _lattice_vectors(s)) for s in chosen]
    for a, b in zip(subject.observe(*wrapped), before, strict=True):
        assert_same(a, b, "a move by lattice vectors")


def check_permutation(subject: Subject) -> None:
    """Energies stay when the atoms of a structure come in another order; forces follow them."""
    chosen = general(subject)
    orders = [np.random.default_rng(7).permutation(len(s.positions)) for s in chosen]
    shuffled = [structures.permuted(s, o) for s, o in zip(chosen, orders, strict=True)]
    pairs = zip(subject.observe(*shuffled), subject.observe(*chosen), orders, strict=True)
    for after, before, order in pairs:
        assert_close(after.energy, before.energy, F64, "energy survives another order of atoms")
        assert_close(after.energies, before.energies[order], F64, "energies follow their atoms")
        assert_close(after.forces, before.forces[order], F64, "forces follow their atoms")
        assert_close(after.stress, before.stress, F64, "stress survives another order of atoms")
        for quantity in subject.quantities:
            expected = before.others[quantity.name]
            expected = expected[order] if quantity.per == "atom" else expected
            what = f"{quantity.name} follows another order of atoms"
            assert_close(after.others[quantity.name], expected, F64, what)


def check_supercell(subject: Subject) -> None:
    """A supercell has its primitive cell's energy times the number of copies, and its stress."""
    crystal = structures.crystal(subject.cutoff, subject.species_table)
    slab = structures.slab(subject.cutoff, subject.species_table)
    for cell, repeats in ((crystal, (2, 1, 1)), (crystal, (1, 1, 3)), (slab, (1, 3, 1))):
        copies = int(np.prod(repeats))
        one, many = (
            subject.observe(cell)[0],
            subject.observe(structures.repeated(cell, repeats))[0],
        )
        what = f"of a supercell {repeats} of the {cell.source}"
        assert_close(many.energy, copies * one.energy, F64, f"energy {what}")
        assert_close(many.energies, np.tile(one.energies, copies), F64, f"energies {what}")
        assert_close(many.forces, np.tile(one.forces, (copies, 1)), F64, f"forces {what}")
        assert_close(many.stress, one.stress, F64, f"stress {what}")
        for quantity in subject.quantities:
            expected = one.others[quantity.name]
            if quantity.per == "atom":
                expected = np.concatenate([expected] * copies)
            else:
                expected = copies * expected
            found = many.others[quantity.name]
            assert_close(found, expected, F64, f"{quantity.name} {what}")


def general(subject: Subject) -> tuple[Structure, ...]:
    """A crystal, a slab and a cluster: three kinds of periodicity, no symmetry."""
    makers = (structures.crystal, structures.slab, structures.cluster)
    return tuple(make(subject.cutoff, subject.species_table) for make in makers)


def assert_same(actual: HostPrediction, expected: HostPrediction, what: str) -> None:
    """All numbers of two predictions agree to ``F64``."""
    for name in ("energy", "energies", "forces", "stress"):
        assert_close(getattr(actual, name), getattr(expected, name), F64, f"{name} survive {what}")
    for name, value in expected.others.items():
        assert_close(actual.others[name], value, F64, f"{name} survive {what}")


def _check_orthogonal(subject: Subject, matrix: np.ndarray, what: str) -> None:
    chosen = general(subject)
    turned = subject.observe(*(structures.rotated(s, matrix) for s in chosen))
    for after, before in zip(turned, subject.observe(*chosen), strict=True):
        assert_close(after.energy, before.energy, F64, f"energy survives {what}")
        assert_close(after.energies, before.energies, F64, f"energies survive {what}")
        assert_close(after.forces, before.forces @ matrix.T, F64, f"forces follow {what}")
        expected = matrix @ before.stress @ matrix.T
        assert_close(after.stress, expected, F64, f"stress follows {what}")
        for quantity in subject.quantities:
            expected = _turned(before.others[quantity.name], quantity, matrix)
            found = after.others[quantity.name]
            assert_close(found, expected, F64, f"{quantity.name} follows {what}")


def check_charge(subject: Subject) -> None:
    """Values that are to add up to the charge of a structure do, whatever that is."""
    names = [quantity.name for quantity in subject.quantities if quantity.sums_to_charge]
    for charge in (0.0, 1.0, -2.0) if names else ():
        chosen = [dataclasses.replace(s, charge=charge) for s in general(subject)]
        for structure, found in zip(chosen, subject.observe(*chosen), strict=True):
            for name in names:
                what = f"{name} of the {structure.source} add up to a charge of {charge:g}"
                assert_close(found.others[name].sum(), np.array(charge), F64, what)


def _turned(value: np.ndarray, quantity: Quantity, matrix: np.ndarray) -> np.ndarray:
    """The value of a quantity under x → R x: Cartesian as declared, else by the irreps."""
    proper = float(np.linalg.det(matrix))
    if quantity.irreps in ("1o", "1e"):
        return value @ matrix.T * (1.0 if quantity.irreps == "1o" else proper)
    if quantity.irreps == "0e+2e":
        return matrix @ value @ matrix.T
    with jax.enable_x64(True):
        turn = np.asarray(Irreps(quantity.irreps).D_from_matrix(jnp.asarray(matrix)))
    flat = value.reshape(-1, quantity.components)
    return (flat @ turn.T).reshape(value.shape)


def _lattice_vectors(structure: Structure) -> np.ndarray:
    """Another lattice vector for each atom, along periodic directions only."""
    count = len(structure.positions)
    shifts = np.random.default_rng(11).integers(-2, 3, (count, 3)) * structure.pbc
    return shifts @ structure.cell
