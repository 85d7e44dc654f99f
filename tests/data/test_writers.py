import dataclasses

import ase.build
import ase.io
import numpy as np

from equipot import quantities
from equipot.data import writers
from equipot.data.structure import Structure
from equipot.potential.evaluate import HostPrediction
from equipot.quantities import Label, QuantityConfig

TABLE = quantities.declared(
    {
        "charges": QuantityConfig(per="atom", sums_to_charge=True),
        "dipole": QuantityConfig(irreps="1o", charges="charges"),
        "alpha": QuantityConfig(irreps="0e+2e"),
        "moment": QuantityConfig(per="atom", irreps="1e"),
        "gap": QuantityConfig(),
    }
)


def test_predictions_and_labels_of_declared_quantities_stand_under_their_names(tmp_path):
    atoms = ase.build.molecule("H2O")
    values = {
        "charges": np.array([-0.8, 0.4, 0.4]),
        "dipole": np.array([0.0, 0.1, 0.4]),
        "alpha": np.array([[1.0, 0.1, 0.2], [0.1, 2.0, 0.3], [0.2, 0.3, 3.0]]),
        "moment": np.arange(9.0).reshape(3, 3),
        "gap": np.array(7.0),
    }
    structure = Structure(
        positions=atoms.positions,
        atomic_numbers=atoms.numbers,
        others={name: Label(2.0 * value, 1.0) for name, value in values.items() if name != "gap"},
        charge=1.0,
    )
    prediction = HostPrediction(
        energy=-1.0,
        energies=np.zeros(3),
        forces=np.zeros((3, 3)),
        stress=np.zeros((3, 3)),
        has_stress=False,
        others=values,
    )
    path = tmp_path / "a.extxyz"
    writers.write_predictions(path, [structure], [prediction], quantities.every(TABLE))
    found = ase.io.read(path)
    assert not isinstance(found, list)
    own = {**found.arrays, **found.info, **found.calc.results}
    np.testing.assert_allclose(own["REF_charges"], 2.0 * own["charges"])
    np.testing.assert_allclose(own["REF_dipole"], 2.0 * own["dipole"])
    np.testing.assert_allclose(own["alpha"], [1.0, 2.0, 3.0, 0.3, 0.2, 0.1])
    np.testing.assert_allclose(own["REF_moment"], 2.0 * values["moment"])
    assert own["gap"] == 7.0 and "REF_gap" not in own
    assert own["charge"] == 1.0 and "stress" not in own


def test_what_was_written_is_read_as_labels(tmp_path):
    from equipot.data import readers
    from equipot.data.config import DataConfig

    atoms = ase.build.molecule("H2O")
    label = Label(np.array([0.0, 0.1, 0.4]), 1.0)
    structure = Structure(
        positions=atoms.positions, atomic_numbers=atoms.numbers, others={"dipole": label}
    )
    zeros = np.zeros((3, 3))
    prediction = HostPrediction(
        energy=0.0, energies=zeros[0], forces=zeros, stress=zeros, has_stress=False,
        others={"dipole": np.ones(3)},
    )  # fmt: skip
    table = quantities.declared({"dipole": QuantityConfig(irreps="1o", key="REF_dipole")})
    path = tmp_path / "a.extxyz"
    writers.write_predictions(path, [structure], [prediction], quantities.every(table))
    config = DataConfig(train=str(path), quantities=quantities.configured(table.values()))
    (again,) = readers.read_file(path, config).structures
    np.testing.assert_allclose(again.others["dipole"].value, label.value)
    assert dataclasses.replace(again).label("dipole") is not None
