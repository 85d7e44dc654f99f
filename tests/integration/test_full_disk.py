"""A checkpoint that finds no room leaves the last good one as it was."""

import pytest


@pytest.mark.slow
def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path, start_training):
    run_dir = tmp_path / "run"
    process = start_training(run_dir, "--limit-files", "12", "20000")
    assert process.wait(300) == 1
    output = (tmp_path / "run.output").read_text()
    assert "CheckpointError" in output
    assert "could not be written" in output
    assert "File too large" in output
    assert "the last good one is step 8" in output
    assert "Traceback" not in output
    # The run goes on from there once there is room.
    assert start_training(run_dir).wait(300) == 0, (tmp_path / "run.output").read_text()
    assert (run_dir / "metrics.json").exists()
