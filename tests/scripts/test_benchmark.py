import json
import os
import pathlib
import stat
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import graphs
from scripts.benchmark import cases, hlo, hlo_cost, instruction_times, peers, process, profile
from scripts.water import box

ROOT = pathlib.Path(__file__).parents[2]
TINY = ("--set", "num_layers=1", "num_channels=2", "radial_widths=[2]", "lmax=0")
PEERS = """
case $1 in
  nequip)
    echo "== NequIP, nequip 0.19.1: 4 layers (eager, then torch.compile)"
    for mode in 1 2; do
      echo "params 489568"
      echo "E+F s (np.float64(0.4$mode), 0.37)"
      echo "train s (np.float64(1.3$mode), 1.14)"
    done ;;
  mlip)
    echo "== MACE, mlip: 2 layers"
    echo "params 213456"
    echo "compile 5.0"
    echo "E+F s (np.float64(0.67), 0.6)"
    echo "train s (np.float64(1.5), 1.4)"
    echo "== NequIP, mlip: 4 layers"
    echo "params 197200"
    echo "E+F s (np.float64(5.4e-01), 0.5)"
    echo "train compile 9"
    echo "train s (np.float64(1.2), 1.1)" ;;
esac
"""


@pytest.fixture
def run(tmp_path):
    """Runs a benchmark as a program of its own; returns its results and what it printed."""

    def run(*words, **environment):
        path = tmp_path / "results.json"
        command = [sys.executable, "-m", "scripts.benchmark", *words, "--json", str(path)]
        result = subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | environment,
        )
        assert result.returncode == 0, result.stderr
        written = json.loads(path.read_text())
        assert written["about"]["versions"]["jax"] == jax.__version__
        return written["results"], result.stdout

    return run


def test_the_box_is_the_one_that_peers_are_timed_on():
    structure = cases.water_structure(64)
    graph = graphs.build_graph(structure, 5.0, (1, 8), np.zeros(2))
    assert (len(structure.positions), 2 * graph.num_edges) == (192, 10398)
    first = [1.49131317, 1.62796671, 1.52024902]
    np.testing.assert_allclose(structure.positions[0], first, atol=1e-8)


def test_a_box_needs_a_cube_of_molecules():
    with pytest.raises(ValueError, match="expected a cube as number of molecules"):
        box.jittered_lattice(63, seed=0)
    case = cases.Case(model="nequip", settings={}, atoms=193, task="")
    with pytest.raises(ValueError, match="a multiple of 3, received 193"):
        cases.build(case)


def looped(x):
    """Six times a matrix product of 8 × 8 with 8 × 8, and a number for each element."""
    return jax.lax.scan(lambda y, _: (jnp.sin(y @ x) + 1.0, None), x, length=6)[0]


@pytest.fixture(scope="module")
def compiled():
    """A program with a loop."""
    return jax.jit(looped).lower(jnp.ones((8, 8))).compile()


def test_operations_are_counted_as_by_xla_but_for_loops(compiled):
    module = hlo.parse(compiled.as_text())
    once = hlo_cost.total(module, loops_once=True)
    assert once.flops == pytest.approx(compiled.cost_analysis()["flops"], rel=0.05)
    in_full = hlo_cost.total(module)
    assert in_full.flops == pytest.approx(6 * (2 * 8**3 + 8**2), rel=0.05)
    assert in_full.bytes == once.bytes > 2 * 4 * 8**2


def test_instructions_know_the_functions_they_come_from(compiled):
    module = hlo.parse(compiled.as_text())
    [loop] = [i for i in module.instructions() if i.opcode == "while"]
    assert loop.trips == 6
    [product] = [i for i in module.instructions() if i.opcode == "dot"]
    assert product.shapes[0].bytes == 4 * 8 * 8
    names = [function.name for function in module.stacks[product.frame]]
    assert names[0] == "looped.<locals>.<lambda>" and "looped" in names
    with pytest.raises(ValueError, match="found no ENTRY computation"):
        hlo.parse("HloModule nothing")


def test_the_time_of_what_runs_at_once_is_shared():
    found = [
        instruction_times.Interval(0.0, 4.0, "a"),
        instruction_times.Interval(2.0, 4.0, "b"),
        instruction_times.Interval(3.0, 3.0, "c"),
        instruction_times.Interval(10.0, 11.0, "a"),
    ]
    assert instruction_times.share(found) == pytest.approx({"a": 4.0, "b": 1.0, "c": 0.0})


@pytest.mark.filterwarnings("ignore:builtin type event_stats:DeprecationWarning")  # jax 0.12
@pytest.mark.slow
def test_the_profiler_sees_the_instructions_of_a_program(compiled):
    module = hlo.parse(compiled.as_text())
    loops = {i.name for i in module.instructions() if i.opcode == "while"}
    run = lambda: compiled(jnp.ones((8, 8)))  # noqa: E731
    seconds = instruction_times.seconds_by_instruction(run, module.name, loops, 2)
    names = {i.name for i in module.instructions()}
    assert seconds and set(seconds) <= names - loops
    assert all(0 <= value < 1 for value in seconds.values())


@pytest.mark.wide
def test_time_goes_to_parts_and_passes_of_a_model():
    settings = {"num_layers": 1, "num_channels": 2, "radial_widths": (2,), "lmax": 1}
    program = cases.build(
        cases.Case(model="nequip", settings=settings, atoms=3, task=cases.TRAINING)
    )
    options = {"xla_backend_optimization_level": 0}
    with jax.numpy_dtype_promotion("standard"):  # optax adds integers to floats
        lowered = jax.jit(program.function).lower(*program.arguments)
    module = hlo.parse(lowered.compile(compiler_options=options).as_text())
    seconds = {i.instruction.name: 1.0 for i in hlo_cost.executed(module)}
    shares = profile.shares(module, seconds, training=True)
    assert sum(s.seconds for s in shares.values()) == len(seconds)
    total = hlo_cost.total(module).flops
    assert sum(s.flops for s in shares.values()) == pytest.approx(total)
    found = {(part, name) for part, name in shares}
    for name in (profile.FORWARD, profile.BACKWARD, profile.SECOND):
        assert (profile.GATHER, name) in found
    assert (profile.PRODUCT, profile.FORWARD) in found
    assert ("optimizer", profile.OTHER) in found
    assert ("linear maps, gates", profile.FORWARD) in found


def test_parts_of_a_profile_are_functions_that_exist():
    package = ROOT / "equipot"
    for part, place, name in profile.PARTS:
        if place != "optax/":
            files = [package / place] if place.endswith(".py") else (package / place).glob("*.py")
            text = "".join(file.read_text(encoding="utf-8") for file in files)
            assert f"def {name}" in text or f"class {name}" in text, (part, place, name)


def test_peers_are_read_and_the_best_of_them_compared(tmp_path):
    path = tmp_path / "run_peers.sh"
    path.write_text(f"#!/bin/sh\n{PEERS}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    assert peers.names(["nequip"]) == ["nequip", "mlip"]
    readings = [r for name in peers.names(["nequip"]) for r in peers.run(path, name)]
    rows = peers.summarize(readings)
    assert [row["program"] for row in rows if row["model"] == "mace"] == ["mlip"] * 2
    ours = {"model": "nequip", "atoms": 192, "task": "energy + forces", "median": 0.1}
    [ratio] = peers.ratios([ours], rows)
    assert (ratio["best_of_peers"], ratio["ratio"]) == ("nequip 0.19.1", pytest.approx(4.1))
    training = peers.ratios([ours | {"task": "training step"}], rows)[0]
    assert (training["best_of_peers"], training["ratio"]) == ("mlip", pytest.approx(12.0))
    with pytest.raises(RuntimeError, match="expected times, received code 0 and ''"):
        peers.run(path, "other")


@pytest.mark.wide
def test_a_process_that_dies_says_what_it_ran():
    with pytest.raises(RuntimeError, match="nothing: expected an answer of its process, which"):
        process.Worker({"no": "case"}, "nothing")


@pytest.mark.slow
def test_models_are_timed_beside_the_limit_of_the_machine_and_peers(run, tmp_path):
    path = tmp_path / "run_peers.sh"
    path.write_text(f"#!/bin/sh\n{PEERS}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    picture = tmp_path / "instruction_times.png"
    words = ("--atoms", "24", "192", "--repeats", "2", "--peers", "--peer-runs", "1")
    results, printed = run(
        "models", *TINY, *words, "--plot", str(picture), EQUIPOT_RUN_PEERS=str(path)
    )
    assert [row["edges"] for row in results["models"]] == [1290, 1290, 10398, 10398]
    for row in results["models"]:
        assert row["compilations"] == 1 and len(row["seconds"]) == 2
        assert row["peak_rss_bytes"] > row["temporary_bytes"] > 0
        assert 0 < row["share_of_limit"]
    assert {limit["atoms"] for limit in results["limits"]} == {24, 192}
    assert [row["best_of_peers"] for row in results["ratios"]] == ["nequip 0.19.1", "mlip"]
    assert "times faster than mlip, the best of its peers" in printed
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_peers_are_optional(run):
    words = ("--atoms", "24", "--repeats", "1", "--task", "energy + forces", "--peers")
    results, printed = run("models", *TINY, *words, EQUIPOT_RUN_PEERS="nowhere")
    assert results["peers"] == results["ratios"] == []
    assert "no peers: EQUIPOT_RUN_PEERS names no script" in printed


@pytest.mark.slow
def test_a_profile_adds_up_to_the_time_it_took(run):
    results, printed = run("profile", *TINY, "--atoms", "24", "--repeats", "2")
    for row in results:
        assert sum(part["seconds"] for part in row["parts"]) == pytest.approx(row["profiled"])
        assert row["edges"] == 1290
    assert "tensor products" in printed


@pytest.mark.slow
def test_degrees_gives_time_and_memory_of_each_and_a_picture(run, tmp_path):
    picture = tmp_path / "degrees.png"
    words = ("--degrees", "0", "1", "--molecules", "8", "--repeats", "1", "--plot", str(picture))
    rows, _ = run("degrees", *words)
    assert len(rows) == 2 * 2 * 2
    assert all(row["minimum"] > 0 and row["compile_seconds"] > 0 for row in rows)
    for network in ("nequip", "dense"):
        for task in ("energy + forces", "training step"):
            of_degree = {
                row["degree"]: row["temporary_mb"]
                for row in rows
                if (row["network"], row["task"]) == (network, task)
            }
            assert of_degree[1] > of_degree[0] > 0
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.reference
@pytest.mark.slow
def test_layers_give_the_numbers_of_e3nn_in_less_memory(run):
    """The script refuses to time layers that do not agree."""
    pytest.importorskip("e3nn_jax")
    rows, _ = run("e3", "--repeats", "1")
    assert len(rows) == 2 * 3 + 2 + 2
    for row in rows:
        assert row["equipot"]["temporary_mb"] < row["e3nn-jax"]["temporary_mb"], row
