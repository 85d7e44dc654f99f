"""Runs with batches of edges and several batches for a step, on data of every size."""

import json
import re
import signal
import subprocess
import sys
import textwrap

import ase.build
import ase.io
import jax
import numpy as np
import pytest
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator

from equipot import errors
from equipot.training import config, fitting, memory, programs, trainer
from tests.integration import tiny
from tests.integration.test_fit import records
from tests.integration.test_going_on import parameters

EDGES = 1600


def labelled(atoms):
    atoms.calc = LennardJones(sigma=3.4, epsilon=0.0104, rc=6.0, smooth=True)
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    return atoms


def lone_atoms(count, height=0.0):
    return [labelled(ase.Atoms("Ar", [[float(i), 0, height]])) for i in range(count)]


def crystals(count, repeat, seed=0):
    cell = ase.build.bulk("Ar", "fcc", 5.3, cubic=True) * repeat
    made = [cell.copy() for _ in range(count)]
    for i, atoms in enumerate(made):
        atoms.rattle(0.1, seed=10 * seed + i)
    return [labelled(atoms) for atoms in made]


def chains(count, bend=0.1):
    """From 2 to 8 atoms; every other one has no neighbors."""
    sizes = [2 + i % 7 for i in range(count)]
    gaps = [3.9 if i % 2 else 9.0 for i in range(count)]
    pairs = zip(sizes, gaps, strict=True)
    return [
        labelled(ase.Atoms(n * ["Ar"], [[gap * k, bend * k * k, 0] for k in range(n)]))
        for n, gap in pairs
    ]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Structures without any pair, with hundreds, and what lies between; some of one kind."""
    folder = tmp_path_factory.mktemp("data")
    frames = {
        "mixed": [*lone_atoms(8), *chains(12), *crystals(8, 1), *crystals(3, 2)],
        "valid": [*lone_atoms(2, 1.0), *chains(2, 0.2), *crystals(3, 1, seed=5)],
        "lone": lone_atoms(7),
        "lone_valid": lone_atoms(3, 1.0),
        "one": crystals(1, 1),
    }
    for name, own in frames.items():
        ase.io.write(folder / f"{name}.extxyz", own)
    return folder


def settings(run_dir, files, train="mixed", **steps):
    steps = {"num_steps": 8, "valid_every": 4, "log_every": 2, "num_devices": 1} | steps
    valid = "lone_valid" if train == "lone" else "valid"
    return config.train_config(
        {
            "name": "argon",
            "run_dir": str(run_dir),
            "data": {
                "train": str(files / f"{train}.extxyz"),
                "valid": str(files / f"{valid}.extxyz"),
                "num_test": 0,
            },
            "model": tiny.MODEL,
            "trainer": steps,
        }
    )


def log_of(run_dir):
    return (run_dir / "train.log").read_text()


@pytest.fixture(scope="module")
def accumulated(tmp_path_factory, files):
    steps = {"batch_edges": EDGES, "accumulate": 2}
    return fitting.fit(settings(tmp_path_factory.mktemp("fit") / "run", files, **steps))


@pytest.mark.wide
def test_batches_of_edges_are_said_and_compiled_once_for_each_shape(accumulated):
    shapes = json.loads((accumulated / "dataset.json").read_text())["budgets"]
    train = shapes["train"] if isinstance(shapes["train"], list) else [shapes["train"]]
    assert 1 <= len(train) <= 3 and all(own["edges"] <= EDGES // 2 for own in train)
    log = log_of(accumulated)
    assert f"jit(train_step) {len(train)} time(s), jit(eval_step) 1 time(s)" in log
    assert re.search(r"Batches of train: \d+ an epoch, 2 of them for a step on 1 device\(s\)", log)
    assert re.search(r"A step takes [\d.]+ [kMG]B of [\d.]+ [MG]B of memory", log)
    assert "Chosen" not in log and not (accumulated / "length.json").exists()


@pytest.mark.wide  # a run with one batch for a step is killed in test_kill_and_resume.py
def test_a_stopped_run_goes_on_in_the_middle_of_an_epoch_bit_for_bit(
    tmp_path, files, accumulated, monkeypatch
):
    look = trainer.Trainer.look_around

    def look_around(run):
        if run.progress.step == 3:
            signal.raise_signal(signal.SIGTERM)
        look(run)

    same = settings(tmp_path / "run", files, batch_edges=EDGES, accumulate=2)
    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "look_around", look_around)
        with pytest.raises(errors.StoppedError, match="after step 3"):
            fitting.fit(same)
    fitting.fit(same)
    assert records(tmp_path / "run") == records(accumulated)
    jax.tree.map(
        np.testing.assert_array_equal, parameters(tmp_path / "run", 8), parameters(accumulated, 8)
    )


@pytest.mark.slow  # gradients are compared exactly in tests/training/test_accumulation.py
def test_an_epoch_of_small_batches_for_one_step_trains_like_one_batch_of_everything(
    tmp_path, files
):
    """The batch is larger than the data; the other run ends each epoch with one step."""
    steps = {"num_steps": 2, "valid_every": 2, "log_every": 1}
    whole = fitting.fit(settings(tmp_path / "whole", files, batch_size=1000, **steps))
    parts = fitting.fit(
        settings(tmp_path / "parts", files, batch_edges=EDGES, accumulate=8, **steps)
    )
    assert len(records(whole)) == len(records(parts)) == 2
    for one, other in zip(records(whole), records(parts), strict=True):
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert other[key] == pytest.approx(value, rel=2e-3), key
    assert records(parts)[-1]["epoch"] == 1


@pytest.mark.parametrize(
    ("train", "steps"),
    [
        pytest.param("lone", {"batch_edges": 50}, marks=pytest.mark.slow),
        pytest.param("lone", {"batch_size": 3, "accumulate": 2}, marks=pytest.mark.slow),
        pytest.param(
            "one",
            {"batch_edges": 10**6, "accumulate": 2, "num_devices": 2},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_lone_atoms_and_single_structures_are_trained_on(tmp_path, files, train, steps):
    num_steps = 200 if train == "one" else 3
    steps = {"num_steps": num_steps, "valid_every": num_steps, "log_every": 1, **steps}
    run_dir = fitting.fit(settings(tmp_path / "run", files, train, **steps))
    losses = [line["loss"] for line in records(run_dir)]
    assert len(losses) == num_steps and np.isfinite(losses).all()
    if train == "one":
        assert losses[-1] < 0.9 * losses[0]


@pytest.mark.slow  # tests/training/test_memory.py asks for the sentence
def test_a_run_that_does_not_fit_leaves_nothing_in_the_way_of_one_that_does(
    tmp_path, files, monkeypatch
):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "nohup.log").write_text("of the user\n")
    monkeypatch.setattr(memory, "limit", lambda _: 300_000)
    with pytest.raises(errors.MemoryLimitError, match=r"set trainer.batch_edges=\d+") as refused:
        fitting.fit(settings(tmp_path / "run", files, batch_edges=10**6))
    assert [p.name for p in (tmp_path / "run").iterdir() if p.suffix] == ["nohup.log"]
    (edges,) = re.findall(r"set trainer.batch_edges=(\d+)", str(refused.value))
    steps = {"num_steps": 2, "valid_every": 2, "batch_edges": int(edges)}
    fitting.fit(settings(tmp_path / "run", files, **steps))


@pytest.mark.slow
def test_a_batch_size_that_was_chosen_by_memory_stays_when_the_run_goes_on(
    tmp_path, files, monkeypatch
):
    look = trainer.Trainer.look_around

    def look_around(run):
        if run.progress.step == 2:
            signal.raise_signal(signal.SIGTERM)
        look(run)

    same = settings(tmp_path / "run", files, batch_size="auto", num_steps=4)
    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "look_around", look_around)
        with pytest.raises(errors.StoppedError, match="after step 2"):
            fitting.fit(same)
    assert json.loads((tmp_path / "run" / "length.json").read_text())["batch_size"] == 2
    assert "batches of 2 structures (set by trainer.batch_size)" in log_of(tmp_path / "run")
    monkeypatch.setattr(memory, "limit", lambda _: None)
    programs.forget()
    fitting.fit(same)
    assert "jit(train_step) 1 time(s)" in log_of(tmp_path / "run")


CONFINED = """
import pathlib, resource, sys
import jax
jax.devices()
from equipot import errors
from equipot.training import config, fitting, plots
plots.save_plots = lambda *_: []
pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + int(float(sys.argv[1]) * 1e9)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    fitting.fit(config.train_config({
        "name": "argon",
        "run_dir": sys.argv[2],
        "data": {"train": sys.argv[3], "num_valid": 2, "num_test": 0},
        "model": {"name": "nequip", "cutoff": 4.5, "num_layers": 2, "lmax": 2, "num_channels": 128},
        "trainer": {"num_steps": 2, "batch_size": int(sys.argv[4]), "eval_batch_size": 1},
    }))
except errors.MemoryLimitError as error:
    print(f"refused: {error}")
"""


@pytest.mark.slow  # a process of its own that trains a larger model
def test_what_a_confined_process_refuses_and_what_it_says_that_fits(tmp_path):
    """The system gives the process 1.8 GB more of addresses; what is said to fit trains in it."""
    data, run_dir = tmp_path / "data.extxyz", tmp_path / "run"
    ase.io.write(data, crystals(152, 2))

    def fit(size):
        code = textwrap.dedent(CONFINED)
        command = [sys.executable, "-c", code, "1.8", str(run_dir), str(data), str(size)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    size, done = 150, fit(150)
    assert "refused: trainer.batch_size: a step" in done.stdout
    for _ in range(4):  # what there is differs a little from one process to the next
        assert done.returncode == 0, done.stderr[-2000:]
        fits = re.findall(r"set trainer.batch_size=(\d+)", done.stdout)
        if not fits:
            break
        assert 1 <= int(fits[0]) < size
        size = int(fits[0])
        done = fit(size)
    assert (run_dir / "argon.equipot").exists()
