import dataclasses

import numpy as np
import pytest

from equipot import errors
from equipot.convert import check
from equipot.potential.evaluate import HostPrediction

EXACT = check.Differences(energy=1e-12, forces=1e-12, stress=1e-12)


@pytest.mark.parametrize("species", [(14,), (1, 8), tuple(range(1, 90))])
def test_the_structures_hold_every_species(species: tuple[int, ...]):
    found = check.structures(species)
    assert set(np.concatenate([s.atomic_numbers for s in found]).tolist()) == set(species)
    assert {bool(s.pbc.all()) for s in found} == {True, False}
    for structure in found:
        difference = structure.positions[:, None] - structure.positions[None]
        distances = np.linalg.norm(difference, axis=-1) + 9 * np.eye(len(difference))
        assert distances.min() > 0.7


@pytest.mark.parametrize("term", ["energy", "forces", "stress"])
@pytest.mark.parametrize("found", [1e-4, float("nan")])
def test_a_difference_is_refused_by_the_name_of_its_term(term: str, found: float):
    check.check(EXACT, "a.model")
    with pytest.raises(
        errors.ConversionError,
        match=rf"a.model: the converted potential differs .* in its {term} by",
    ):
        check.check(dataclasses.replace(EXACT, **{term: found}), "a.model")


def test_differences_are_the_largest_over_atoms_and_structures():
    def prediction(energy: float, force: float, stress: float) -> HostPrediction:
        return HostPrediction(
            energy=energy,
            energies=np.array([energy]),
            forces=np.full((1, 3), force),
            stress=np.full((3, 3), stress),
            has_stress=True,
        )

    zero = prediction(0.0, 0.0, 0.0)
    found = check.compare([zero, zero], [prediction(0.1, -0.5, 0.0), prediction(-0.2, 0.3, 0.7)])
    assert found == check.Differences(energy=0.2, forces=0.5, stress=0.7)
    assert str(found) == "energy 2.0e-01 eV/atom, forces 5.0e-01 eV/Å, stress 7.0e-01 eV/Å³"
