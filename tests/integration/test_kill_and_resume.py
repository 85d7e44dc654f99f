"""A run that is killed again and again ends in the same bits as one that is left alone."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from tests.cli.running import TINY, WITHOUT_PICTURES

NUM_STEPS = 60
PATIENCE = 300.0  # seconds until a child that shows nothing counts as hanging


def parts_of(run_dir):
    """Parameters, average and optimizer of the last checkpoint."""
    with ocp.training.Checkpointer((run_dir / "checkpoints").absolute()) as saved:
        assert saved.latest.step == NUM_STEPS
        return saved.load_checkpointables(None, {"params": None, "ema": None, "opt": None})


def same_bits(first, second):
    first, second = jax.tree.leaves(first), jax.tree.leaves(second)
    pairs = zip(first, second, strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


def records(run_dir):
    """Lines of metrics.jsonl without what depends on the clock."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    clocks = ("seconds", "structures_per_second", "waiting")
    return [{k: v for k, v in line.items() if k not in clocks} for line in lines]


def complete_steps(run_dir):
    return [int(p.name) for p in (run_dir / "checkpoints").glob("*") if p.name.isdigit()]


def log_has_begun(run_dir):
    log = run_dir / "train.log"
    return log.exists() and log.stat().st_size > 0


def is_saving(run_dir, since=0.0):
    """Whether a checkpoint is half-written that was begun later than ``since``."""
    for unfinished in (run_dir / "checkpoints").glob("*.orbax-checkpoint-tmp"):
        with contextlib.suppress(FileNotFoundError):
            if unfinished.stat().st_mtime > since:
                return True
    return False


def kill_when(process, is_time, delay):
    """Waits until it is time and then ``delay`` seconds, and kills a process that still runs."""
    deadline = time.monotonic() + PATIENCE
    while not is_time():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, f"nothing to see after {PATIENCE} s"
        time.sleep(0.002)  # a checkpoint is half-written for longer
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"


def finish(process):
    return process.wait(PATIENCE)


@pytest.fixture
def undisturbed(tmp_path, start_training):
    run_dir = tmp_path / "undisturbed"
    assert finish(start_training(run_dir)) == 0, (tmp_path / "undisturbed.output").read_text()
    return run_dir


def assert_same_end(run_dir, undisturbed):
    assert same_bits(parts_of(run_dir), parts_of(undisturbed))
    assert records(run_dir) == records(undisturbed)
    lines = [x for x in (run_dir / "train.log").read_text().splitlines() if x.startswith("step")]
    assert len(lines) == NUM_STEPS // 15


@pytest.fixture
def rng():
    seed = int(os.environ.get("EQUIPOT_KILL_SEED", time.time_ns() % 2**32))
    print(f"EQUIPOT_KILL_SEED={seed}")
    return random.Random(seed)


def test_a_killed_run_ends_in_the_same_bits_as_one_left_alone(
    tmp_path, start_training, undisturbed, rng
):
    """Killed while a checkpoint is half-written that is neither the first nor the last."""
    enough, delay = rng.randint(1, 5), 0.05 * rng.random()
    run_dir = tmp_path / "killed"

    def half_written():
        return max(complete_steps(run_dir), default=0) >= 4 * enough and is_saving(run_dir)

    kill_when(start_training(run_dir), half_written, delay)
    print(f"killed {delay} s later with checkpoints {sorted(os.listdir(run_dir / 'checkpoints'))}")
    assert finish(start_training(run_dir)) == 0, (tmp_path / "killed.output").read_text()
    assert_same_end(run_dir, undisturbed)


@pytest.mark.wide
def test_a_run_that_is_killed_again_and_again_ends_in_the_same_bits(
    tmp_path, start_training, undisturbed, rng
):
    """Before its first step, between two checkpoints, and within one of the run that goes on."""
    enough, delays = rng.randint(1, 5), [0.3 * rng.random(), 0.05 * rng.random()]
    run_dir = tmp_path / "killed"

    kill_when(start_training(run_dir), lambda: log_has_begun(run_dir), 0.0)
    assert set(complete_steps(run_dir)) <= {0}, "too late to be before the first step"
    process = start_training(run_dir)
    kill_when(process, lambda: max(complete_steps(run_dir), default=0) >= 4 * enough, delays[0])
    print(f"killed with checkpoints {complete_steps(run_dir)}")
    process, started = start_training(run_dir), time.time()
    kill_when(process, lambda: is_saving(run_dir, started), delays[1])
    print(f"killed with checkpoints {sorted(os.listdir(run_dir / 'checkpoints'))}")
    assert finish(start_training(run_dir)) == 0, (tmp_path / "killed.output").read_text()
    assert_same_end(run_dir, undisturbed)


@pytest.mark.slow
def test_the_comparison_notices_a_loader_that_starts_at_the_wrong_place(
    tmp_path, start_training, undisturbed
):
    run_dir = tmp_path / "sabotaged"
    kill_when(start_training(run_dir), lambda: max(complete_steps(run_dir), default=0) >= 4, 0.0)
    assert finish(start_training(run_dir, "--forget-position")) == 0
    assert not same_bits(parts_of(run_dir), parts_of(undisturbed))


@pytest.mark.slow  # SIGTERM stops several hosts in test_hosts.py
@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1"])
def test_a_run_that_is_asked_to_stop_saves_first(tmp_path, start_training, name):
    run_dir = tmp_path / "stopped"
    process = start_training(run_dir)
    deadline = time.monotonic() + PATIENCE
    while max(complete_steps(run_dir), default=0) == 0 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(getattr(signal, name))
    assert finish(process) == 1
    output = (tmp_path / "stopped.output").read_text()
    assert f"StoppedError: stopped by {name} after step " in output
    stopped_at = int(output.split("after step ")[1].split()[0])
    assert (run_dir / "checkpoints" / str(stopped_at)).is_dir()


@pytest.fixture
def stop_command(tmp_path, lennard_jones_file):
    """Starts ``equipot-train``, sends SIGTERM once a file is there; gives its end and its words."""
    program = [sys.executable, "-c", WITHOUT_PICTURES]
    words = (f"data.train={lennard_jones_file}", "data.num_valid=6", "data.num_test=32")
    running = []

    def stop(file, **environment):
        command = [*program, *TINY, *words, "run_dir=run"]
        surroundings = {**os.environ, **environment}
        process = subprocess.Popen(
            command, cwd=tmp_path, env=surroundings, stderr=subprocess.PIPE, text=True
        )
        running.append(process)
        deadline = time.monotonic() + PATIENCE
        while file and not (tmp_path / file).exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        sent = time.monotonic()
        if file:
            process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE)
        assert time.monotonic() - sent < 10 or not file
        return process.returncode, said

    yield stop
    for process in running:
        process.kill()


@pytest.mark.wide
def test_the_command_ends_while_xla_compiles_with_a_checkpoint_to_go_on_from(
    tmp_path, stop_command
):
    code, said = stop_command(
        "run/checkpoints/0", JAX_COMPILATION_CACHE_DIR=str(tmp_path / "programs")
    )
    assert code in (130, 128 + signal.SIGTERM)
    assert "stopped by SIGTERM" in said and said.count("\n") == 1


@pytest.mark.slow
def test_the_command_ends_after_the_last_step_and_the_same_command_finishes(tmp_path, stop_command):
    code, said = stop_command("run/lennard_jones.equipot")
    assert code in (130, 128 + signal.SIGTERM)
    assert "stopped by SIGTERM; give the same command to go on" in said
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert stop_command("") == (0, "")
    assert "going on after step 2," in (tmp_path / "run" / "train.log").read_text()
    assert (tmp_path / "run" / "metrics.json").exists()
