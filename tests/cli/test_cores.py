"""Members of a sweep that run side by side: each held to its own cores."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from equipot.cli import cores
from tests.cli import running

PROGRAM = """
import json, os, sys
from equipot.cli import cores
cores.share(json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
print(sorted(os.sched_getaffinity(0)), flush=True)
sys.stdin.read()
"""
JOBLIB = {"_target_": "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"}
LOCAL = {"_target_": "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher"}
BASIC = {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}


def started(launcher: dict, number: int, places: pathlib.Path) -> subprocess.Popen:
    command = [sys.executable, "-c", PROGRAM, json.dumps(launcher), str(number), str(places)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def held(*processes: subprocess.Popen) -> list[list[int]]:
    """The cores of processes that live at the same time."""
    found = [json.loads(process.stdout.readline()) for process in processes if process.stdout]
    for process in processes:
        process.communicate("")
    return found


def test_cores_are_divided_and_shared_where_they_are_few():
    eight = list(range(8))
    assert [cores.part(eight, i, 2) for i in range(2)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [cores.part(eight, i, 3) for i in range(3)] == [[0, 1], [2, 3], [4, 5]]
    assert [cores.part([4, 6], i, 3) for i in range(3)] == [[4], [6], [4]]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_two_processes_of_joblib_have_no_core_in_common(tmp_path):
    launcher = JOBLIB | {"n_jobs": 2}
    first, second = held(*(started(launcher, i, tmp_path / "place") for i in range(2)))
    assert first and second and not set(first) & set(second)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_submitit_gives_the_cores_that_are_asked_for(tmp_path):
    launcher = LOCAL | {"cpus_per_task": 1}
    first, second = held(*(started(launcher, i, tmp_path / "place") for i in range(2)))
    assert len(first) == len(second) == 1 and first != second


def test_who_runs_alone_keeps_all_cores(tmp_path):
    everything = sorted(os.sched_getaffinity(0))
    alone = (BASIC, JOBLIB | {"n_jobs": 1}, LOCAL | {"cpus_per_task": None})
    assert held(*(started(own, 0, tmp_path / "place") for own in alone)) == [everything] * 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("hydra_joblib_launcher", ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]),
        ("hydra_submitit_launcher", ["hydra/launcher=submitit_local"]),
    ],
)
def test_members_in_other_processes_are_compared_and_failures_listed(
    tmp_path: pathlib.Path, copper: pathlib.Path, package: str, words: list[str]
):
    pytest.importorskip(f"hydra_plugins.{package}")
    swept = "optimizer.learning_rate=-1,1e-3"
    settings = (f"data.train={copper}", *running.TINY, swept)
    done = running.run_train(tmp_path, "-m", *words, *settings, code=2)
    place = tmp_path / "multirun" / "copper"
    table = (place / "comparison.txt").read_text()
    assert "optimizer.learning_rate=0.001" in table and "finished" in table
    assert "1 member of the sweep failed:" in done.stderr and "Traceback" not in done.stderr
    assert len(json.loads((place / "members.json").read_text())) == 2
    assert not list(place.glob(".equipot-sweep*"))


@pytest.mark.slow
def test_a_search_finds_the_better_of_two_rates(tmp_path: pathlib.Path, copper: pathlib.Path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    words = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=1")
    rates = "optimizer.learning_rate=choice(1e-6,1e-2)"
    settings = (f"data.train={copper}", *running.TINY, "trainer.num_steps=50", rates)
    running.run_train(tmp_path, "-m", *words, "hydra.sweeper.sampler.seed=1", *settings)
    found = (tmp_path / "multirun" / "copper" / "optimization_results.yaml").read_text()
    assert "optimizer.learning_rate: 0.01" in found
