"""Several processes on this machine train together; the network between them is the loopback."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from equipot.training import fitting
from tests.integration import host_run

PROGRAM = pathlib.Path(host_run.__file__)
PATIENCE = 300.0  # seconds
LOWEST_PORT = 65535 - 2**12 + 1  # of those that jax takes under SLURM


def free_port():
    for port in range(LOWEST_PORT + os.getpid() % 2000, 65535):
        with socket.socket() as one:
            if one.connect_ex(("localhost", port)):
                return port
    raise AssertionError("no free port")


class Hosts:
    """Processes of one run, each with its output."""

    def __init__(self, folder, data):
        self.folder, self.data, self.processes = folder, data, []

    def start(self, count, devices, options=(), own=None):
        """``own`` are further options of single hosts, by number."""
        port = free_port()
        for host in range(count):
            words = [*options, *(own or {}).get(host, ())]
            command = [sys.executable, str(PROGRAM), str(self.folder / "run"), str(self.data)]
            surroundings = {
                **os.environ,
                **host_run.environment_of(host, count, port),
                "JAX_NUM_CPU_DEVICES": str(devices),
            }
            streams = [(self.folder / f"{name}{host}").open("w") for name in ("out", "err")]
            with streams[0] as out, streams[1] as err:
                self.processes.append(
                    subprocess.Popen([*command, *words], stdout=out, stderr=err, env=surroundings)
                )
        return self

    def codes(self):
        deadline = time.monotonic() + PATIENCE
        found = [one.wait(deadline - time.monotonic()) for one in self.processes]
        self.processes.clear()
        return found

    def said(self, host, stream="err"):
        return (self.folder / f"{stream}{host}").read_text()


@pytest.fixture
def several(tmp_path, lennard_jones_file):
    made = Hosts(tmp_path, lennard_jones_file)
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


def parameters(run_dir):
    with ocp.training.Checkpointer((run_dir / "checkpoints").absolute()) as saved:
        assert saved.latest.step == host_run.NUM_STEPS
        return saved.load_checkpointables(None, {"params": None, "ema": None, "opt": None})


def assert_same(first, second, rtol=1e-9):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol), first, second)


@pytest.fixture(scope="session")
def alone(tmp_path_factory, lennard_jones_file):
    """Parameters that one process gets to, with four devices."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    fitting.fit(host_run.configuration(str(folder), str(lennard_jones_file), num_devices=4))
    return parameters(folder)


def stopped_by_the_second(hosts):
    """Runs two hosts of two devices until the second gets a signal; the step they end after."""
    assert hosts.start(2, 2, own={1: ("--stop-after", "2")}).codes() == [130, 130], hosts.said(0)
    assert "2 of 4 devices" in hosts.said(1)
    assert "stopped by SIGTERM at host 1 after step " in hosts.said(0)
    assert "stopped" not in hosts.said(1), "the first says it"
    return int(hosts.said(0).split("after step ")[1].split()[0])


@pytest.mark.wide
def test_a_signal_at_one_host_stops_all(several):
    step = stopped_by_the_second(several)
    assert 2 <= step < host_run.NUM_STEPS
    assert (several.folder / "run" / "checkpoints" / str(step)).is_dir()


@pytest.mark.slow
def test_fewer_devices_go_on_to_the_same_end(several, alone):
    step = stopped_by_the_second(several)
    assert several.start(2, 1).codes() == [0, 0], several.said(0) + several.said(1)
    assert several.said(1, "out") == "", "only the first speaks"
    run = several.folder / "run"
    assert_same(parameters(run), alone)
    log = (run / "train.log").read_text()
    assert f"going on after step {step}" in log
    assert "began on 4 devices and goes on on 2" in log
    assert (run / "hosts.equipot").exists()


def test_a_host_with_another_command_is_named_and_all_end(several):
    hosts = several.start(2, 1, own={1: ("--set", "log_every=7")})
    assert hosts.codes() == [2, 2]
    why = "trainer.log_every: host 1 was given 7, the first host 2; give all hosts the same command"
    assert why in several.said(1)
    assert f"host 1 of 2 has ended: {why}" in several.said(0)
    assert not (several.folder / "run").exists()


@pytest.mark.slow
def test_a_loss_that_is_not_finite_is_told_by_the_first_alone(several):
    hosts = several.start(2, 1, ("--rate", "1e30"))
    assert hosts.codes() == [2, 2]
    assert "not_finite_at_step_" in several.said(0) and "has ended" not in several.said(0)
    assert "finite" not in several.said(1)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_host_that_is_killed_ends_the_others_with_a_sentence(several, victim):
    options = ("--set", "num_steps=1000000")
    hosts = several.start(2, 1, options)
    log = several.folder / "run" / "metrics.jsonl"
    deadline = time.monotonic() + PATIENCE
    while not (log.exists() and log.stat().st_size):
        assert time.monotonic() < deadline, several.said(0) + several.said(1)
        time.sleep(0.1)
    hosts.processes[victim].kill()
    killed = time.monotonic()
    codes = hosts.codes()
    assert time.monotonic() - killed < 60
    assert codes[victim] == -9
    assert codes[1 - victim] in (2, -6)  # where jax is faster, it aborts
    assert f"host {victim} of 2 is gone without a word" in several.said(1 - victim)


SPREADS = [(1, 2), (1, 4), (1, 8), (2, 1), (2, 4), (4, 1), (4, 2)]


def lines(run_dir):
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def spread_run(folder, data, count, devices, dtype):
    """A run whose steps have 16 structures, over so many processes with so many devices each."""
    folder.mkdir()
    size = f"batch_size={16 // (count * devices)}"
    hosts = Hosts(folder, data)
    hosts.start(count, devices, ("--dtype", dtype, "--set", size, "--set", "log_every=1"))
    assert hosts.codes() == [0] * count, hosts.said(0)
    return folder / "run"


@pytest.fixture(scope="session", params=["float32", "float64"])
def of_one_device(request, tmp_path_factory, lennard_jones_file):
    folder = tmp_path_factory.mktemp("one") / request.param
    return request.param, spread_run(folder, lennard_jones_file, 1, 1, request.param)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "devices"), SPREADS)
def test_losses_and_gradients_do_not_depend_on_processes_and_devices(
    tmp_path, lennard_jones_file, of_one_device, count, devices
):
    dtype, one = of_one_device
    run = spread_run(tmp_path / "many", lennard_jones_file, count, devices, dtype)
    rtol = 1e-6 if dtype == "float32" else 1e-12
    found, expected = lines(run), lines(one)
    for key in ("loss", "grad_norm", "energy_rmse", "forces_rmse", "stress_rmse"):
        # Of the first step, where all have the same parameters.
        np.testing.assert_allclose(found[0][key], expected[0][key], rtol=rtol)
    assert [line["step"] for line in found] == list(range(1, host_run.NUM_STEPS + 1))
    if dtype == "float64":
        assert_same(parameters(run), parameters(one))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after"), [((1, 8), (1, 1)), ((1, 1), (1, 8)), ((4, 2), (1, 2))]
)
def test_a_checkpoint_of_some_devices_goes_on_on_others(
    tmp_path, lennard_jones_file, before, after
):
    whole = spread_run(tmp_path / "whole", lennard_jones_file, *before, "float64")
    size = f"batch_size={16 // (before[0] * before[1])}"
    options = ("--set", size, "--set", "log_every=1")
    hosts = Hosts(tmp_path, lennard_jones_file)
    hosts.start(*before, options, own={0: ("--stop-after", "2")})
    assert hosts.codes() == [130] * before[0], hosts.said(0)
    hosts.start(*after, options)
    assert hosts.codes() == [0] * after[0], hosts.said(0)
    assert_same(parameters(tmp_path / "run"), parameters(whole))
