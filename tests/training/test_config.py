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
        (
            {"optimizer": {"schedule": "exponential"}},
            "optimizer.final_fraction: expected a number above 0, which exponential falls to",
        ),
        ({"optimizer": {"drops": [0.7, 0.5]}}, "optimizer.drops: expected moments in order"),
        ({"optimizer": {"drops": [1.5]}}, "optimizer.drops: expected a share of the run from 0"),
        ({"optimizer": {"cycle_growth": 0.5}}, "optimizer.cycle_growth: expected a number from 1"),
        ({"loss": {"huber_sizes": [2, 1]}}, "loss.huber_sizes: expected ascending lengths"),
        ({"loss": {"huber_factors": [1.0]}}, "loss.huber_factors: expected 3 factors above 0"),
        ({"loss": {"changes": {"force": {"to": 1}}}}, "unknown term 'force'. Did you mean 'forc"),
        (
            {"loss": {"changes": {"forces": {"to": -1}}}},
            "loss.changes.forces.to: expected a weight of at least 0",
        ),
        (
            {"loss": {"changes": {"forces": {"to": 2, "start": 0.5, "end": 0.25}}}},
            r"loss.changes.forces.end: expected 0.5 .start. or later, received 0.25",
        ),
        (
            {"loss": {"stress": 0.0, "changes": {"stress": {"to": 2, "shape": "exponential"}}}},
            "two weights above 0, received 0 and 2; use shape=linear",
        ),
        (
            {"loss": {"groups": {"bulk": 2}}},
            "loss.groups: expected data.group_key, the key that holds the group of each structure",
        ),
        ({"trainer": {"sampling": "balanced"}}, "trainer.sampling=balanced: expected data.group_"),
        ({"data": {"train": "a.xyz", "split": "stratified"}}, "data.split: stratified takes fram"),
        (
            {"data": {"train": "a.xyz", "weight_keys": {"force": "w"}}},
            "data.weight_keys: unknown quantity 'force'. Did you mean 'forces'",
        ),
        ({"trainer": {"best": "force_rmse"}}, "unknown measure 'force_rmse'. Did you mean 'forc"),
        ({"stage_two": {"energy": 10}}, "expected stage_two.start beside energy, received null"),
        ({"stage_two": {"start": 1}}, "stage_two.start: expected a share of the run between 0 an"),
        ({"stage_two": {"start": 0.5, "forces": -1}}, "stage_two.forces: expected a weight of at"),
        (
            {"stage_two": {"start": 0.5, "quantities": {"dipole": 1}}},
            "stage_two.quantities: unknown quantity 'dipole'",
        ),
        (
            {
                "stage_two": {"start": 0.5, "energy": 1},
                "loss": {"changes": {"energy": {"to": 10}}},
            },
            "stage_two.energy: loss.changes.energy changes the same weight",
        ),
        (
            {
                "stage_two": {"start": 0.5},
                "optimizer": {"name": "schedule_free", "schedule": "constant", "ema_decay": None},
            },
            "stage_two: schedule_free averages all parameters from the start",
        ),
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
