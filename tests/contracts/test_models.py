"""Every model obeys every contract; new files in models/ and configs/model/ take part at once."""

import dataclasses
import itertools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml

from equipot import testing
from equipot.models import registry
from equipot.potential import potential as potentials
from equipot.potential.potential import Potential, PotentialSpec
from tests.contracts import cases
from tests.contracts.variants import VARIANTS

HEADER = re.compile(r"^# parameters: ([\d,]+) for two elements$", re.MULTILINE)
YAMLS = sorted(cases.CONFIGS.glob("*.yaml"))
DEAR = {  # compile on their own
    "directed_edges",
    "domains",
    "padding",
    "gradients_within_graphs",
    "jit",
    "parameter_gradients",
}
# Many operations, compiled one by one; and what is not physics of isolated systems or crystals, but
# for one model.
_WIDE = {(case, "jit") for case in ("allegro", "mace", "nequip", "painn", "schnet")} | {
    (case, contract)
    for case in ("allegro", "mace", "painn", "schnet")
    for contract in ("directed_edges", "domains", "gradients_within_graphs", "parameter_gradients")
}


def _cells() -> list:
    cells = itertools.product(cases.find_cases(), testing.CONTRACTS)
    return [
        pytest.param(*cell, marks=pytest.mark.wide if cell in _WIDE else (), id="-".join(cell))
        for cell in cells
    ]


@pytest.mark.parametrize(("case", "contract"), _cells())
def test_model_obeys(case, contract):
    testing.CONTRACTS[contract](cases.build_subject(case))


@pytest.mark.slow
@pytest.mark.parametrize("contract", testing.CONTRACTS)
@pytest.mark.parametrize("case", cases.find_richer_cases())
def test_model_with_more_layers_and_irreps_obeys(case, contract):
    testing.CONTRACTS[contract](cases.build_subject(case))


@pytest.mark.wide
@pytest.mark.parametrize("contract", [name for name in testing.CONTRACTS if name not in DEAR])
@pytest.mark.parametrize("case", cases.find_quick_variants())
def test_one_layer_of_a_variant_obeys(case, contract):
    testing.CONTRACTS[contract](cases.build_subject(case))


@pytest.mark.slow
@pytest.mark.parametrize("contract", testing.CONTRACTS)
@pytest.mark.parametrize("case", cases.find_variants())
def test_variant_obeys(case, contract):
    testing.CONTRACTS[contract](cases.build_subject(case))


def test_every_variant_is_of_a_model_that_is_there():
    assert set(VARIANTS) <= set(registry.available())


@pytest.mark.parametrize("case", cases.find_cases())
def test_settings_survive_yaml_and_json(case):
    _, config = cases.find_cases()[case]
    testing.check_config_round_trip(config)


@pytest.mark.wide
@pytest.mark.parametrize("case", cases.find_cases())
def test_saved_potential_comes_back_bit_by_bit(case, tmp_path):
    name, config = cases.find_cases()[case]
    spec = PotentialSpec(
        model_name=name,
        model_config=dataclasses.replace(config, num_layers=1),  # the probe is compiled for it
        species_table=(1, 6, 8),
        atomic_energies=(-13.6, -1030.0, -2040.0),
        avg_num_neighbors=12.0,
    )
    ones, rng = jnp.ones(3), np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: potentials.init_params(spec, jax.random.key(0), ones, ones))
    params = jax.tree.map(lambda x: rng.uniform(0.5, 1.5, x.shape).astype(x.dtype), shapes)
    testing.check_saving(Potential(spec=spec, params=params), tmp_path)


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.stem)
def test_number_of_parameters_is_the_one_its_file_says(path):
    found = HEADER.search(path.read_text())
    assert found, f"{path.name} has no line '# parameters: N for two elements'"
    name, config = cases.full_config(path)
    spec = PotentialSpec(
        model_name=name,
        model_config=config,
        species_table=(1, 8),
        atomic_energies=(0.0, 0.0),
        avg_num_neighbors=12.0,
    )
    ones = jnp.ones(2)
    params = jax.eval_shape(
        lambda key: potentials.init_params(spec, key, ones, ones), jax.random.key(0)
    )
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params["model"]))
    assert count == int(found[1].replace(",", ""))


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.stem)
def test_file_of_settings_has_no_key_that_the_model_lacks(path):
    mapping = yaml.safe_load(path.read_text())
    _, config = cases.full_config(path)
    assert set(mapping) - {"name"} <= set(vars(config))


@pytest.mark.parametrize("case", cases.find_cases())
def test_parameters_under_test_are_nowhere_zero(case):
    for leaf in jax.tree.leaves(cases.build_subject(case).params):
        assert np.all(leaf != 0)
