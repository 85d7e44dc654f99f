import subprocess
import sys

import pytest

from equipot import config, errors
from equipot.data.config import DataConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"energy_unit": "Hartre"}, "data.energy_unit: unknown unit of energy 'Hartre'. Did you"),
        ({"length_unit": "bohrs"}, "data.length_unit: unknown unit of length"),
        ({"forces_unit": "eV"}, "data.forces_unit: expected a unit of force"),
        ({"stress_unit": "GPA s"}, "data.stress_unit: unknown unit of stress"),
        ({"num_train": 0}, "data.num_train: expected at least 1 frames, received 0"),
        ({"num_valid": -1}, "data.num_valid: expected at least 0 frames, received -1"),
        ({"valid_fraction": 1.0}, "data.valid_fraction: expected a share from 0 up to 1"),
        ({"train": ()}, "data.train: expected a structure file or several, received none"),
    ],
)
def test_a_wrong_value_is_refused_before_any_file_is_read(settings, message):
    with pytest.raises(errors.ConfigError) as caught:
        DataConfig(**({"train": "a.xyz"} | settings))
    assert message in str(caught.value)


def test_one_file_or_several_are_the_same_to_the_reader():
    assert DataConfig(train="a.xyz").files("train") == ("a.xyz",)
    assert DataConfig(train=("a.xyz", "b.xyz")).files("train") == ("a.xyz", "b.xyz")
    assert DataConfig(train="a.xyz").files("valid") == ()


def test_a_virial_may_have_a_unit_of_energy_and_a_stress_one_of_pressure():
    assert DataConfig(train="a", stress_unit="kcal/mol").stress_unit == "kcal/mol"
    assert DataConfig(train="a", stress_unit="GPa").stress_unit == "GPa"


def test_the_configuration_survives_a_round_trip_through_plain_values():
    made = DataConfig(train=("a.xyz",), energy_unit="Ha", num_train=5, split="sequential")
    assert config.from_mapping(DataConfig, config.to_mapping(made)) == made


def test_neither_the_configuration_nor_the_readers_import_jax():
    code = (
        "import sys, equipot.data.config; assert 'ase' not in sys.modules;"
        "import equipot.data.dataset, equipot.data.audit;"
        "assert not {'jax', 'jaxlib', 'flax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
