"""Labels in other units are noticed on water, and right ones pass on all public data."""

import dataclasses

import pytest

from equipot import errors, units
from equipot.data import audit, dataset, energy_scale, readers, unit_check
from equipot.data.config import DataConfig

KCAL, KJ, HARTREE = units.KILOCALORIE_PER_MOL, units.KILOJOULE_PER_MOL, units.HARTREE
TERMS = {"energy": 1.0, "forces": 1.0}


@pytest.fixture(scope="module")
def water():
    config = DataConfig(
        train="equipot://data/water/train.extxyz.xz",
        valid="equipot://data/water/valid.extxyz.xz",
        num_train=50,
        test_fraction=0.0,
    )
    return dataset.read_dataset(config)


def _in_units(made, energy, forces, given=()):
    train = tuple(
        dataclasses.replace(s, energy=s.energy / energy, forces=s.forces / forces)
        for s in made.train
    )
    return dataclasses.replace(made, train=train, units_given=given)


def test_labels_in_ev_pass(water):
    unit_check.check(water)
    assert 0.8 < energy_scale.bond_stiffness(water.train) < 1.25


@pytest.mark.parametrize(
    ("energy", "forces", "message"),
    [
        (
            KCAL,
            KCAL,
            r"energies look like kcal/mol and forces look like kcal/mol/Angstrom, not eV and Å: by "
            r"the forces, bonds between nonmetals are 2\d.\d times stiffer than such bonds are. Se"
            r"t data.energy_unit=kcal/mol data.forces_unit=kcal/mol/Angstrom; or, if they are right"
            r", data.energy_unit=eV data.forces_unit=eV/Angstrom",
        ),
        (KJ, KJ, "Set data.energy_unit=kJ/mol data.forces_unit=kJ/mol/Angstrom;"),
        (
            HARTREE,
            HARTREE / units.BOHR,
            r"5\d.\d times softer .* Set data.energy_unit=Hartree data.forces_unit=Hartree/Bohr;",
        ),
        (
            HARTREE / 2,
            HARTREE / 2 / units.BOHR,
            "Set data.energy_unit=Rydberg data.forces_unit=Rydberg/Bohr;",
        ),
        (
            HARTREE,
            HARTREE,
            "Hartree/Angstrom is as near. Set",
        ),
        (
            1.0,
            HARTREE / units.BOHR,
            "^forces look like Hartree/Bohr, .* Set data.energy_unit=eV data.forces_unit=Hartree/B",
        ),
        (
            KCAL,
            1.0,
            r"^energies look like kcal/mol, .* times as much with the lengths of bonds as the force"
            r"s along them say; kJ/mol would do too. Set data.energy_unit=kcal/mol "
            r"data.forces_unit=eV/Angstrom;",
        ),
        (HARTREE, 1.0, "^energies look like Hartree, .* Set data.energy_unit=Hartree data.forces"),
    ],
)
def test_labels_in_another_unit_stop_with_the_unit_and_the_setting(water, energy, forces, message):
    with pytest.raises(errors.DataError, match=message):
        unit_check.check(_in_units(water, energy, forces))


def test_units_that_are_given_are_believed(water):
    audit.audit(_in_units(water, KCAL, KCAL, given=("energy", "forces")), TERMS)
    with pytest.raises(errors.DataError, match=r"Set data.forces_unit=Hartree/Bohr;"):
        unit_check.check(_in_units(water, 1.0, HARTREE / units.BOHR, given=("energy",)))


def test_energies_of_all_electrons_are_recognised_without_forces(write, labelled_water):
    frames = labelled_water(10)
    for frame in frames:
        frame.calc.results = {"energy": -76.4 + frame.calc.results["energy"] * 1e-3}
    path = write("a.traj", frames)
    message = (
        r"^energies look like Hartree, .* atoms in eV, all electrons .* Set data.energy_unit=Ha"
    )
    with pytest.raises(errors.DataError, match=message):
        audit.audit(dataset.read_dataset(DataConfig(train=path)), {"energy": 1.0})
    made = dataset.read_dataset(DataConfig(train=path, energy_unit="Hartree"))
    audit.audit(made, {"energy": 1.0})


def test_forces_that_have_nothing_to_do_with_bonds_give_no_hint(write, labelled_water):
    made = dataset.read_dataset(DataConfig(train=write("a.traj", labelled_water(30))))
    assert energy_scale.bond_stiffness(made.train) is None
    unit_check.check(made)


@pytest.mark.wide
@pytest.mark.parametrize(
    "name",
    [
        "water_revpbe0d3/water_342.extxyz.xz",
        "deepmd_water",
        "mptrj_sample/mptrj-random-1k.xyz.xz",
        "si_nequip/sitraj.xyz",
        "rmd17/rmd17_ethanol_train_01.npz",
        "rmd17/rmd17_aspirin_train_01.npz",
        *(f"botnet_ethanol/{n}.xyz" for n in ("test_dimers", "test_H_removal")),
        *(f"botnet_ethanol/{n}.xyz.xz" for n in ("train", "test_MD", "train_eth_meth")),
    ],
)
def test_public_data_that_are_read_rightly_give_no_hint(reference_data, name):
    path = str(reference_data / name)
    config = DataConfig(train=path, energy_unit="kcal/mol" if "rmd17" in name else None)
    train = tuple(readers.read_structures(path, config)[:300])
    made = dataset.Dataset(
        train=train,
        valid=(),
        test=(),
        isolated_atoms={},
        fingerprint="",
        found=(),
        length_unit_given=False,
    )
    unit_check.check(made)
    if "rmd17" in name:
        with pytest.raises(
            errors.DataError, match=r"data.energy_unit=kcal/mol data.forces_unit=kc"
        ):
            unit_check.check(_in_units(made, KCAL, KCAL))
