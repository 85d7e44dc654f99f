"""One short run in this process, and all that it leaves behind."""

import dataclasses
import json
import re
import signal

import ase.io
import jax
import numpy as np
import pytest

from equipot import errors
from equipot.data import dataset, distance_range
from equipot.potential import artefact, evaluate
from equipot.training import finishing, fitting, time_limit, trainer
from tests.integration.tiny import NUM_STEPS, settings


@pytest.fixture(scope="module")
def finished(tmp_path_factory, lennard_jones_file):
    return fitting.fit(settings(tmp_path_factory.mktemp("fit") / "run", lennard_jones_file))


def test_the_folder_holds_everything_the_run_made(finished):
    names = {p.relative_to(finished).as_posix() for p in finished.rglob("*") if p.is_file()}
    assert {
        "argon.equipot",
        "config.yaml",
        "dataset.json",
        "errors.txt",
        "metrics.csv",
        "metrics.json",
        "metrics.jsonl",
        "plots/errors.png",
        "plots/learning_curve.png",
        "plots/parity.png",
        "train.log",
        "versions.json",
    } <= names


def test_steps_are_logged_validated_and_compiled_once(finished):
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(4, NUM_STEPS + 1, 4))
    assert [line["step"] for line in lines if "valid_loss" in line] == [8, 16, 24]
    log = (finished / "train.log").read_text()
    assert "jit(train_step) 1 time(s), jit(eval_step) 1 time(s)" in log
    assert re.search(r"step 8/24 .*energy [\d.]+ meV/atom, forces [\d.]+ meV/Å", log)
    assert "force RMS" in log  # the label audit


def test_metrics_json_has_the_promised_form(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert set(metrics) == {"train", "valid", "test", "best_step", "units", "seconds"}
    for split in ("train", "valid", "test"):
        assert set(metrics[split]["energy"]) == {"rmse", "mae", "relative"}
        assert set(metrics[split]["forces"]) == {"rmse", "mae", "relative"}
        assert set(metrics[split]["stress"]) == {"rmse", "mae", "relative"}
        assert set(metrics[split]["elements"]) == {"Ar", "Kr"}
        assert set(metrics[split]["groups"]) == {"300", "600"}


def test_the_potential_in_the_folder_has_the_errors_of_the_table(finished, lennard_jones):
    potential = artefact.load(finished / "argon.equipot")
    assert potential.spec.species_table == (18, 36)
    assert potential.provenance["config"]["name"] == "argon"
    predicted = evaluate.evaluate(potential, lennard_jones)
    squares = [(p.forces - s.forces) ** 2 for s, p in zip(lennard_jones, predicted, strict=True)]
    metrics = json.loads((finished / "metrics.json").read_text())
    counts = {"train": 28, "valid": 6, "test": 6}
    expected = sum(n * metrics[k]["forces"]["rmse"] ** 2 for k, n in counts.items()) / 40
    np.testing.assert_allclose(np.mean(squares), expected, rtol=1e-4)


def test_the_potential_states_the_distances_of_the_training_split(finished, lennard_jones_file):
    train = dataset.read_dataset(settings(finished, lennard_jones_file).data).train
    span = artefact.read(finished / "argon.equipot").potential.distance_range
    assert span == distance_range.measure(train, 4.5)
    assert set(span.shortest) == {(18, 18), (18, 36), (36, 36)} and not span.isolated


@pytest.mark.parametrize(("anchored", "expected"), [(True, {18: 1}), (False, {})])
def test_isolated_atoms_are_within_range_where_their_energy_is_exact(
    make_potential, lennard_jones, anchored, expected
):
    data = dataset.Dataset(
        train=tuple(lennard_jones[:4]),
        valid=(),
        test=(),
        isolated_atoms={18: 0.0, 36: 0.0},
        isolated_by_head={"a": {18: -1.0}},
        fingerprint="",
        found=(),
        length_unit_given=True,
    )
    spec = make_potential("float32", (18, 36), cutoff=4.5).spec
    spec = dataclasses.replace(spec, heads=("a", "b"), anchor_isolated=anchored)
    assert finishing.distance_range_of(spec, data).isolated == expected


def test_validation_errors_are_those_of_the_averaged_parameters(finished):
    """The line of the best step and the final table are computed by different programs."""
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    best = min((x for x in lines if "valid_loss" in x), key=lambda x: x["valid_loss"])
    valid = json.loads((finished / "metrics.json").read_text())["valid"]
    for quantity in ("energy", "forces", "stress"):
        for kind in ("mae", "rmse"):
            np.testing.assert_allclose(
                valid[quantity][kind], best[f"valid_{quantity}_{kind}"], rtol=1e-4
            )


def test_a_finished_run_is_reported_and_left_alone(finished, lennard_jones_file, capsys):
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.is_file()}
    assert fitting.fit(settings(finished, lennard_jones_file)) == finished
    assert {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.is_file()} == before
    assert "this run is finished" in capsys.readouterr().out


def test_a_folder_with_another_run_is_refused(finished, lennard_jones_file):
    with pytest.raises(errors.CheckpointError, match=r"seed=0, now it is 5"):
        fitting.fit(settings(finished, lennard_jones_file, seed=5))


def test_a_misspelt_model_key_is_refused_before_data_are_read(tmp_path):
    model = {"name": "nequip", "num_chanels": 8}
    with pytest.raises(errors.ConfigError, match="Did you mean 'num_channels'"):
        fitting.fit(settings(tmp_path / "run", "no such file", model=model))
    assert not (tmp_path / "run").exists()


@pytest.mark.wide
def test_a_run_that_explodes_names_the_step_and_the_last_good_checkpoint(
    tmp_path, lennard_jones_file
):
    optimizer = {"learning_rate": 1e30, "schedule": "constant", "ema_decay": None}
    steps = {"log_every": 1, "checkpoint_every": 1, "valid_every": 100}
    wild = settings(tmp_path / "run", lennard_jones_file, optimizer=optimizer, trainer=steps)
    with pytest.raises(
        errors.NonFiniteError, match=r"step 2: .*(not finite|run away).*step 0 .*resume=changed"
    ):
        fitting.fit(wild)
    # The structures of that step, as they were read.
    frames = ase.io.read(tmp_path / "run" / "not_finite_at_step_2.extxyz", ":")
    sources = [int(own.info["source"].split("frame ")[1].split()[0]) for own in frames]
    given = ase.io.read(lennard_jones_file, ":")
    assert len(frames) == 2
    for frame, source in zip(frames, sources, strict=True):
        assert frame.get_potential_energy() == given[source].get_potential_energy()
        np.testing.assert_array_equal(frame.get_forces(), given[source].get_forces())

    # The advice works in that folder: the parameters that led there are set aside.
    assert (tmp_path / "run" / "bad_checkpoint_1").is_dir()
    tame = {**optimizer, "learning_rate": 1e-3}
    slower = settings(tmp_path / "run", lennard_jones_file, optimizer=tame, trainer=steps)
    with pytest.raises(errors.CheckpointError, match=r"learning_rate=1e\+30, now it is 0.001; add"):
        fitting.fit(slower)
    fitting.fit(dataclasses.replace(slower, resume="changed"))
    lines = [json.loads(x) for x in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all(abs(line["learning_rate"] - 0.001) < 1e-9 for line in lines if line["step"] > 1)
    assert json.loads((tmp_path / "run" / "changes.json").read_text()) == {
        "0": {"optimizer.learning_rate": [1e30, 0.001]}
    }
    assert (tmp_path / "run" / "metrics.json").exists()


def test_a_validation_that_is_not_finite_names_the_terms_and_some_structures(
    tmp_path, lennard_jones_file
):
    optimizer = {"learning_rate": 1e30, "schedule": "constant", "ema_decay": None}
    steps = {"log_every": 1, "valid_every": 1}
    wild = settings(tmp_path / "run", lennard_jones_file, optimizer=optimizer, trainer=steps)
    with pytest.raises(
        errors.NonFiniteError, match=r"step 1: in validation .*run away; .* first: .*frame \d+"
    ):
        fitting.fit(wild)


def test_a_run_stopped_after_an_explosion_saves_nothing(tmp_path, lennard_jones_file, monkeypatch):
    def look_around(run, look=trainer.Trainer.look_around):
        if run.progress.step == 5:
            signal.raise_signal(signal.SIGTERM)
        look(run)

    monkeypatch.setattr(trainer.Trainer, "look_around", look_around)
    optimizer = {"learning_rate": 1e30, "schedule": "constant", "ema_decay": None}
    steps = {"log_every": 100, "valid_every": 100}
    wild = settings(tmp_path / "run", lennard_jones_file, optimizer=optimizer, trainer=steps)
    with pytest.raises(
        errors.NonFiniteError,
        match=r"not finite.*; the last good checkpoint is step 0 .* first: .*frame \d+",
    ):
        fitting.fit(wild)
    saved = [p.name for p in (tmp_path / "run" / "checkpoints").iterdir() if p.name.isdigit()]
    assert saved == ["0"]


@pytest.mark.slow
def test_a_run_stopped_between_two_lines_of_the_log_writes_the_lines_it_would_have_written(
    tmp_path, finished, lennard_jones_file, monkeypatch
):
    def look_around(run, look=trainer.Trainer.look_around):
        if run.progress.step == 6:
            signal.raise_signal(signal.SIGTERM)
        look(run)

    same = settings(tmp_path / "run", lennard_jones_file)
    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "look_around", look_around)
        with pytest.raises(errors.StoppedError, match="after step 6"):
            fitting.fit(same)
    fitting.fit(same)
    assert records(tmp_path / "run") == records(finished)


@pytest.mark.slow
def test_a_run_stopped_in_a_validation_makes_it_when_it_goes_on(
    tmp_path, finished, lennard_jones_file, monkeypatch
):
    """In the last one too, after which no step is left; and again in the one that is due."""
    same = settings(tmp_path / "run", lennard_jones_file)
    for stopped in (NUM_STEPS // 2, NUM_STEPS // 2, NUM_STEPS):

        def validate(run, valid, look=trainer.Trainer._validate, stopped=stopped):
            if run.progress.step >= stopped:
                signal.raise_signal(signal.SIGTERM)
            return look(run, valid)

        with monkeypatch.context() as patch:
            patch.setattr(trainer.Trainer, "_validate", validate)
            with pytest.raises(errors.StoppedError, match="stopped by SIGTERM after step"):
                fitting.fit(same)
    fitting.fit(same)
    assert records(tmp_path / "run") == records(finished)


@pytest.mark.slow
def test_a_limit_of_time_ends_a_validation_once(
    tmp_path, finished, lennard_jones_file, monkeypatch
):
    """A command with time for nothing else makes the one that is due, or none would ever end."""
    same = settings(tmp_path / "run", lennard_jones_file)
    with monkeypatch.context() as patch:
        patch.setattr(time_limit.TimeLimit, "reached", "")
        patch.setattr(time_limit.TimeLimit, "is_over", "trainer.max_minutes")
        with pytest.raises(errors.TimeUpError, match=r"by trainer\.max_minutes after step 8"):
            fitting.fit(same)
        with pytest.raises(errors.TimeUpError, match=r"by trainer\.max_minutes after step 16"):
            fitting.fit(same)
        with pytest.raises(errors.TimeUpError, match=r"by trainer\.max_minutes after step 24"):
            fitting.fit(same)
        fitting.fit(same)
    assert records(tmp_path / "run") == records(finished)


@pytest.mark.slow
def test_checkpoints_are_written_between_rare_validations(
    tmp_path, lennard_jones_file, monkeypatch
):
    monkeypatch.setattr(trainer, "_FEWEST_BETWEEN", 5)
    rare = settings(tmp_path / "run", lennard_jones_file, trainer={"valid_every": NUM_STEPS})
    folder = fitting.fit(rare)
    saved = [int(p.name) for p in (folder / "checkpoints").iterdir() if p.name.isdigit()]
    assert sorted(saved) == [20, NUM_STEPS]
    steps = {record["step"]: "valid_loss" in record for record in records(folder)}
    assert [step for step, has in steps.items() if has] == [NUM_STEPS]
    assert {5, 10, 15, 20} < {*steps}


def records(run_dir):
    """Lines of metrics.jsonl without what depends on the clock."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    clocks = ("seconds", "structures_per_second", "waiting")
    return [{k: v for k, v in line.items() if k not in clocks} for line in lines]


@pytest.mark.slow
def test_training_stops_early_when_patience_is_over(tmp_path, lennard_jones_file):
    optimizer = {"learning_rate": 1e-12}
    steps = {"num_steps": 200, "valid_every": 2, "early_stopping_patience": 2, "log_every": 100}
    patient = settings(tmp_path / "run", lennard_jones_file, optimizer=optimizer, trainer=steps)
    folder = fitting.fit(patient)
    lines = (folder / "metrics.jsonl").read_text()
    done = json.loads(lines.splitlines()[-1])["step"]
    assert done < 200
    longer = dataclasses.replace(
        patient, resume="changed", trainer=dataclasses.replace(patient.trainer, num_steps=400)
    )
    with pytest.raises(
        errors.CheckpointError, match=f"early stopping has ended it after step {done}"
    ):
        fitting.fit(longer)
    assert (folder / "metrics.json").exists() and (folder / "metrics.jsonl").read_text() == lines


@pytest.mark.slow
def test_float64_is_trained_without_the_global_switch(tmp_path, lennard_jones_file):
    double = settings(
        tmp_path / "run",
        lennard_jones_file,
        potential={"dtype": "float64"},
        trainer={"num_steps": 4, "valid_every": 4},
    )
    potential = artefact.load(fitting.fit(double) / "argon.equipot")
    assert potential.params["model"]["embedding"].dtype == np.float64


def test_what_training_starts_from_is_measured_and_kept_where_nothing_is_better(
    finished, tmp_path, lennard_jones_file
):
    """Steps that do harm leave the potential as it was given, and both tables are the same."""
    start = finished / "argon.equipot"
    again = settings(
        tmp_path / "again",
        lennard_jones_file,
        init_from=str(start),
        optimizer={"learning_rate": 3.0, "schedule": "constant", "ema_decay": None},
        trainer={"num_steps": 2, "valid_every": 1},
    )
    folder = fitting.fit(again)
    first, kept = (artefact.load(p / "argon.equipot", verify=False) for p in (finished, folder))
    for a, b in zip(_leaves(first), _leaves(kept), strict=True):
        np.testing.assert_array_equal(a, b)
    found = json.loads((folder / "metrics.json").read_text())
    assert found["before"]["test"]["forces"] == found["test"]["forces"]
    said = (folder / "train.log").read_text()
    assert re.search(r"^step 0/2 .*\(best\)", said, re.MULTILINE)
    assert f"Before training, of {start}:" in (folder / "errors.txt").read_text()


def _leaves(potential):
    return [np.asarray(x) for x in jax.tree.leaves(potential.params)]
