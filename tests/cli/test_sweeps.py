import pathlib

from tests.cli.running import TINY, run_train


def test_one_failed_member_does_not_end_a_sweep(tmp_path: pathlib.Path, copper: pathlib.Path):
    swept = "optimizer.learning_rate=-1,1e-3,-2"
    done = run_train(tmp_path, "-m", f"data.train={copper}", *TINY, swept, code=2)
    runs = tmp_path / "multirun" / "copper"
    assert (runs / "optimizer.learning_rate=0.001" / "copper.equipot").is_file()
    end = done.stderr[done.stderr.index("2 members of the sweep failed:") :].splitlines()
    assert len(end) == 3
    assert "optimizer.learning_rate=-1: optimizer.learning_rate: " in end[1]
    assert "optimizer.learning_rate=-2: optimizer.learning_rate: " in end[2]
    assert "Traceback" not in done.stderr
