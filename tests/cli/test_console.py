"""What a command does to its own process."""

import platform
import subprocess
import sys

import pytest

from equipot import errors
from equipot.cli import console

FAULTS = """
import ctypes, resource, sys
from equipot.cli import console
if "prepared" in sys.argv:
    console.prepare_process()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    buffer = libc.malloc(64 << 20)
    ctypes.memset(buffer, 1, 64 << 20)
    libc.free(buffer)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, *arguments], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


def test_a_reader_that_has_seen_enough_is_no_error():
    program = [sys.executable, "-c", "from equipot.cli import train; train.main()", "--help"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_a_large_buffer_is_fetched_from_the_system_once():
    assert page_faults("prepared") < 0.1 * page_faults()


def test_a_path_the_system_refuses_is_one_sentence(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as ended, console.clean_errors("equipot"):
        (tmp_path / "file" / "new").mkdir()
    assert ended.value.code == console.WRONG_INPUT
    message = capsys.readouterr().err
    assert message.startswith("equipot: ")
    assert "cannot be used (Not a directory)" in message
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("wrong"), 2),
        (errors.StoppedError("stopped by SIGTERM"), 130),
        (errors.TimeUpError("stopped by trainer.max_minutes"), 75),
    ],
)
def test_the_exit_code_tells_wrong_input_from_a_run_to_be_queued_again(error, code, capsys):
    with pytest.raises(SystemExit) as ended, console.clean_errors(console.TRAIN):
        raise error
    assert ended.value.code == code
    assert capsys.readouterr().err == f"equipot-train: {error}\n"


KEPT = """
import os, pathlib, sys
if "late" in sys.argv:
    import jax
import equipot
equipot.setup()
import jax
jax.jit(lambda x: x * 2.0 + 1.0)(3.0).block_until_ready()
print(len([p for p in pathlib.Path(os.environ["EQUIPOT_CACHE"]).rglob("*") if p.is_file()]))
"""


@pytest.mark.parametrize("when", ["early", "late"])
def test_one_call_keeps_what_a_program_compiles(tmp_path, monkeypatch, when):
    for name in (*console._OF_JAX, "TF_CPP_MIN_LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EQUIPOT_CACHE", str(tmp_path))
    command = [sys.executable, "-c", KEPT, when]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) >= 1
    assert done.stderr == ""
