"""The energy that is stated for an atom without neighbors is the one that it has."""

import dataclasses

import numpy as np
import pytest

from equipot import testing
from equipot.potential import binding, evaluate, isolated
from equipot.potential.potential import Potential
from equipot.testing import structures
from tests.potential import test_heads, test_potential


def of_shift(spec, shift):
    radii = binding.bond_radii(spec.species_table) if shift == "bonds" else None
    return dataclasses.replace(spec, anchor_isolated=shift != "constant", bond_radii=radii)


@pytest.mark.parametrize("shift", ["constant", "bonds", "neighbors"])
def test_an_atom_alone_has_the_energy_that_is_stated(shift):
    spec = of_shift(test_potential.SPEC, shift)
    potential = Potential(spec=spec, params=test_potential.random_params())
    atoms = [structures.atom(z) for z in spec.species_table]
    found = [p.energy for p in evaluate.evaluate(potential, atoms, 3)]
    stated = isolated.isolated_energies(potential)
    testing.assert_close(np.array(found), stated[0], testing.F64_EXACT, "isolated atoms")
    differs = np.abs(stated[0] - spec.references[0]) > 1e-3
    assert differs.all() if shift == "constant" else not differs.any()


def test_products_are_as_precise_as_the_potential_asks_for():
    """On GPUs of today those of float32 have ten bits otherwise."""
    spec = dataclasses.replace(test_potential.SPEC, dtype="float32", anchor_isolated=False)
    potential = Potential(spec=spec, params=test_potential.random_params())
    cast = evaluate.cast(potential, "float32")
    program, arguments = isolated._program(spec, "cpu"), []

    def lowered(params, batch):
        arguments.append(program.lower(params, batch).as_text())
        return program(params, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(isolated, "_program", lambda *_: lowered)
        isolated.isolated_energies(cast)
    products = [line for line in arguments[0].splitlines() if "dot_general" in line]
    assert products and all("HIGHEST" in line for line in products)


def test_each_level_of_theory_states_its_own():
    potential = test_heads.two_heads()
    stated = isolated.isolated_energies(potential)
    assert stated.shape == (2, 2)
    for row, head in zip(stated, test_heads.HEADS, strict=True):
        atoms = [test_heads.of_head(structures.atom(z), head) for z in (1, 8)]
        found = [p.energy for p in evaluate.evaluate(potential, atoms, 2)]
        testing.assert_close(np.array(found), row, testing.F64_EXACT, head)
