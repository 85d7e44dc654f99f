"""A file in the folder of models is a model, found by name; wrong names and keys are explained."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from equipot import errors
from equipot.models import nequip, registry
from equipot.models.context import ModelContext

CONTEXT = ModelContext(species_table=(1, 8), avg_num_neighbors=10.0)


def test_every_file_in_the_folder_is_available():
    assert "nequip" in registry.available()
    assert "registry" not in registry.available()
    assert list(registry.available()) == sorted(registry.available())


@pytest.mark.parametrize("name", registry.available())
def test_every_model_has_settings_with_a_cutoff(name):
    cls = registry.config_class(name)
    assert dataclasses.is_dataclass(cls)
    assert cls().cutoff > 0


@pytest.mark.parametrize("name", registry.available())
def test_every_model_can_be_built_from_its_defaults(name):
    model = registry.build_model(name, registry.config_class(name)(), CONTEXT)
    assert isinstance(model, nn.Module)
    assert model.context.num_species == 2


def test_mapping_is_split_into_name_and_settings():
    name, config = registry.config_from_mapping({"name": "nequip", "lmax": 1, "cutoff": 4})
    assert name == "nequip"
    assert config == nequip.Config(lmax=1, cutoff=4.0)


def test_misspelt_key_is_answered_with_the_right_one():
    with pytest.raises(
        errors.ConfigError, match=r"model\.nequip: unknown key 'num_layer'.*layers'"
    ):
        registry.config_from_mapping({"name": "nequip", "num_layer": 3})


def test_misspelt_model_is_answered_with_the_right_one():
    with pytest.raises(errors.ConfigError, match=r"unknown model 'nequib'\. Did you mean 'nequip'"):
        registry.config_from_mapping({"name": "nequib"})


def test_mapping_without_a_name_is_refused():
    with pytest.raises(errors.ConfigError, match=r"model: needs a name, one of .*nequip"):
        registry.config_from_mapping({"lmax": 1})


def test_atoms_without_any_edges_have_energies():
    model = registry.build_model(
        "nequip", nequip.Config(num_channels=2, radial_widths=(4,)), CONTEXT
    )
    nobody = jnp.zeros(0, jnp.int32)
    species = jnp.asarray([0, 1, 1], jnp.int32)
    begin = jax.jit(model.init_with_output)
    found, _ = begin(jax.random.key(0), jnp.zeros((0, 3)), species, nobody, nobody)
    energy = found.energies[:, 0]
    assert found.energies.shape == (3, 1)
    assert energy[1] == energy[2] != energy[0]


def shapes(name, config, species_table):
    context = dataclasses.replace(CONTEXT, species_table=species_table)
    model = registry.build_model(name, config, context)
    index = jnp.zeros(1, jnp.int32)
    made = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 3)), index, index, index)
    leaves = jax.tree_util.tree_leaves_with_path(made["params"])
    return model, {tuple(key.key for key in path): leaf.shape for path, leaf in leaves}


@pytest.mark.wide
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, {}) for name in registry.available()),
        ("nequip", {"species_norm": True}),
        ("allegro", {"species_norm": True}),
        ("allegro", {"radial_basis": "spline"}),
        ("mace", {"interaction": "agnostic"}),
        ("mace", {"interaction": "density", "first_interaction": "density"}),
        ("mace", {"interaction": "agnostic", "shared_matrices": 4}),
        ("mace", {"interaction": "nonlinear", "first_interaction": "nonlinear"}),
        ("nequip", {"shared_matrices": 4}),
    ],
)
def test_a_model_names_the_parameters_that_have_a_row_for_each_species(name, settings):
    config = registry.config_class(name)(**settings)
    model, two = shapes(name, config, (1, 8))
    _, three = shapes(name, config, (1, 6, 8))
    assert two.keys() == three.keys()
    tables = {path for path in two if registry.is_species_table(model, path)}
    pairs = {path for path in two if registry.is_species_pair_table(model, path)}
    assert tables | pairs == {path for path in two if two[path] != three[path]}
    assert all(three[path] == (3, *two[path][1:]) for path in tables)
    assert all(three[path] == (3, 3, *two[path][2:]) for path in pairs)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        (
            "allegro",
            {"species_norm": True},
            "centre embedding energy environment latent neighbor norm products radial readout "
            "scalars species tensors",
        ),
        (
            "mace",
            {"interaction": "density", "first_interaction": "agnostic"},
            "density embedding hidden interaction linear mixing order product radial readout up",
        ),
        (
            "nequip",
            {"species_norm": True, "trainable_bessel": True, "readout_widths": (4,)},
            "bessel connection down embedding hidden interaction linear norm radial readout "
            "roots self species up",
        ),
        (
            "painn",
            {},
            "Dense bias coefficients embedding filters kernel linear message mixed readout update",
        ),
        ("schnet", {}, "Dense bias embedding filter interaction kernel linear readout up update"),
    ],
)
def test_parameters_keep_their_names_which_files_and_checkpoints_hold(name, settings, words):
    """Spelling included: a name of before that is not there any more is a file that is refused."""
    _, found = shapes(name, registry.config_class(name)(**settings), (1, 8))
    parts = {part for path in found for key in path for part in key.split("_")}
    assert {part for part in parts if not part[:1].isdigit()} == set(words.split())


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Installs a package that offers models, as pip would leave it."""

    def install(name, entry_points):
        for entry, source in entry_points.items():
            (tmp_path / f"{name}_{entry}.py").write_text(source)
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"{entry} = {name}_{entry}" for entry in entry_points]
        text = "\n".join(["[equipot.models]", *lines, ""])
        (folder / "entry_points.txt").write_text(text)
        monkeypatch.syspath_prepend(str(tmp_path))

    return install


def test_a_model_of_another_package_is_found_by_its_entry_point(package):
    source = "from equipot.models.schnet import Config, Model\n"
    package("theirs", {"newnet": source, "schnet": source, "nothing": "Config = 1\n"})
    assert "newnet" in registry.available()
    name, config = registry.config_from_mapping({"name": "newnet", "num_channels": 4})
    assert registry.build_model(name, config, CONTEXT).config.num_channels == 4
    assert registry.available().count("schnet") == 1
    with pytest.raises(errors.ConfigError, match=r"theirs_nothing, which .* it lacks Model"):
        registry.config_class("nothing")


@pytest.mark.parametrize(
    ("name", "given", "num_species", "expected"),
    [("mace", None, 8, None), ("mace", None, 9, 8), ("nequip", 0, 90, 0), ("nequip", 3, 90, 3)],
)
def test_many_species_share_matrices_unless_the_settings_say_otherwise(
    name, given, num_species, expected
):
    config = registry.config_class(name)(shared_matrices=given)
    assert registry.for_species(config, num_species).shared_matrices == expected


def test_a_model_that_cannot_share_stays_as_it_is():
    config = registry.config_class("schnet")()
    assert registry.for_species(config, 90) is config
