"""Published potentials beside the programs that wrote them, and beside values printed there."""

from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from ase.calculators.calculator import Calculator

from equipot.convert import conversion
from equipot.potential import evaluate
from tests.convert.foundation import files, programs, structures

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]

# Of the program's own tests, float32, with a tolerance of 1.2e-4: energies relaxed and perturbed,
# force on atom 0, stress xx yy zz yz xz xy.
PRINTED = {
    "nequix-mp-1": (
        -10.834069,
        -10.753344,
        (-1.1041114, -0.45131257, 0.45131272),
        (-0.025367, -0.027815, -0.027815, -0.024131, -0.010606, 0.010606),
    )
}
SEVENNET_ENERGIES = {
    "sevennet-l3i5": (-10.843724, -10.774775),
    "sevennet-0": (-10.801661, -10.737333),
}


@pytest.fixture(autouse=True)
def _as_others_write_jax() -> Iterator[None]:
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


def _existing(path: Path) -> Path:
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    return path


def _check(path: Path, calculator: Calculator) -> None:
    """Same energies within 1e-5 eV/atom, forces 1e-4 eV/Å, stress 1e-5 eV/Å³, on all structures."""
    potential = conversion.convert(path, trust=False, dtype="float64").potential
    compared = structures.compared()
    ours = evaluate.evaluate(potential, [structures.structure(a) for a in compared.values()])
    for (name, atoms), found in zip(compared.items(), ours, strict=True):
        atoms.calc = calculator
        energy = atoms.get_potential_energy()
        assert abs(found.energy - energy) < 1e-5 * len(atoms), name
        assert np.abs(found.forces - atoms.get_forces()).max() < 1e-4, name
        assert np.abs(found.stress - atoms.get_stress(voigt=False)).max() < 1e-5, name


@pytest.mark.parametrize("name", files.NEQUIX)
def test_nequix_says_the_same(name: str):
    pytest.importorskip("nequix")
    path = _existing(files.published_nequix(name))
    _check(path, programs.nequix_calculator(path))


@pytest.mark.parametrize("name", files.SEVENNET)
def test_sevennet_says_the_same(name: str):
    pytest.importorskip("sevenn")
    path = _existing(files.published_sevennet(name))
    _check(path, programs.sevennet_calculator(path))


@pytest.mark.parametrize("name", PRINTED)
def test_values_printed_by_nequix(name: str):
    path = _existing(files.published_nequix(name))
    potential = conversion.convert(path, trust=False, dtype="float64").potential
    crystals = [structures.structure(structures.silicon(p)) for p in (False, True)]
    relaxed, perturbed = evaluate.evaluate(potential, crystals)
    first, second, force, stress = PRINTED[name]
    assert abs(relaxed.energy - first) < 1.2e-4 and abs(perturbed.energy - second) < 1.2e-4
    assert np.abs(perturbed.forces[0] - force).max() < 1.2e-4
    voigt = perturbed.stress.ravel()[[0, 4, 8, 5, 2, 1]]
    assert np.abs(voigt - stress).max() < 1.2e-4


@pytest.mark.parametrize("name", SEVENNET_ENERGIES)
def test_energies_printed_for_sevennet(name: str):
    path = _existing(files.published_sevennet(name))
    potential = conversion.convert(path, trust=False, dtype="float64").potential
    crystals = [structures.structure(structures.silicon(p)) for p in (False, True)]
    found = [p.energy for p in evaluate.evaluate(potential, crystals)]
    assert found == pytest.approx(SEVENNET_ENERGIES[name], abs=5e-6)


def test_a_small_checkpoint_of_the_first_version_is_that_of_the_program(tmp_path: Path):
    """Where nothing is said of them, harmonics there are not those of unit vectors."""
    pytest.importorskip("sevenn")
    path = files.write_sevennet(tmp_path / "x.pth", _normalize_sph=None)
    _check_small(path, programs.sevennet_calculator(path, strict=False))


@pytest.mark.parametrize("program", ["nequix", "sevenn"])
def test_small_files_are_those_of_the_programs(program: str, tmp_path: Path):
    """The program itself reads the files that the other tests write."""
    pytest.importorskip(program)
    if program == "nequix":
        path = files.write_nequix(tmp_path / "x.nqx")
        calculator = programs.nequix_calculator(path)
    else:
        path = files.write_sevennet(tmp_path / "x.pth")
        calculator = programs.sevennet_calculator(path, strict=False)
    _check_small(path, calculator)


def _check_small(path: Path, calculator: Calculator) -> None:
    atoms = structures.quartz_like()
    atoms.calc = calculator
    potential = conversion.convert(path, trust=False, dtype="float64").potential
    found = evaluate.evaluate(potential, [structures.structure(atoms)])[0]
    assert found.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-4)
    assert np.abs(found.forces - atoms.get_forces()).max() < 1e-4
