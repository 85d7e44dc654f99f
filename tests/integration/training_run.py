"""A short training run, as a program that tests can kill, starve or sabotage.

    python training_run.py RUN_DIR DATA [--forget-position] [--limit-files STEP BYTES]

No pictures are drawn. ``--forget-position`` sabotages resuming: every epoch begins again.
``--limit-files`` lets no file grow beyond BYTES once STEP has been reached, as a full disk would.
"""

import argparse
import dataclasses
import resource
import sys

from equipot import errors
from equipot.training import checkpoints, config, fitting, plots
from equipot.training.run_page import page


def configuration(run_dir: str, data: str) -> config.TrainConfig:
    return config.train_config(
        {
            "name": "short",
            "seed": 1,
            "run_dir": run_dir,
            "data": {"train": data, "num_valid": 6, "num_test": 6, "group_key": "temperature"},
            "model": {
                "name": "nequip",
                "cutoff": 4.5,
                "num_layers": 1,
                "lmax": 1,
                "num_channels": 4,
                "radial_widths": [8],
            },
            "loss": {"stress": 10.0},
            "optimizer": {"schedule": "plateau", "plateau_patience": 1, "clip_norm": 1.0},
            "trainer": {
                "num_steps": 60,
                "batch_size": 4,
                "valid_every": 15,
                "checkpoint_every": 4,
                "log_every": 6,
                "num_devices": 1,
            },
        }
    )


def forget_position() -> None:
    load = checkpoints.Checkpoints.load

    def forgetful(self, like):
        state, progress = load(self, like)
        return state, dataclasses.replace(progress, position=0)

    checkpoints.Checkpoints.load = forgetful


def limit_files(step: int, size: int) -> None:
    save = checkpoints.Checkpoints.save

    def limited(self, state, progress):
        if progress.step >= step:
            self.wait()
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        save(self, state, progress)

    checkpoints.Checkpoints.save = limited


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run_dir")
    parser.add_argument("data")
    parser.add_argument("--forget-position", action="store_true")
    parser.add_argument("--limit-files", nargs=2, type=int)
    arguments = parser.parse_args()
    if arguments.forget_position:
        forget_position()
    if arguments.limit_files:
        limit_files(*arguments.limit_files)
    plots.save_plots = lambda *_: []  # a third of the time
    page.render = lambda *_: ""
    try:
        fitting.fit(configuration(arguments.run_dir, arguments.data))
    except errors.EquipotError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
