import errno
import fcntl
import json

import pytest
import yaml

from equipot import errors
from equipot.process import Process
from equipot.training import config, folder, run_files

FACTS = {"fingerprint": "abc", "num_devices": 1}


def configured(path, **change):
    mapping = {"data": {"train": "water.xyz"}, "model": {"name": "nequip", "cutoff": 5.0}}
    return config.train_config({**mapping, "run_dir": str(path), **change})


def begin(path):
    with folder.occupied(folder.find_folder(configured(path)), configured(path), FACTS) as place:
        return place


def test_a_new_folder_holds_configuration_versions_and_facts(tmp_path):
    place = begin(tmp_path / "run")
    assert "cutoff: 5.0" in place.config.read_text()
    assert json.loads(place.dataset.read_text()) == FACTS
    assert "jax" in json.loads((place.path / "versions.json").read_text())
    assert not place.is_finished


@pytest.mark.parametrize("written", [0, 1, 2])
def test_a_run_killed_while_its_folder_was_made_can_begin_again(tmp_path, monkeypatch, written):
    writes = []

    def killed(path, text, write=run_files.write_text):
        if len(writes) == written:
            raise KeyboardInterrupt
        writes.append(path)
        write(path, text)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run_files, "write_text", killed)
        begin(tmp_path / "run")
    place = begin(tmp_path / "run")
    assert json.loads(place.dataset.read_text()) == FACTS
    assert place.config.exists() and (place.path / "versions.json").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    settings = configured(tmp_path / "file" / "run")
    place = folder.RunFolder(tmp_path / "file" / "run", "run")
    with (
        pytest.raises(errors.CheckpointError, match="file/run: the folder of the run could not be"),
        folder.occupied(place, settings, FACTS),
    ):
        pass


def test_looking_at_a_folder_that_is_not_there_makes_none(tmp_path):
    folder.find_folder(configured(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_another_configuration_is_refused_by_the_key_that_differs(tmp_path):
    begin(tmp_path / "run")
    changed = configured(tmp_path / "run", model={"name": "nequip", "cutoff": 4.0})
    with pytest.raises(errors.CheckpointError, match=r"model.cutoff=5.0, now it is 4.0"):
        folder.find_folder(changed)


def test_a_key_that_an_older_version_did_not_have_has_its_default(tmp_path):
    place = begin(tmp_path / "run")
    older = yaml.safe_load(place.config.read_text())
    del older["potential"]["matmul_precision"]
    place.config.write_text(yaml.safe_dump(older))
    folder.find_folder(configured(tmp_path / "run"))
    changed = configured(tmp_path / "run", potential={"matmul_precision": "high"})
    with pytest.raises(errors.CheckpointError, match=r"precision=highest, now it is high"):
        folder.find_folder(changed)


def test_another_logger_does_not_matter(tmp_path):
    begin(tmp_path / "run")
    folder.find_folder(configured(tmp_path / "run", logger={"name": "wandb"}))


def test_other_devices_and_hosts_do_not_matter(tmp_path):
    begin(tmp_path / "run")
    hosts = {"num_devices": 8, "coordinator": "node1:1234", "num_hosts": 2, "host": 1}
    folder.find_folder(configured(tmp_path / "run", trainer=hosts))
    with pytest.raises(errors.CheckpointError, match=r"trainer\.num_steps=null, now it is 8"):
        folder.find_folder(configured(tmp_path / "run", trainer={"num_steps": 8}))


def test_the_devices_that_a_run_began_on_are_known(tmp_path):
    place = folder.RunFolder(tmp_path / "run", "run")
    assert folder.begun(place) is None
    begin(tmp_path / "run")
    assert folder.begun(place) == (1, None)
    for content in ("{}", '{"num_devices": 0}', "["):
        place.dataset.write_text(content)
        with pytest.raises(
            errors.CheckpointError, match=r"dataset\.json.*restore it, or remove it"
        ):
            folder.begun(place)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(errors.CheckpointError, match=r"found thesis.tex and no config.yaml"):
        folder.find_folder(configured(tmp_path))


def test_a_file_in_the_folders_place_is_refused(tmp_path):
    (tmp_path / "run").write_text("x")
    with pytest.raises(errors.CheckpointError, match="expected a folder for the run, found a file"):
        folder.find_folder(configured(tmp_path / "run"))


@pytest.mark.parametrize(("key", "what"), [("fingerprint", "dataset"), ("num_devices", "number")])
def test_changed_data_or_devices_are_refused(tmp_path, key, what):
    place = begin(tmp_path / "run")
    changed = {**FACTS, key: "other"}
    with (
        pytest.raises(errors.CheckpointError, match=f"the {what}.* was {FACTS[key]} when"),
        folder.occupied(place, configured(tmp_path / "run"), changed),
    ):
        pass


def test_a_file_system_without_locks_is_trained_on(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert begin(tmp_path / "run").dataset.exists()


def test_two_runs_cannot_share_a_folder(tmp_path):
    place, settings = begin(tmp_path / "run"), configured(tmp_path / "run")
    with (
        folder.occupied(place, settings, FACTS),
        pytest.raises(errors.CheckpointError, match="another process is training there"),
        folder.occupied(place, settings, FACTS),
    ):
        pass


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(errors.CheckpointError, match=r"file/x.json: could not be written"):
        run_files.write_json(tmp_path / "file" / "x.json", {})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", "found an empty file"),
        (b"hello", "found 'hello'"),
        (b"[1, 2]", r"found \[1, 2\]"),
        (b"[" * 100_000, "expected YAML as equipot writes it"),
        (b"- " * 100_000, "expected YAML as equipot writes it"),
        (b"a: [1,", "expected YAML as equipot writes it"),
        (b"a: 2024-99-99", "expected YAML as equipot writes it"),
        (b"a: !!int ''", "expected YAML as equipot writes it"),
        (b"a: &a [1]\nb: [*a, *a]", "expected YAML as equipot writes it .an alias"),
        (b"\xff\xfe\x00", "could not be read"),
        (b"\x00", "expected YAML as equipot writes it"),
    ],
)
def test_a_damaged_configuration_is_called_so(tmp_path, text, found):
    place = begin(tmp_path / "run")
    place.config.write_bytes(text)
    with pytest.raises(errors.CheckpointError, match=rf"config\.yaml: .*{found}.*restore it"):
        folder.find_folder(configured(tmp_path / "run"))


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, "{", '{"num_devices": 1}'])
def test_damaged_facts_are_called_so_and_removing_them_helps(tmp_path, text):
    place = begin(tmp_path / "run")
    place.dataset.write_text(text)
    with pytest.raises(errors.CheckpointError, match=r"dataset\.json: .*restore it, or remove it"):
        begin(tmp_path / "run")
    place.dataset.unlink()
    begin(tmp_path / "run")
    assert json.loads(place.dataset.read_text()) == FACTS


SPLIT = {"energy": {"rmse": 1.0}, "forces": {"rmse": 2.0, "relative": float("nan")}, "stress": None}
METRICS = {"train": SPLIT, "valid": SPLIT, "test": None, "seconds": 3.0}


def finish(path, metrics, table="the errors"):
    place = begin(path)
    place.metrics.write_text(metrics)
    if table is not None:
        place.table.write_text(table)
    return place


def test_the_errors_of_a_finished_run_are_read(tmp_path):
    place = finish(tmp_path / "run", json.dumps(METRICS))
    assert folder.read_metrics(place)["valid"]["forces"]["rmse"] == 2.0
    assert folder.read_table(place) == "the errors"


def test_errors_of_thousands_of_groups_are_read(tmp_path):
    groups = {f"{'x' * 100}{i}": SPLIT for i in range(10_000)}
    split = {**SPLIT, "groups": groups}
    place = finish(tmp_path / "run", json.dumps({**METRICS, "valid": split}))
    assert len(folder.read_metrics(place)["valid"]["groups"]) == 10_000


@pytest.mark.parametrize(
    ("metrics", "table"),
    [
        ("", "x"),
        ("null", "x"),
        ("[" * 100_000, "x"),
        ('{"train": null}', "x"),
        (json.dumps(METRICS | {"valid": 5}), "x"),
        (json.dumps(METRICS | {"valid": SPLIT | {"forces": {}}}), "x"),
        (json.dumps(METRICS | {"valid": SPLIT | {"forces": {"rmse": "small"}}}), "x"),
        (json.dumps(METRICS), None),
    ],
)
def test_damaged_errors_of_a_finished_run_are_called_so_and_made_anew(tmp_path, metrics, table):
    place = finish(tmp_path / "run", metrics, table)
    with pytest.raises(errors.CheckpointError, match=r"remove metrics\.json, and the same command"):
        folder.read_table(place)
    place.metrics.unlink()
    assert not place.is_finished


def test_another_rate_is_taken_in_the_folder_where_that_is_asked_for(tmp_path):
    """What is advised after a loss that is not finite."""
    place = begin(tmp_path / "run")
    slower = {"optimizer": {"learning_rate": 1e-4}}
    with pytest.raises(
        errors.CheckpointError, match=r"learning_rate=0.02, now it is 0.0001; add resume=changed"
    ):
        folder.find_folder(configured(tmp_path / "run", **slower))
    asked = configured(tmp_path / "run", resume="changed", **slower)
    found = folder.changed(folder.find_folder(asked), asked)
    assert [change.key for change in found] == ["optimizer.learning_rate"]
    place.metrics.write_text("{}")
    folder.accept(place, asked, found, 30)
    assert not place.is_finished
    assert not folder.changed(place, configured(tmp_path / "run", **slower))
    assert json.loads(place.changes.read_text()) == {
        "30": {"optimizer.learning_rate": [0.02, 1e-4]}
    }
    again = configured(tmp_path / "run", resume="changed", trainer={"num_steps": 7})
    folder.accept(place, again, folder.changed(place, again), 40)
    assert list(json.loads(place.changes.read_text())) == ["30", "40"]


def test_the_limit_of_time_and_the_place_do_not_matter(tmp_path):
    begin(tmp_path / "run")
    limited = configured(tmp_path / "run", trainer={"max_minutes": 3.0}, resume="changed")
    assert not folder.changed(folder.find_folder(limited), limited)


def test_of_several_processes_the_first_makes_and_locks_the_folder(tmp_path):
    settings = configured(tmp_path / "run")
    place = folder.find_folder(settings)
    with folder.occupied(place, settings, FACTS, Process(1, 2)):
        assert not place.path.exists()
        with (
            folder.occupied(place, settings, FACTS, Process(0, 2)),
            folder.occupied(place, settings, FACTS, Process(1, 2)),
        ):
            assert place.dataset.exists()


def test_a_fine_tuning_that_an_earlier_version_began_from_other_numbers_is_known():
    now = {"init_from": "a", "atomic_energies": [-1.0, -2.0], "new_elements": []}
    assert not folder._has_moved(now, now)
    assert not folder._has_moved({"atomic_energies": [-1.001, -2.0]}, now)  # of another machine
    assert folder._has_moved({"atomic_energies": [-7.0, -2.0]}, now)
    added = {**now, "new_elements": ["Cl"]}
    assert folder._has_moved({"atomic_energies": [-1.0, -2.0]}, added)
    assert not folder._has_moved(added, added)
    assert not folder._has_moved({"atomic_energies": [3.0]}, {**now, "init_from": None})
    assert not folder._has_moved({}, now)  # which did not say it
