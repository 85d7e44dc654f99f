import pathlib

import pytest

from equipot import errors
from equipot.cli import overrides


def check(*arguments: str) -> overrides.CommandLine:
    command_line = overrides.parse(arguments)
    overrides.check(command_line)
    return command_line


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("trainer.num_step=3", "trainer: unknown key 'num_step'. Did you mean 'num_steps'?"),
        ("+trainer.num_step=3", "trainer: unknown key 'num_step'. Did you mean 'num_steps'?"),
        ("++trainer.num_step=3", "trainer: unknown key 'num_step'. Did you mean 'num_steps'?"),
        ("model.num_layer=3", "model: unknown key 'num_layer'. Did you mean 'num_layers'?"),
        ("+trian.foo=1", "unknown key 'trian'. Did you mean 'trainer'?"),
        ("sed=1", "unknown key 'sed'. Did you mean 'seed'?"),
        ("+experimant=water", "unknown key 'experimant'. Did you mean 'experiment'?"),
        ("+experiment=watre", "experiment: unknown option 'watre'. Did you mean 'water'?"),
        ("model=neqip", "model: unknown option 'neqip'. Did you mean 'nequip'?"),
        ("+modle/deep=nequip", "unknown group 'modle/deep'. Did you mean 'model'?"),
        ("seed.more=1", "seed: is one value and has no key 'more'"),
        ("experiment=water", "an experiment is added with a plus: +experiment=water"),
        ("data.train=[a", "data.train=[a: cannot be read as key=value"),
    ],
)
def test_what_does_not_exist_is_refused_with_the_nearest_word(argument: str, message: str):
    with pytest.raises(errors.ConfigError) as caught:
        check(argument)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "argument",
    [
        "+experiment=water",
        "data.train=my.extxyz",
        "data.train=[a.xyz,b.xyz]",
        "model.lmax=0,1,2",
        "+model.some_key_of_a_new_model=1",  # checked against the model's own fields, later
        "+potential.reference_energies.H=-13.6",
        "optimizer=adam,adamw",
        "hydra.verbose=true",
        "hydra/launcher=basic",
        "name=some_name",
    ],
)
def test_what_exists_is_let_through(argument: str):
    check(argument)


def test_a_missing_folder_of_configurations_is_named():
    with pytest.raises(errors.ConfigError, match="there is no folder nowhere"):
        check("--config-dir", "nowhere", "seed=1")


def test_options_of_the_users_own_folder_are_known(tmp_path: pathlib.Path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\n")
    check("--config-dir", str(tmp_path), "+experiment=mine")
    check("--config-dir", str(tmp_path), "+experiment=water")


def test_flags_may_stand_anywhere_between_keys():
    words = check("+experiment=water", "--cfg", "job", "seed=1").for_hydra()
    assert words[:2] == ["+experiment=water", "seed=1"]
    assert words[-2:] == ["--cfg", "job"]


def test_folders_of_a_sweep_are_named_after_the_swept_keys_alone():
    words = check("-m", "data.train=a/b.xyz", "model.lmax=0,1", "seed=0,1").for_hydra()
    exclude = next(word for word in words if "exclude_keys" in word)
    assert exclude.endswith("exclude_keys=['data.train']")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=schnet", "model.correlation=2"], "model.schnet: unknown key 'correlation'"),
        (["model=mace,nequip", "model.correlation=2"], "model.nequip: unknown key 'correlation'"),
        (["model.readout_widths=[8]"], "model.mace: unknown key 'readout_widths'"),
    ],
)
def test_a_key_of_another_model_is_refused(arguments: list[str], message: str):
    with pytest.raises(errors.ConfigError) as caught:
        check(*arguments)
    assert message in str(caught.value)


def test_keys_of_any_model_pass_where_an_experiment_chooses_it():
    check("+experiment=rmd17_mace", "model.correlation=2")
    check("--config-name", "mine", "model.correlation=2")
    check("model=mace,allegro", "model.num_channels=8")


def test_keys_that_a_model_file_takes_from_another_pass(tmp_path: pathlib.Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("defaults:\n  - mace\nnum_layers: 1\n")
    check("--config-dir", str(tmp_path), "model=mine", "model.correlation=2")


def test_names_that_are_free_need_no_plus():
    words = check("data.quantities.dipole.irreps=1o", "+loss.quantities.dipole=3").for_hydra()
    assert words[:2] == ["++data.quantities.dipole.irreps=1o", "+loss.quantities.dipole=3"]
    assert check("model.lmax=2", "trainer.num_steps=3").for_hydra()[0] == "model.lmax=2"
