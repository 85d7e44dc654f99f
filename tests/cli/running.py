"""Starting ``equipot-train`` as a user does, and the smallest training there is."""

import contextlib
import io
import os
import pathlib
import subprocess
import sys
from unittest import mock

from hydra.core.global_hydra import GlobalHydra

TINY = (
    "model.num_layers=1",
    "model.lmax=0",
    "model.num_channels=4",
    "model.radial_widths=[8]",
    "model.cutoff=3.5",
    "trainer.num_steps=2",
    "trainer.valid_every=1",
    "trainer.num_devices=1",
)


WITHOUT_PICTURES = (
    "from equipot.training import plots; plots.save_plots = lambda *_: [];"
    "from equipot.training.run_page import page; page.render = lambda *_: '';"
    "from equipot.cli.train import main; main()"
)
"""The command as a program, less a third of its time: what draws has tests of its own."""


def run_train(
    folder: pathlib.Path, *arguments: str, code: int = 0, pictures: bool = True
) -> subprocess.CompletedProcess[str]:
    """Runs ``equipot-train`` in a folder and checks its exit code."""
    program = "from equipot.cli.train import main; main()" if pictures else WITHOUT_PICTURES
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def refused(folder: pathlib.Path, *arguments: str) -> str:
    """What ``equipot-train`` says of words that it refuses, asked within this process.

    For mistakes that it finds before it changes the process for long work.
    """
    from equipot.cli import console, train

    said, words = io.StringIO(), ["equipot-train", *arguments]
    untouched = mock.patch.object(console, "prepare_process", _too_late)
    with contextlib.chdir(folder), mock.patch.dict(os.environ), untouched:
        with mock.patch.object(sys, "argv", words), contextlib.redirect_stderr(said):
            try:
                train.main()
            except SystemExit as ended:
                assert ended.code == 2, said.getvalue()
            else:
                raise AssertionError(f"{words} were not refused")
            finally:
                GlobalHydra.instance().clear()
    return said.getvalue()


def _too_late() -> None:
    raise AssertionError("the mistake should have been found before")
