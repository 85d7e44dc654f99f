"""Labels of ASE calculators: found by name, dropped where they fail, compared with the data."""

from typing import Any, ClassVar

import ase.build
import numpy as np
import pytest
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes
from ase.calculators.emt import EMT

from equipot import errors
from equipot.calculators import labelling
from equipot.data.structure import Structure


class Moody(Calculator):
    """Fails at hydrogen, and gives no number at nitrogen."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        assert atoms is not None
        if 1 in atoms.numbers:
            raise CalculationFailed("SCF not converged in 250 cycles")
        energy = np.nan if 7 in atoms.numbers else 1.0
        self.results = {"energy": energy, "forces": np.zeros((len(atoms), 3))}


def copper(**changes):
    atoms = ase.build.bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=0)
    atoms.calc = EMT()
    fields = dict(
        positions=atoms.positions,
        atomic_numbers=atoms.numbers,
        cell=np.asarray(atoms.cell),
        pbc=atoms.pbc,
        energy=atoms.get_potential_energy(),
        forces=atoms.get_forces(),
        energy_weight=1.0,
        forces_weight=1.0,
        source="copper.xyz, frame 0",
    )
    return Structure(**{**fields, **changes})


def test_labels_of_an_interrupted_call_are_kept(tmp_path):
    frames = [ase.build.bulk("Cu", cubic=True) for _ in range(3)]
    for i, frame in enumerate(frames):
        frame.rattle(0.1, seed=i)
    whole = labelling.label(frames, EMT)
    calls = []

    def tired():
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return EMT()

    with pytest.raises(KeyboardInterrupt):
        labelling.label(frames, tired, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    again = labelling.label(frames, tired, tmp_path)
    assert len(calls) == 4 and again.places == [0, 1, 2]
    for one, other in zip(whole.frames, again.frames, strict=True):
        for name in ("energy", "forces", "stress"):
            kept, found = (frame.calc.results[name] for frame in (one, other))
            np.testing.assert_allclose(found, kept, atol=1e-8)
    with pytest.raises(errors.DataError, match=r"000000\.extxyz: expected the frame that these"):
        labelling.label(frames[::-1], EMT, tmp_path)


def test_labels_are_those_of_the_calculator_and_stress_needs_three_periods():
    make = labelling.find_calculator("emt", {})
    frames = [ase.build.bulk("Cu", cubic=True), ase.build.molecule("CO")]
    for frame in frames:
        frame.rattle(0.1, seed=1)
    done = labelling.label(frames, make)
    assert done.places == [0, 1] and done.dropped == {}
    for frame, found in zip(frames, done.frames, strict=True):
        frame.calc = EMT()
        energy, forces = frame.get_potential_energy(), frame.get_forces()
        assert found.get_potential_energy() == pytest.approx(energy, abs=1e-6)
        np.testing.assert_allclose(found.get_forces(), forces, atol=1e-6)
    calculators: Any = [frame.calc for frame in done.frames]
    assert ["stress" in own.results for own in calculators] == [True, False]


def test_what_does_not_converge_is_dropped_and_counted():
    frames = [ase.build.molecule(name) for name in ("H2O", "O2", "CH4", "N2", "CO")]
    done = labelling.label(frames, Moody)
    assert done.places == [1, 4]
    assert done.dropped == {"SCF not converged in 250 cycles": 2, "not finite": 1}


def test_a_calculator_is_found_by_its_module():
    make = labelling.find_calculator("ase.calculators.lj:LennardJones", {"sigma": 2.5})
    assert make().parameters["sigma"] == 2.5


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("emtt", {}, "there is no emtt"),
        ("ase.calculators.lj:Lennard", {}, "there is no ase.calculators.lj:Lennard"),
        ("no.such.module:Class", {}, "there is no no.such.module:Class"),
        ("ase:Atoms", {}, "expected what makes an ASE calculator, received ase:Atoms"),
        ("ase.calculators.tip3p:TIP3P", {"sigmoid": 1}, "cannot be made with {'sigmoid': 1}"),
    ],
)
def test_a_wrong_calculator_is_one_sentence(name, arguments, sentence):
    with pytest.raises(errors.ConfigError, match=sentence):
        labelling.find_calculator(name, arguments)


def test_labels_of_another_method_are_refused():
    make = labelling.find_calculator("emt", {})
    assert "gives the labels of copper.xyz, frame 0" in labelling.check_method([copper()], make)
    other = copper(energy=copper().energy + 0.1)
    with pytest.raises(
        errors.DataError, match=r"by 25 meV/atom and .* meV/Å; one potential learns"
    ):
        labelling.check_method([other], make)
    bare = copper(energy_weight=0.0)
    assert "no labels to compare" in labelling.check_method([bare], make)
