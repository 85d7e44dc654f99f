import pathlib

import pytest

from equipot import errors
from equipot.cli import sweeps
from tests.cli.running import TINY, refused, run_train


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    """Tables of members that name no folder are written where the process is."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.wide
def test_one_failed_member_does_not_end_a_sweep(tmp_path: pathlib.Path, copper: pathlib.Path):
    swept = "optimizer.learning_rate=-1,1e-3,-2"
    done = run_train(tmp_path, "-m", f"data.train={copper}", *TINY, swept, code=2, pictures=False)
    runs = tmp_path / "multirun" / "copper"
    assert (runs / "optimizer.learning_rate=0.001" / "copper.equipot").is_file()
    end = done.stderr[done.stderr.index("2 members of the sweep failed:") :].splitlines()
    assert len(end) == 3
    assert "optimizer.learning_rate=-1: optimizer.learning_rate: " in end[1]
    assert "optimizer.learning_rate=-2: optimizer.learning_rate: " in end[2]
    assert "Traceback" not in done.stderr
    table = (runs / "comparison.txt").read_text()
    assert table in done.stdout and (runs / "comparison.png").is_file()
    first, second = table.splitlines()[2:4]
    assert first.split()[:2] == ["1", "optimizer.learning_rate=0.001"] and "finished" in first
    assert "failed: optimizer.learning_rate: expected a positive number" in second


def test_a_search_goes_on_after_failed_trials_unless_told_otherwise():
    chosen = ["hydra/sweeper=optuna"]
    assert sweeps.settings(["hydra/sweeper"], chosen) == ["++hydra.sweeper.max_failure_rate=1.0"]
    assert sweeps.settings(["hydra/sweeper", "hydra.sweeper.max_failure_rate"], chosen) == []
    assert sweeps.settings(["seed"], ["seed=0,1"]) == []


def test_failures_that_a_search_swallows_still_give_an_exit_code(capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit) as ended, sweeps.reported():
        for number in range(3):
            try:  # as a sweeper does
                with sweeps.member(f"trial {number}"):
                    if number != 1:
                        raise errors.DataError("too\nbad")
            except errors.DataError:
                pass
    assert ended.value.code == 2
    assert "2 members of the sweep failed:" in capsys.readouterr().err


def test_a_run_that_was_asked_to_stop_stops_the_sweep():
    with pytest.raises(SystemExit) as ended, sweeps.reported(), sweeps.member("seed=0"):
        raise errors.StoppedError("stopped by SIGTERM")
    assert ended.value.code == 130


def test_a_member_that_cannot_be_read_does_not_hide_why_others_failed(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / "metrics.json").write_text("{")
    with pytest.raises(SystemExit) as ended, sweeps.reported():
        with sweeps.member(str(tmp_path / "one")):
            pass
        try:
            with sweeps.member(str(tmp_path / "two")):
                raise errors.DataError("no labels")
        except errors.DataError:
            pass
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert "the members are not compared: " in said and "metrics.json" in said
    assert "1 member of the sweep failed:" in said and said.rstrip().endswith("two: no labels")


@pytest.mark.parametrize(
    ("environment", "by"),
    [
        ({"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0"}, "srun"),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}, "mpirun"),
    ],
)
def test_a_sweep_under_several_hosts_is_refused(tmp_path, monkeypatch, environment, by):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    said = refused(tmp_path, "-m", "data.train=x.extxyz", "seed=0,1")
    assert f"--multirun: expected one process, received several by {by}; start the sweep" in said


def test_a_member_of_a_sweep_is_no_run_on_several_hosts(monkeypatch):
    monkeypatch.delenv("OMPI_COMM_WORLD_SIZE", raising=False)
    sweeps.check_hosts(None)
    sweeps.check_hosts(1)
    with pytest.raises(errors.ConfigError, match=r"received several by trainer\.num_hosts"):
        sweeps.check_hosts(2)
