"""Short runs with what users bring along: a second stage, other measures, no validation."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from equipot import errors
from equipot.potential import artefact
from equipot.training import fitting, trainer
from tests.integration.tiny import settings

STAGED = {
    "stage_two": {"start": 0.5, "energy": 100.0, "learning_rate": 1e-3},
    "loss": {"stress": 10.0, "changes": {"stress": {"to": 20.0, "end": 12}}},
    "optimizer": {"schedule": "plateau", "plateau_patience": 1},
    "trainer": {"checkpoint_every": 1},
}


def lines_of(run):
    found = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    clocks = ("seconds", "structures_per_second", "waiting")
    return [{k: v for k, v in line.items() if k not in clocks} for line in found]


def last_checkpoint(run):
    with ocp.training.Checkpointer((run / "checkpoints").absolute()) as saved:
        return saved.load_checkpointables(None, {"params": None, "ema": None, "opt": None})


@pytest.fixture(scope="module")
def staged(tmp_path_factory, lennard_jones_file):
    """A run of 24 steps whose second stage begins after 12, with a weight that ramps before."""
    run = tmp_path_factory.mktemp("staged") / "run"
    return fitting.fit(settings(run, lennard_jones_file, **STAGED))


@pytest.mark.wide
def test_a_second_stage_has_its_rate_and_compiles_nothing_anew(staged):
    log = (staged / "train.log").read_text()
    assert "jit(train_step) 1 time(s), jit(eval_step) 1 time(s)" in log
    assert "A second stage begins after step 12; the best is chosen in it" in log
    rates = {line["step"]: line["learning_rate"] for line in lines_of(staged)}
    assert rates[12] > 0.004
    assert all(rates[step] == pytest.approx(1e-3) for step in (16, 20, 24))


@pytest.mark.wide
def test_the_loss_of_a_validation_has_the_weights_of_its_stage(staged):
    """A norm of an energy is its MAE; forces and stress have no such column."""
    found = {line["step"]: line for line in lines_of(staged) if "valid_loss" in line}
    assert list(found) == [8, 16, 24]
    before, after = found[8], found[16]
    assert after["valid_loss"] > 100 * after["valid_energy_mae"] > 10 * after["valid_energy_mae"]
    assert before["valid_loss"] > before["valid_energy_mae"]
    later = {step: line["valid_loss"] for step, line in found.items() if step > 12}
    provenance = artefact.load(staged / "argon.equipot").provenance
    assert provenance["step"] == min(later, key=lambda step: later[step])
    assert provenance["valid_loss"] == later[provenance["step"]] > before["valid_loss"]


@pytest.mark.slow
def test_weights_of_stages_show_in_the_loss_of_the_steps(staged, tmp_path, lennard_jones_file):
    """Until the stage begins a run without one is the same, then energies weigh 100 times more."""
    plain = {**STAGED, "stage_two": {}}
    run = fitting.fit(settings(tmp_path / "plain", lennard_jones_file, **plain))
    pairs = list(zip(lines_of(run), lines_of(staged), strict=True))  # one for each step
    for a, b in pairs[:12]:
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert a["learning_rate"] == b["learning_rate"]
    first, second = pairs[12]
    expected = first["loss"] + 99.0 * first["energy_mae"]  # a norm of an energy is its magnitude
    assert second["loss"] == pytest.approx(expected, rel=1e-5)


class _StopError(Exception):
    """Ends a run in the middle."""


@pytest.mark.slow
@pytest.mark.parametrize("at", [12, 13])
def test_a_run_that_is_interrupted_at_the_switch_ends_in_the_same_bits(
    staged, tmp_path, lennard_jones_file, monkeypatch, at
):
    own = settings(tmp_path / "again", lennard_jones_file, **STAGED)
    take_step = trainer.Trainer.take_step

    def until(self, epoch, position, batch):
        if self.progress.step == at:
            raise _StopError
        take_step(self, epoch, position, batch)

    with monkeypatch.context() as patched:
        patched.setattr(trainer.Trainer, "take_step", until)
        with pytest.raises(_StopError):
            fitting.fit(own)
    run = fitting.fit(own)
    found, expected = (
        jax.tree.leaves(last_checkpoint(run)),
        jax.tree.leaves(last_checkpoint(staged)),
    )
    assert len(found) == len(expected) > 10
    assert all(
        np.asarray(a).tobytes() == np.asarray(b).tobytes()
        for a, b in zip(found, expected, strict=True)
    )
    assert lines_of(run) == lines_of(staged)


@pytest.mark.slow
def test_without_validation_the_last_averaged_parameters_are_kept(tmp_path, lennard_jones_file):
    given = settings(tmp_path / "run", lennard_jones_file)
    data = dataclasses.replace(given.data, num_valid=None, valid_fraction=0.0)
    own = dataclasses.replace(given, data=data)
    run = fitting.fit(own)
    potential = artefact.load(run / "argon.equipot")
    assert potential.provenance["step"] == 24
    assert potential.provenance["valid_loss"] is None
    ema = last_checkpoint(run)["ema"]
    np.testing.assert_array_equal(potential.params["model"]["embedding"], ema["model"]["embedding"])
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["valid"] is None and metrics["train"]["forces"]["rmse"] > 0
    log = (run / "train.log").read_text()
    assert "No validation split: the parameters after the last step are kept" in log
    assert "(step 24, the last)" in log
    assert "step 8/24  epoch 0  train RMSE: energy" in log
    assert not any("valid_loss" in line for line in lines_of(run))
    assert fitting.fit(own) == run


@pytest.mark.slow
def test_the_best_is_that_of_the_chosen_measure(tmp_path, lennard_jones_file):
    """Two measures that disagree about the best step: the kept one is the smallest of its own."""
    loss = {"stress": 0.0, "energy": 0.0}
    steps = {"valid_every": 2, "best": "energy_mae"}
    optimizer = {"learning_rate": 0.1, "ema_decay": None, "schedule": "constant"}
    own = settings(
        tmp_path / "run", lennard_jones_file, loss=loss, optimizer=optimizer, trainer=steps
    )
    run = fitting.fit(own)
    lines = [line for line in lines_of(run) if "valid_loss" in line]
    best = {
        key: min(lines, key=lambda line: line[key])["step"]
        for key in ("valid_energy_mae", "valid_loss")
    }
    provenance = artefact.load(run / "argon.equipot").provenance
    assert best["valid_energy_mae"] != best["valid_loss"]
    assert provenance["step"] == best["valid_energy_mae"]
    assert provenance["valid_energy_mae"] == min(line["valid_energy_mae"] for line in lines)
    assert "The best is decided by valid_energy_mae" in (run / "train.log").read_text()


@pytest.mark.slow
def test_a_stage_that_minutes_leave_no_room_for_is_said(tmp_path, lennard_jones_file):
    changes = {"stage_two": {"start": 10**6}, "trainer": {"num_steps": None, "minutes": 0.05}}
    with pytest.raises(errors.ConfigError, match=r"stage_two.start: expected fewer than the"):
        fitting.fit(settings(tmp_path / "run", lennard_jones_file, **changes))
