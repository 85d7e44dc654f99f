import os
import pathlib
import subprocess
import sys
import tomllib
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs this Python away from the checkout, with more in its environment."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        cwd="/",
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_importing_equipot_imports_neither_jax_nor_ase():
    done = python(
        "-c",
        "import sys, equipot; sys.exit(', '.join({'jax', 'ase', 'numpy'} & set(sys.modules)) or 0)",
    )
    assert done.returncode == 0, f"imported {done.stderr}"


@pytest.mark.parametrize(
    "module", ["equipot.data", "equipot.cli.main", "equipot.cli.train", "equipot.training.config"]
)
def test_light_modules_do_not_import_jax(module: str):
    done = python("-c", f"import sys, {module}; sys.exit('jax' in sys.modules)")
    assert done.returncode == 0, done.stderr


def test_the_calculator_is_found_at_the_root():
    done = python("-c", "from equipot import EquipotCalculator as E; print(E.__module__)")
    assert done.stdout.strip() == "equipot.calculators.ase", done.stderr


def test_an_unknown_name_at_the_root_is_an_attribute_error():
    import equipot

    with pytest.raises(AttributeError, match="no attribute 'Calculator'"):
        equipot.Calculator  # noqa: B018


@pytest.mark.parametrize("version", ["0.10.2", "0.11.0", "0.11.1"])
def test_importing_beside_an_excluded_jax_is_a_clear_error(version: str, tmp_path: pathlib.Path):
    fake = tmp_path / f"jax-{version}.dist-info"
    fake.mkdir()
    (fake / "METADATA").write_text(f"Metadata-Version: 2.1\nName: jax\nVersion: {version}\n")
    done = python("-c", "import equipot", PYTHONPATH=str(tmp_path))
    assert done.returncode != 0
    assert f"equipot does not run with jax {version}" in done.stderr
    assert "pip install" in done.stderr


def test_the_excluded_versions_are_those_of_the_dependencies():
    import equipot

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirement = next(d for d in project["dependencies"] if d.startswith("jax>"))
    assert requirement == f"jax{equipot.JAX_VERSIONS}"


def test_the_wheel_holds_the_package_its_configurations_and_its_dataset(wheel: pathlib.Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    configs = {f"equipot/{p.relative_to(ROOT)}" for p in ROOT.glob("configs/**/*.yaml")}
    data = {f"equipot/data_files/{p.relative_to(ROOT / 'data')}" for p in ROOT.glob("data/*/*")}
    modules = {str(p.relative_to(ROOT)) for p in ROOT.glob("equipot/**/*.py")}
    assert configs <= names
    assert data <= names
    assert modules <= names
    assert not [name for name in names if name.startswith("tests/")]


def test_an_installed_wheel_finds_its_configurations_and_its_dataset(
    wheel: pathlib.Path, tmp_path: pathlib.Path
):
    pip = ["-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(tmp_path)]
    done = python(*pip, str(wheel))
    assert done.returncode == 0, done.stderr
    program = (
        "import sys; from equipot.data import paths; from equipot.cli import config_files, train\n"
        "print(config_files.shipped_folder())\n"
        "print(paths.resolve('equipot://data/water/train.extxyz.xz'))\n"
        "sys.argv = ['equipot-train', '+experiment=water', '--cfg', 'job', '-p', 'data']\n"
        "train.main()\n"
    )
    done = python("-c", program, PYTHONPATH=str(tmp_path))
    assert f"{tmp_path}/equipot/configs\n" in done.stdout, done.stderr
    assert f"{tmp_path}/equipot/data_files/water/train.extxyz.xz\n" in done.stdout
    assert "- equipot://data/water/train.extxyz.xz" in done.stdout
