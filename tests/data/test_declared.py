import ase
import ase.build
import ase.io
import numpy as np
import pytest

from equipot import errors
from equipot.data import audit, cache, dataset, fingerprint, readers
from equipot.data.config import DataConfig
from equipot.quantities import QuantityConfig

DIPOLE = QuantityConfig(irreps="1o", unit="e Å", charges="charges")
CHARGES = QuantityConfig(per="atom", unit="e", sums_to_charge=True)
BOTH = {"charges": CHARGES, "dipole": DIPOLE}


def molecule(seed=0, charge=None, pbc=False, **values):
    """Water with a dipole and charges of its atoms, far from the origin."""
    rng = np.random.default_rng(seed)
    atoms = ase.build.molecule("H2O", vacuum=5.0, pbc=pbc)
    atoms.rattle(0.05, rng=rng)
    charges = rng.normal(size=3)
    charges += ((charge or 0.0) - charges.sum()) / 3
    arrays = {"charges": charges, "dipole": charges @ atoms.positions, "energy": -10.0 - seed}
    for key, value in (arrays | values).items():
        if value is not None:
            per_atom = np.shape(value)[:1] == (3,) and key != "dipole"
            (atoms.arrays if per_atom else atoms.info)[key] = value
    if charge is not None:
        atoms.info["charge"] = charge
    return atoms


@pytest.fixture
def read(tmp_path):
    """A function that writes frames as extended xyz and reads them with declared quantities."""

    def read_frames(frames, quantities=BOTH, name="a.extxyz"):
        ase.io.write(tmp_path / name, frames)
        config = DataConfig(train=str(tmp_path / name), quantities=quantities)
        return readers.read_file(tmp_path / name, config)

    return read_frames


def test_declared_quantities_are_read_beside_the_energy(read):
    frames = [molecule(seed) for seed in range(3)]
    frames[1].info.pop("dipole")
    made = read(frames)
    first, second, _ = made.structures
    np.testing.assert_allclose(first.label("dipole").value, frames[0].info["dipole"], atol=1e-7)
    np.testing.assert_allclose(first.label("charges").value, frames[0].arrays["charges"], atol=1e-7)
    assert first.label("dipole").weight == 1.0 and first.label("energy").value == -10.0
    assert second.label("dipole") is None and second.label("charges") is not None
    assert "charges from 'charges' (3), dipole from 'dipole' (2)" in made.found[0]
    assert first.charge == 0.0


def test_what_nobody_declares_is_not_read(read):
    (item,) = read([molecule()], quantities={}).structures
    assert item.others == {} and item.charge == 0.0


def test_the_dipole_of_an_ion_is_moved_to_the_mean_of_its_positions(read):
    frames = [molecule(charge=1), molecule(1, charge=0), molecule(2)]
    made = read(frames)
    ion = made.structures[0]
    centered = frames[0].positions - frames[0].positions.mean(axis=0)
    expected = frames[0].arrays["charges"] @ centered
    np.testing.assert_allclose(ion.label("dipole").value, expected, atol=1e-6)
    assert [s.charge for s in made.structures] == [1.0, 0.0, 0.0]
    text = "\n".join(made.found)
    assert "the dipole of 1 charged frames is moved to the mean of their positions" in text
    assert "the charges of a frame add up to its charge within" in text


def test_the_dipole_of_an_ion_in_a_box_is_left_out(read):
    made = read([molecule(charge=1, pbc=[True, False, False]), molecule(1, pbc=True)])
    ion, neutral = made.structures
    assert ion.label("dipole") is None and ion.label("charges") is not None
    assert neutral.label("dipole") is not None
    assert "dipole of 1 frames is left out, because they are charged and periodic" in str(
        made.found
    )


def test_how_far_charges_are_from_their_sum_is_said(read):
    made = read([molecule(charges=np.array([0.5, -0.2, 0.1]))])
    assert "add up to its charge within 0.4 e" in str(made.found)


@pytest.mark.parametrize(
    ("declaration", "value", "shape"),
    [
        (QuantityConfig(irreps="0e+2e"), np.array([1.0, 2.0, 3.0, 0.1, 0.2, 0.3]), (3, 3)),
        (QuantityConfig(irreps="0e+2e"), np.diag([1.0, 2.0, 3.0]).ravel(), (3, 3)),
        (QuantityConfig(irreps="2x0e+1o"), np.arange(5.0), (5,)),
        (QuantityConfig(), 3.5, ()),
        (QuantityConfig(per="atom", irreps="1e"), np.arange(9.0).reshape(3, 3), (3, 3)),
        (QuantityConfig(per="atom", irreps="0e+2e"), np.ones((3, 6)), (3, 3, 3)),
        (QuantityConfig(per="atom", irreps="2e"), np.ones((3, 5)), (3, 5)),
    ],
)
def test_labels_have_the_shape_of_their_quantity(read, declaration, value, shape):
    (item,) = read([molecule(own=value)], quantities={"own": declaration}).structures
    assert item.label("own").value.shape == shape
    if shape == (3, 3) and declaration.per == "structure":
        assert np.trace(item.label("own").value) == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("declaration", "value", "message"),
    [
        (
            QuantityConfig(irreps="1o"),
            np.ones(4),
            r"shape \(4,\), expected the shape \(3,\), 1o",
        ),
        (
            QuantityConfig(),
            np.ones(2),
            r"'own' has shape \(2,\), expected one number, 0e per",
        ),
        (
            QuantityConfig(per="atom"),
            np.ones(2),
            r"expected the shape \(3,\), 0e per atom",
        ),
        (QuantityConfig(irreps="0e+2e"), np.arange(9.0), r"'own' is not symmetric .* as 0e\+2e is"),
        (QuantityConfig(irreps="0e+2e"), np.ones(5), r"'own' has shape \(5,\), expected \(3, 3\)"),
        (QuantityConfig(), "much", "'own' is 'much' .text., expected numbers"),
        (QuantityConfig(irreps="1o"), np.array([1.0, np.nan, 0.0]), "'own' holds NaN or infinity"),
    ],
)
def test_a_label_of_another_shape_is_refused(read, declaration, value, message):
    with pytest.raises(errors.DataError, match=r"a.extxyz, frame 0.*" + message):
        read([molecule(own=value)], quantities={"own": declaration})


def test_a_named_key_that_is_missing_is_said_with_the_nearest_one(read):
    made = read([molecule()], quantities={"mu": QuantityConfig(irreps="1o", key="dipol")})
    sentence = "no frame has the key 'dipol' (data.quantities.mu.key). Did you mean 'dipole'?"
    assert any(sentence in line for line in made.found)


def test_keys_are_found_in_any_case_unless_two_would_do(read):
    own = {"mu": QuantityConfig(irreps="1o")}
    frame = molecule()
    frame.info["Mu"] = np.full(3, 2.0)
    (item,) = read([frame], quantities=own).structures
    np.testing.assert_array_equal(item.label("mu").value, 2.0)
    frame.info["MU"] = np.ones(3)
    with pytest.raises(errors.DataError, match=r"'Mu' and 'MU' may both hold mu; rename one"):
        read([frame], quantities=own)


def test_npz_and_deepmd_hold_declared_quantities(tmp_path):
    charges, dipoles = np.arange(6.0).reshape(2, 3) - 2.5, np.ones((2, 3))
    positions = np.random.default_rng(0).normal(size=(2, 3, 3))
    atoms = {"nuclear_charges": np.array([8, 1, 1]), "coords": positions}
    np.savez(tmp_path / "a.npz", **atoms, charges=charges, dipole=dipoles)
    system = tmp_path / "deepmd"
    (system / "set.000").mkdir(parents=True)
    (system / "type.raw").write_text("0 1 1")
    (system / "type_map.raw").write_text("O H")
    (system / "nopbc").touch()
    found = {"coord": positions.reshape(2, 9), "charges": charges, "dipole": dipoles}
    for name, array in (found | {"charge": np.ones(2)}).items():
        np.save(system / "set.000" / f"{name}.npy", array)
    for path in (tmp_path / "a.npz", system):
        config = DataConfig(train=str(path), quantities=BOTH)
        item = readers.read_file(path, config).structures[1]
        np.testing.assert_array_equal(item.label("charges").value, charges[1])
    np.testing.assert_allclose(item.label("dipole").value, 1.0 - positions[1].mean(axis=0))
    np.savez(tmp_path / "b.npz", **atoms, dipole=np.ones((3, 3)))
    with pytest.raises(errors.DataError, match=r"'dipole' has shape \(3, 3\), expected 2 frames"):
        readers.read_file(tmp_path / "b.npz", DataConfig(train="b.npz", quantities=BOTH))


def test_a_database_of_ase_holds_declared_quantities(tmp_path):
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.db import connect

    atoms = ase.build.molecule("H2O")
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, dipole=np.array([0.0, 0.0, 0.4]))
    matrix = np.diag([1.0, 2.0, 3.0])
    with connect(tmp_path / "a.db") as database:
        database.write(atoms, data={"alpha": matrix})
    own = {"dipole": QuantityConfig(irreps="1o"), "alpha": QuantityConfig(irreps="0e+2e")}
    config = DataConfig(train=str(tmp_path / "a.db"), quantities=own)
    (item,) = readers.read_file(tmp_path / "a.db", config).structures
    np.testing.assert_array_equal(item.label("dipole").value, [0.0, 0.0, 0.4])
    np.testing.assert_array_equal(item.label("alpha").value, matrix)


def test_the_cache_keeps_declared_labels_and_tells_declarations_apart(read, tmp_path):
    matrices = {"own": QuantityConfig(per="atom", irreps="0e+2e")} | BOTH
    frames = [molecule(0, charge=1, own=np.ones((3, 6))), molecule(1), molecule(2)[:2]]
    made = read(frames, quantities=matrices)
    config = DataConfig(train="a.extxyz", quantities=matrices)
    path = tmp_path / "a.extxyz"
    key = cache.key(path, config)
    assert cache.save(key, made)
    again = cache.load(key)
    assert again is not None
    for one, two in zip(made.structures, again.structures, strict=True):
        assert one.charge == two.charge and one.others.keys() == two.others.keys()
        for name, label in one.others.items():
            np.testing.assert_array_equal(label.value, two.others[name].value)
            assert label.weight == two.others[name].weight
    assert fingerprint.dataset({"a": made.structures}, {}) == fingerprint.dataset(
        {"a": again.structures}, {}
    )
    assert cache.key(path, DataConfig(train="a.extxyz", quantities=BOTH)) != key


def test_the_fingerprint_covers_declared_labels(read):
    frames = [molecule(seed) for seed in range(2)]
    without = fingerprint.dataset({"train": read(frames, quantities={}).structures}, {})
    before = fingerprint.dataset({"train": read(frames).structures}, {})
    frames[0].info["dipole"] = np.ones(3)
    assert len({without, before, fingerprint.dataset({"train": read(frames).structures}, {})}) == 3


def test_the_audit_counts_declared_labels_and_asks_for_those_of_the_loss(tmp_path):
    frames = [molecule(seed, energy=None) for seed in range(10)]
    frames[0].info.pop("dipole")
    ase.io.write(tmp_path / "a.extxyz", frames)
    own = {**BOTH, "alpha": QuantityConfig(irreps="0e+2e", key="polarizability")}
    config = DataConfig(train=str(tmp_path / "a.extxyz"), quantities=own, split="sequential")
    made = dataset.read_dataset(config)
    report = str(audit.audit(made, {"energy": 0.0, "dipole": 10.0, "charges": 0.0}))
    assert "0 energies, 0 forces, 0 stresses, 8 charges, 7 dipole, 0 alpha;" in report
    assert "charges: 8 training frames have labels" in report
    assert "loss.quantities.charges=1 trains on them" in report
    message = r"the loss weighs alpha by 2, .*Set loss.quantities.alpha=0, or name the label with d"
    with pytest.raises(errors.DataError, match=message):
        audit.audit(made, {"alpha": 2.0})


def test_a_file_without_any_label_says_where_declared_ones_are_named(tmp_path):
    ase.io.write(tmp_path / "a.extxyz", [ase.build.molecule("H2O")] * 10)
    config = DataConfig(train=str(tmp_path / "a.extxyz"), quantities=BOTH)
    with pytest.raises(errors.DataError, match=r"no labels were found.*data.quantities.dipole.key"):
        dataset.read_dataset(config)


def test_repeated_configurations_with_other_dipoles_are_said(tmp_path):
    frames = [molecule(seed, charges=None) for seed in range(10)]
    frames[1] = frames[0].copy()
    frames[1].info["dipole"] = frames[0].info["dipole"] + 1.0
    ase.io.write(tmp_path / "a.extxyz", frames)
    own = {"dipole": QuantityConfig(irreps="1o", unit="e Å")}
    config = DataConfig(train=str(tmp_path / "a.extxyz"), quantities=own, split="sequential")
    report = str(audit.audit(dataset.read_dataset(config), {"energy": 1.0}))
    assert "dipole differs by 1 e Å between a.extxyz, frame 0" in report
