import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from equipot.cli import console
if sys.argv[1] == "mended":
    console.prepare_process()
import jax
print(jax.jit(lambda x: x * 3 + 1)(2.0))
"""


def run(folder, how):
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(folder)}
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    environment["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    command = [sys.executable, "-c", PROGRAM, how]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "7.0\n"
    return done.stderr


@pytest.mark.wide
def test_a_torn_entry_is_replaced(tmp_path):
    run(tmp_path, "mended")
    whole = {path: path.stat().st_size for path in sorted(tmp_path.glob("*-cache"))}
    torn = {path: size // 2 * (i % 2) for i, (path, size) in enumerate(whole.items())}
    for path, size in torn.items():
        os.truncate(path, size)
    assert "Error reading persistent compilation cache" in run(tmp_path, "as jax does")
    assert {path: path.stat().st_size for path in torn} == torn
    assert run(tmp_path, "mended") == ""
    assert sorted(tmp_path.glob("*-cache")) == list(whole)
    assert all(path.stat().st_size > 0.9 * size for path, size in whole.items())
