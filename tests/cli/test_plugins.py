import pytest

from equipot import errors
from equipot.cli import overrides, plugins


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["hydra.launcher.n_jobs=2"],
            "belongs to what hydra/launcher chooses; add hydra",
        ),
        (["hydra.sweeper.n_trials=2"], "belongs to what hydra/sweeper chooses"),
        (["hydra/sweeper/sampler=random"], "belongs to what hydra/sweeper chooses"),
        (
            ["optimizer.learning_rate=interval(0.1,1)"],
            "a range is searched by",
        ),
    ],
)
def test_what_no_launcher_takes_is_refused_with_what_to_add(words, message):
    line = overrides.parse(["-m", *words])
    with pytest.raises(errors.ConfigError, match=message):
        overrides.check(line)


@pytest.mark.parametrize("option", ["hydra/launcher=joblib", "hydra/sweeper=optuna"])
def test_an_absent_package_is_named(option, monkeypatch):
    monkeypatch.setattr(plugins, "_PACKAGES", dict.fromkeys(plugins._PACKAGES, "hydra-absent"))
    line = overrides.parse(["-m", option, "seed=0,1"])
    expected = f"{option}: needs the package hydra-absent, .* pip install 'equipot\\[sweep\\]'"
    with pytest.raises(errors.ConfigError, match=expected):
        overrides.check(line)


def test_what_hydra_has_itself_is_taken():
    swept = ["-m", "seed=0,1", "hydra/launcher=basic", "hydra.sweeper.params={seed: '1,2'}"]
    overrides.check(overrides.parse(swept))
