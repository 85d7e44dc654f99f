"""The measurement of data larger than memory, with data that are not."""

import re
import subprocess
import sys

import pytest

from tests.docs_blocks import ROOT

PREPARE = "from equipot.cli.main import main; main()"


def run(*words):
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.wide
def test_a_store_is_trained_from_and_each_stage_is_timed(tmp_path):
    run("-m", "scripts.big_set", str(tmp_path), "--structures", "200")
    store = str(tmp_path / "big.store")
    data = (f"data.train=[{tmp_path}/00.npz]", "data.energy_unit=eV")
    forces = "data.forces_unit=eV/Angstrom"
    run("-c", PREPARE, "prepare", *data, forces, "model.cutoff=4", "-o", store)
    shown = run("-m", "scripts.big_run", store, "--minutes=0.02", "--channels=2", "--held-out=20")
    stages = re.findall(r"^(\w+) +[\d.]+ s +[\d.]+ s of processor +[\d.]+ GB", shown, re.M)
    assert stages == [
        "read_dataset",
        "audit",
        "find",
        "_potential",
        "prepare",
        "centered",
        "finish",
    ]
    assert re.search(r"^[1-9]\d* batches in \d+ s, waited for [\d.]+ s of it", shown, re.M)
