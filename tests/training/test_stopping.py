import os
import signal
import subprocess
import sys
import time

import pytest

from equipot import errors
from equipot.training import stopping

# The main thread works in C, as while XLA compiles: no handler of Python's runs there.
DEAF = """
import hashlib
from equipot.training import stopping
stopping.GRACE = {grace}
with stopping.Stop(watch=True) as stop, stop.between_steps():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
"""


@pytest.fixture(autouse=True)
def in_the_foreground():
    """Signals as a terminal has them, where the tests themselves run below nohup or behind "&"."""
    before = {number: signal.getsignal(number) for number in stopping.SIGNALS}
    for number in stopping.SIGNALS:
        interrupt = number == signal.SIGINT
        signal.signal(number, signal.default_int_handler if interrupt else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_a_signal_is_remembered_between_steps_and_obeyed_elsewhere(number):
    before = signal.getsignal(number)
    with stopping.Stop() as stop:
        with pytest.raises(errors.StoppedError, match=number.name), stop.between_steps():
            signal.raise_signal(number)
            assert stop.received == number.name
        signal.raise_signal(signal.SIGTERM)  # only the first is raised: cleaning up goes on
    with pytest.raises(errors.StoppedError, match=number.name), stopping.Stop():
        signal.raise_signal(number)
    assert signal.getsignal(number) == before


def test_a_second_interrupt_ends_at_once():
    with pytest.raises(KeyboardInterrupt), stopping.Stop() as stop, stop.between_steps():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_is_ignored_stays_ignored(number):
    signal.signal(number, signal.SIG_IGN)
    with stopping.Stop() as stop:
        signal.raise_signal(number)
    assert not stop.received
    assert signal.getsignal(number) == signal.SIG_IGN


def test_a_signal_before_the_first_step_that_a_package_swallowed_still_ends():
    with stopping.Stop() as stop:
        with pytest.raises(errors.StoppedError):
            signal.raise_signal(signal.SIGUSR1)
        with pytest.raises(errors.StoppedError, match="SIGUSR1"), stop.between_steps():
            pytest.fail("a step was taken")


def test_nothing_is_left_of_a_watcher_that_had_nothing_to_do():
    with stopping.Stop(watch=True):
        assert signal.set_wakeup_fd(-1) >= 0
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.parametrize(
    ("numbers", "grace"),
    [*(([number], 0.3) for number in stopping.SIGNALS), ([signal.SIGINT, signal.SIGINT], 60.0)],
)
def test_a_process_whose_main_thread_does_not_react_is_ended(numbers, grace):
    process = subprocess.Popen(
        [sys.executable, "-c", DEAF.format(grace=grace)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        for number in numbers:
            os.kill(process.pid, number)
            time.sleep(0.05)  # two of the same at once are one
        _, message = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 128 + numbers[0]
    assert message == (
        f"equipot-train: stopped by {numbers[0].name}; give the same command to go on from the"
        " last checkpoint\n"
    )
