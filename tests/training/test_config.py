import subprocess
import sys

import pytest

from equipot import config, errors
from equipot.training import config as training_config

MINIMAL = {"data": {"train": "water.xyz"}, "model": {"name": "nequip"}}


def test_a_minimal_mapping_is_filled_with_defaults():
    built = training_config.train_config(MINIMAL)
    assert built.folder == "runs/run"
    assert built.loss.terms == {"energy": 1.0, "forces": 1.0, "stress": 0.0}


def test_a_configuration_survives_the_way_to_a_mapping_and_back():
    built = training_config.train_config({**MINIMAL, "optimizer": {"clip_norm": 10}})
    again = training_config.train_config(config.to_mapping(built))
    assert again == built


def test_a_declared_quantity_weighs_one_unless_it_is_given():
    data = {"train": "a.xyz", "quantities": {"q": {"per": "atom"}, "dipole": {"irreps": "1o"}}}
    change = {"data": data, "loss": {"energy": 0, "forces": 0, "quantities": {"dipole": 10}}}
    built = training_config.train_config({**MINIMAL, **change})
    assert built.loss.terms == {"energy": 0, "forces": 0, "stress": 0, "q": 1.0, "dipole": 10.0}
    assert training_config.train_config(config.to_mapping(built)) == built


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": {"learning_rat": 1e-3}}, "Did you mean 'learning_rate'"),
        ({"optimizer": {"name": "adamm"}}, "Did you mean 'adam'"),
        ({"optimizer": {"learning_rate": -1.0}}, "optimizer.learning_rate: expected a positive"),
        ({"optimizer": {"ema_decay": 1.0}}, "optimizer.ema_decay: expected a number from 0 to"),
        ({"optimizer": {"name": "adam", "weight_decay": 0.1}}, "use optimizer.name=adamw"),
        (
            {"potential": {"scale": 0}},
            "potential.scale: expected forces_mean, forces_rms or a positive number",
        ),
        ({"loss": {"energy": 0, "forces": 0}}, "one term with a weight above 0"),
        ({"loss": {"forces": -1.0}}, "loss.forces: expected a weight of at least 0"),
        ({"loss": {"quantities": {"dipol": 1}}}, "unknown quantity 'dipol'. Declared in .*: none"),
        (
            {
                "data": {"train": "a.xyz", "quantities": {"dipole": {}}},
                "loss": {"quantities": {"dipol": 1}},
            },
            "loss.quantities: unknown quantity 'dipol'. Did you mean 'dipole'",
        ),
        (
            {
                "data": {"train": "a.xyz", "quantities": {"dipole": {}}},
                "loss": {"quantities": {"dipole": -1}},
            },
            "loss.quantities.dipole: expected a weight of at least 0",
        ),
        (
            {"data": {"train": "a.xyz", "quantities": {"dipole": {"irrep": "1o"}}}},
            "data.quantities.dipole: unknown key 'irrep'. Did you mean 'irreps'",
        ),
        ({"trainer": {"batch_size": 0}}, "trainer.batch_size: expected at least 1"),
        ({"model": {"lmax": 2}}, "model: expected the key 'name'"),
        ({"name": "a/b"}, "bytes without '/'"),
        ({"name": ".."}, "other than '.' and '..'"),
        ({"name": "x" * 300}, "a name of at most 200 bytes"),
        ({"name": "a\nb"}, "a name of at most 200 bytes"),
    ],
)
def test_a_wrong_setting_is_named(change, message):
    with pytest.raises(errors.ConfigError, match=message):
        training_config.train_config({**MINIMAL, **change})


def test_the_configuration_is_read_without_importing_jax():
    code = "import sys, equipot.training.config; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
