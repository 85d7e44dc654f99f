import json
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "benchmark.py"


@pytest.fixture
def run(tmp_path):
    """Runs a benchmark as a program of its own and returns the rows that it writes."""

    def run(*words):
        path = tmp_path / "rows.json"
        command = [sys.executable, str(SCRIPT), *words, "--json", str(path)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        return json.loads(path.read_text())

    return run


@pytest.mark.slow
def test_degrees_gives_time_and_memory_of_each_and_a_picture(run, tmp_path):
    picture = tmp_path / "degrees.png"
    words = ("--degrees", "0", "1", "--molecules", "3", "--repeats", "1", "--plot", str(picture))
    rows = run("degrees", *words)
    assert len(rows) == 2 * 2 * 2
    assert all(row["minimum"] > 0 and row["compile_seconds"] > 0 for row in rows)
    for network in ("nequip", "dense"):
        for task in ("energy + forces", "training step"):
            of_degree = {
                row["degree"]: row["temporary_mb"]
                for row in rows
                if (row["network"], row["task"]) == (network, task)
            }
            assert of_degree[1] > of_degree[0] > 0
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.reference
@pytest.mark.slow
def test_layers_give_the_numbers_of_e3nn_in_less_memory(run):
    """The script refuses to time layers that do not agree."""
    pytest.importorskip("e3nn_jax")
    rows = run("e3", "--repeats", "1")
    assert len(rows) == 2 * 3 + 2 + 2
    for row in rows:
        assert row["equipot"]["temporary_mb"] < row["e3nn-jax"]["temporary_mb"], row
