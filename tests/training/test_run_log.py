import csv
import gc
import json
import subprocess
import sys

import pytest

from equipot import errors
from equipot.process import Process
from equipot.training import run_log
from equipot.training.config import LoggerConfig


def steps(path):
    return [json.loads(line)["step"] for line in (path / run_log.JSONL).read_text().splitlines()]


def test_metrics_are_written_as_lines_of_json_and_as_a_table(tmp_path):
    with run_log.RunLog(tmp_path, {}) as log:
        log.record({"step": 1, "loss": 0.5})
        log.record({"step": 2, "loss": float("nan"), "valid_loss": 0.25})
    first, second = (json.loads(x) for x in (tmp_path / run_log.JSONL).read_text().splitlines())
    assert first == {"step": 1, "loss": 0.5}
    assert second == {"step": 2, "loss": None, "valid_loss": 0.25}
    with (tmp_path / run_log.CSV).open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2"]
    assert (rows[0]["valid_loss"], rows[1]["valid_loss"]) == ("", "0.25")


def test_a_process_that_is_not_the_first_writes_nothing(tmp_path, capsys):
    lengths = {run_log.JSONL: 10}  # of files that the first process has
    with run_log.RunLog(tmp_path, lengths, Process(1, 2)) as log:
        log.start_tracker(LoggerConfig(name="wandb"), {"name": "x"}, tmp_path)
        log.say("a line")
        log.record({"step": 1})
        log.start_bar(9, 1)
        log.advance(2, 1.0)
        log.stop_bar()
        assert log.lengths() == {}
    assert not list(tmp_path.iterdir())
    assert not capsys.readouterr().out


def test_lines_after_the_checkpoint_are_cut_away(tmp_path):
    with run_log.RunLog(tmp_path, {}) as log:
        log.record({"step": 1})
        log.say("a validation")
        lengths = log.lengths()
        log.record({"step": 2})
        log.say("lost")
    with run_log.RunLog(tmp_path, lengths) as log:
        log.record({"step": 2})
    assert steps(tmp_path) == [1, 2]
    assert (tmp_path / run_log.TEXT).read_text() == "a validation\n"
    assert (tmp_path / run_log.CSV).read_text().count("step,epoch") == 1


def test_a_table_that_an_earlier_version_began_keeps_its_columns(tmp_path):
    (tmp_path / run_log.CSV).write_text("step,loss,seconds\n1,0.5,2.0\n")
    (tmp_path / run_log.JSONL).write_text('{"step": 1, "loss": 0.5, "seconds": 2.0}\n')
    lengths = {name: (tmp_path / name).stat().st_size for name in (run_log.CSV, run_log.JSONL)}
    with run_log.RunLog(tmp_path, lengths) as log:
        log.record({"step": 2, "loss": 0.25, "seconds": 4.0, "waiting": 0.01})
    with (tmp_path / run_log.CSV).open() as file:
        rows = list(csv.DictReader(file))
    assert rows[1] == {"step": "2", "loss": "0.25", "seconds": "4.0"}
    assert run_log.read_lines(tmp_path / run_log.JSONL)[0][1]["waiting"] == 0.01


def test_a_run_without_checkpoint_begins_its_logs_again(tmp_path):
    for _ in range(2):
        with run_log.RunLog(tmp_path, {}) as log:
            log.record({"step": 1})
    assert steps(tmp_path) == [1]
    assert len((tmp_path / run_log.CSV).read_text().splitlines()) == 2


def test_a_log_shorter_than_the_checkpoint_knows_is_refused(tmp_path):
    with pytest.raises(errors.CheckpointError, match=r"has 0 bytes, the checkpoint knows of 100"):
        run_log.RunLog(tmp_path, {run_log.JSONL: 100})


def test_lines_are_shown_and_kept(tmp_path, capsys):
    with run_log.RunLog(tmp_path, {}) as log:
        log.say("force RMS [eV/Å]")
    assert capsys.readouterr().out == "force RMS [eV/Å]\n"
    assert (tmp_path / run_log.TEXT).read_text() == "force RMS [eV/Å]\n"


def test_wandb_keeps_a_run_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    with run_log.RunLog(tmp_path, {}) as log:
        log.start_tracker(LoggerConfig(name="wandb"), {"name": "water"}, tmp_path)
        log.record({"step": 1, "loss": 0.5})
    assert list((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))


def test_wandb_is_not_imported_unless_asked_for(tmp_path):
    with run_log.RunLog(tmp_path, {}) as log:
        log.start_tracker(LoggerConfig(), {"name": "water"}, tmp_path)
    assert not (tmp_path / "wandb").exists()


def test_damaged_lines_of_metrics_are_named_and_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    sound = b'{"step": 1, "loss": 0.5, "grad_norm": null}'
    damaged = (
        b"",
        b"{",
        b"[]",
        b"[" * 100_000,
        b'{"loss": 1}',
        b'{"step": 1, "loss": "a"}',
        b"\xff",
    )
    damaged += (b'{"step": 1, "loss": 1e999}', b'{"step": 1, "loss": true}')
    path.write_bytes(b"\n".join((sound, *damaged, sound)) + b"\n")
    lines, numbers = run_log.read_lines(path)
    assert lines == [{"step": 1, "loss": 0.5}] * 2
    assert numbers == list(range(2, 2 + len(damaged)))


def test_files_are_closed_where_a_later_one_is_too_short(tmp_path, new_objects_alone):
    (tmp_path / run_log.JSONL).write_text("{}\n")
    (tmp_path / run_log.CSV).write_text("")
    with pytest.raises(errors.CheckpointError, match=r"metrics\.csv: has 0 bytes"):
        run_log.RunLog(tmp_path, {run_log.CSV: 100})
    gc.collect()  # warns of a file that is open


LEAVING_READER = """
import pathlib, sys
from equipot.training import run_log
with run_log.RunLog(pathlib.Path(sys.argv[1]), {}) as log:
    for _ in range(3):
        log.say("a line")
print("went on", file=sys.stderr)
"""


def test_a_reader_that_leaves_does_not_end_the_run(tmp_path):
    program = [sys.executable, "-c", LEAVING_READER, str(tmp_path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b"went on\n"
    assert (tmp_path / "train.log").read_text().count("a line") == 3
