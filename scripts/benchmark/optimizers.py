"""Times a step of training with each optimizer, for the models of two experiments.

Steps of all optimizers are timed in turn, on one batch. SOAP turns its bases at some steps, by
default every tenth; its time is that of nine others and one of these, and the one is given too.
"""

import argparse
import time
from collections.abc import Sequence
from typing import Any

import jax

from equipot.data import dataset as datasets
from equipot.potential import potential as potentials
from equipot.training import config as training_config
from equipot.training import optimizer, preparation, sharding, state, step
from scripts.benchmark import runs, timing

_FEW = (
    *("data.num_train=16", "data.num_valid=4", "data.valid=null", "data.test=null"),
    *("trainer.minutes=null", "trainer.num_steps=1000"),
)
_BETWEEN = (
    training_config.SoapConfig().precondition_every
)  # steps from one refreshment of the bases to the next


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--experiments", nargs="+", default=["water", "rmd17_ethanol_20min"])
    parser.add_argument("--optimizers", nargs="+", default=["amsgrad", "muon", "soap"])
    parser.add_argument("--repeats", type=int, default=20)


def run(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Prints and returns milliseconds by experiment and optimizer."""
    rows = []
    for experiment in arguments.experiments:
        programs = {}
        for name in arguments.optimizers:
            usual, turning = compiled(configured(experiment, name))
            programs |= {name: usual, f"{name}, turning": turning}
        times = timing.in_turn(programs, arguments.repeats)
        for name in arguments.optimizers:
            usual, turning = times[name], times[f"{name}, turning"]
            mean = ((_BETWEEN - 1) * usual.median + turning.median) / _BETWEEN
            row = {"experiment": experiment, "optimizer": name, "seconds": mean}
            rows.append({**row, "usual": usual._asdict(), "turning": turning._asdict()})
            print(
                f"{experiment:20} {name:14} {1e3 * mean:8.2f} ms a step ({1e3 * usual.median:.2f},"
                f" every {_BETWEEN}th {1e3 * turning.median:.2f}); compiled in"
                f" {usual.compile_seconds:.0f} s",
                flush=True,
            )
    return rows


def configured(experiment: str, optimizer: str, more: Sequence[str] = ()) -> Any:
    """An experiment with another optimizer and a few of its frames."""
    return runs.configured([f"+experiment={experiment}", f"optimizer={optimizer}", *_FEW, *more])


def compiled(config: training_config.TrainConfig) -> tuple[timing.Compiled, timing.Compiled]:
    """A step between two refreshments, and one with a refreshment, of the same program."""
    mesh = sharding.make_mesh(1)
    parts = preparation.prepare(config, datasets.read_dataset(config.data), 1)
    predict = potentials.make_predict(parts.spec, platform=mesh.devices.flat[0].platform)
    train = step.make_train_step(predict, config.loss, parts.updates, mesh, parts.quantities)
    now = sharding.replicate(state.init_state(parts.params, parts.updates.transformation), mesh)
    nothing = step.empty_tally(config.loss, parts.spec.dtype, parts.quantities)
    tally = sharding.replicate(nothing, mesh)
    batch = sharding.shard(next(iter(parts.train.batches(0))), mesh)
    course = sharding.replicate(optimizer.Course.of(config.optimizer, 1000), mesh)
    start = time.perf_counter()
    program = jax.jit(train).lower(now, tally, batch, course).compile()
    seconds = time.perf_counter() - start
    temporary_mb = program.memory_analysis().temp_size_in_bytes / 1e6
    states = [now]
    for _ in range(_BETWEEN):
        states.append(program(states[-1], tally, batch, course)[0])
    usual, turning = states[2], states[_BETWEEN]
    return (
        timing.Compiled(lambda: program(usual, tally, batch, course), seconds, temporary_mb),
        timing.Compiled(lambda: program(turning, tally, batch, course), seconds, temporary_mb),
    )
