"""Processes are threads here, connected by sockets, where none has to end."""

import json
import socket
import subprocess
import sys
import threading
import time

import pytest

from equipot import errors
from equipot.process import Process
from equipot.training import watching
from equipot.training.watching import Ending, Watch

# Two of three processes; the main thread hangs, as in a sum that waits for the others.
HANGING = """
import socket, sys, time
from equipot.process import Process
from equipot.training import watching
watching.GRACE = 0.3
index, handles = int(sys.argv[1]), [int(word) for word in sys.argv[2:]]
watch = watching.Watch(Process(index, 3), [socket.socket(fileno=handle) for handle in handles])
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def watches():
    """Those of three processes."""
    server, place = watching.listen()
    place["host"] = "localhost"
    others = []

    def connect():
        others.extend(watching.connect(place, [], index) for index in (2, 1))

    thread = threading.Thread(target=connect)
    thread.start()
    first = watching.accept(server, place["word"], 3)
    thread.join()
    made = [Watch(Process(0, 3), first)]
    made += [Watch(Process(i, 3), [own]) for i, own in ((1, others[1]), (2, others[0]))]
    yield made
    for watch in made:
        watch.close()


@pytest.mark.parametrize(("code", "says"), [(0, ""), (2, "no space left")])
def test_the_others_wait_until_the_first_has_ended(watches, code, says):
    first, *others = watches
    ends = []

    def wait(watch):
        ends.append(watch.wait_for_first())
        watch.close()

    threads = [threading.Thread(target=wait, args=(watch,)) for watch in others]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    assert not ends
    first.leave(code, says)  # and waits until they have gone
    assert ends == [Ending(0, code, says)] * 2
    for thread in threads:
        thread.join()
    assert first.ending is None


def test_strangers_are_not_taken_for_a_host():
    server, place = watching.listen()
    place["host"] = "localhost"
    stranger = socket.create_connection(("localhost", place["port"]))
    stranger.sendall(b"GET / HTTP/1.0\n")
    thread = threading.Thread(target=lambda: watching.connect(place, [], 1).close())
    thread.start()
    (own,) = watching.accept(server, place["word"], 2)
    thread.join()
    for one in (own, stranger):
        one.close()


def test_a_first_host_that_cannot_be_reached_is_named():
    server, place = watching.listen()
    server.close()
    place["host"] = "localhost"
    with pytest.raises(errors.HostError, match=r"host 1 cannot reach the first host .*localhost: "):
        watching.connect(place, [], 1)


def test_a_process_that_hangs_is_missed_and_one_that_is_busy_is_not(monkeypatch):
    monkeypatch.setattr(watching, "BEAT", 0.05)
    monkeypatch.setattr(watching, "SILENCE", 1.0)
    mine, theirs = socket.socketpair()
    watch = Watch(Process(0, 2), [mine])
    for _ in range(15):
        time.sleep(0.1)
        theirs.sendall(b"\n")
    assert watch.ending is None
    assert theirs.recv(100).strip() == b"", "signs of life from here"
    assert watch.explain(20.0) == Ending(1)
    watch.close()
    theirs.close()


@pytest.mark.parametrize("says", ["", "train.xyz: is not there"])
@pytest.mark.parametrize("host", [0, 1])
def test_a_process_that_hangs_is_ended_with_the_sentence_of_the_other(host, says):
    """Host 0 or 1 ends, and the other one of them hangs; host 2 does nothing."""
    mine, theirs = socket.socketpair()
    spare, unused = socket.socketpair()
    handles = [theirs.fileno()] if host == 0 else [theirs.fileno(), unused.fileno()]
    command = [sys.executable, "-c", HANGING, str(1 - host), *map(str, handles)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pass_fds=handles
    )
    theirs.close()
    unused.close()
    try:
        assert process.stdout.readline() == "ready\n"
        if says:
            words = {"host": host, "code": 130, "says": says}
            mine.sendall(json.dumps(words).encode() + b"\n")
        mine.shutdown(socket.SHUT_RDWR)
        _, message = process.communicate(timeout=20)
    finally:
        process.kill()
        spare.close()
        mine.close()
    assert process.returncode == (130 if says else watching.FAILED)
    expected = f"has ended: {says}" if says else "is gone without a word: it was killed, ran out of"
    assert message.startswith(f"equipot-train: host {host} of 3 {expected}")
    assert message.count("\n") == 1
