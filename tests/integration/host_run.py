"""One process of a training run on several hosts, as a program for tests.

    python host_run.py RUN_DIR DATA [--set KEY=VALUE …] [--dtype DTYPE] [--rate RATE]
        [--stop-after STEPS]

The environment says which process it is, as srun would. ``--set`` is for keys of the trainer,
``--stop-after`` sends SIGTERM to this process after so many steps.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Mapping

import jax

from equipot import errors
from equipot.training import config, fitting, hosts, plots, stopping

NUM_STEPS = 8


def configuration(
    run_dir: str, data: str, dtype: str = "float64", rate: float | None = None, **changes: object
) -> config.TrainConfig:
    """A step of four devices sees 12 structures, in an order that depends on the epoch."""
    trainer = {"num_steps": NUM_STEPS, "valid_every": 4, "log_every": 2, "batch_size": 3}
    mapping: dict[str, object] = {
        "name": "hosts",
        "seed": 1,
        "run_dir": run_dir,
        "data": {"train": data, "num_valid": 6, "num_test": 6},
        "model": {
            "name": "nequip",
            "cutoff": 4.5,
            "num_layers": 1,
            "lmax": 0,
            "num_channels": 2,
            "radial_widths": [4],
        },
        "potential": {"dtype": dtype},
        "loss": {"stress": 10.0},
        "trainer": {**trainer, **changes},
    }
    if rate is not None:
        mapping["optimizer"] = {"learning_rate": rate, "schedule": "constant", "ema_decay": None}
    return config.train_config(mapping)


class StopsItself(stopping.Stop):
    """Does something after so many steps; it is asked for ``received`` after each."""

    def __init__(self, steps: int | None, act: Callable[[], None]) -> None:
        self._asked, self._steps, self._act = 0, steps, act
        super().__init__()

    @property
    def received(self) -> str:
        if self._remembers:
            self._asked += 1
            if self._asked == self._steps:
                self._act()
        return self._received

    @received.setter
    def received(self, name: str) -> None:
        self._received = name


def environment_of(host: int, count: int, port: int) -> Mapping[str, str]:
    """As srun sets it for one of the processes of a step, all on this machine."""
    # jax takes the number of the job for the port.
    return {
        "SLURM_JOB_ID": str(port - (65535 - 2**12 + 1)),
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": str(count),
        "SLURM_STEP_NUM_TASKS": str(count),
        "SLURM_STEP_NUM_NODES": "1",
        "SLURM_PROCID": str(host),
        "SLURM_LOCALID": str(host),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run_dir")
    parser.add_argument("data")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--stop-after", type=int)
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--rate", type=float)
    arguments = parser.parse_args()
    changes = {key: int(value) for key, _, value in (one.partition("=") for one in arguments.set)}
    given = arguments.run_dir, arguments.data, arguments.dtype, arguments.rate
    settings = configuration(*given, **changes)
    plots.save_plots = lambda *_: []  # a third of the time
    hosts._ASK_EVERY = 0.0  # each step is followed by a question
    stop = StopsItself(arguments.stop_after, lambda: os.kill(os.getpid(), signal.SIGTERM))
    try:
        with stop, hosts.joined(settings.trainer) as process:
            print(f"{len(jax.local_devices())} of {jax.device_count()} devices", file=sys.stderr)
            fitting.fit(settings, stop, process)
    except errors.StoppedError as error:
        print(error, file=sys.stderr)
        sys.exit(130)
    except errors.EquipotError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
