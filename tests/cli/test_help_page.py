import os
import pathlib
import re
import subprocess
import sys

import yaml

from equipot.cli import config_files, help_page

SHIPPED = config_files.shipped_folder()


def test_help_answers_in_half_a_second_without_jax_or_hydra():
    program = (
        "import sys; sys.argv = ['equipot-train', '--help']\n"
        "from equipot.cli import train\n"
        "train.main()\n"
        "loaded = {'jax', 'jaxlib', 'hydra', 'ase', 'numpy'} & set(sys.modules)\n"
        "sys.exit(', '.join(loaded) or 0)\n"
    )
    seconds = []
    for _ in range(3):
        start = os.times()
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        end = os.times()  # of the processor: others may be using it too
        used = end.children_user + end.children_system
        seconds.append(used - start.children_user - start.children_system)
        assert done.returncode == 0, f"--help imported {done.stderr}"
    assert min(seconds) < 0.5
    assert "data.train=my.extxyz" in done.stdout


def test_help_names_every_option_and_every_setting():
    page = help_page.help_page([SHIPPED])
    for group, options in config_files.groups([SHIPPED]).items():
        assert group in page
        for option in options:
            assert re.search(rf"^    {option}( |$)", page, re.MULTILINE), f"{group}={option}"
    for group, option in help_page.chosen_options(SHIPPED / "train.yaml").items():
        settings = yaml.safe_load((SHIPPED / group / f"{option}.yaml").read_text())
        for key in settings.keys() - {"name", "defaults"}:
            assert f"  {group}.{key}=" in page


def test_help_shows_the_options_of_the_users_own_folder(tmp_path: pathlib.Path):
    own = tmp_path / "experiment" / "mine.yaml"
    own.parent.mkdir()
    own.write_text("# @package _global_\n# Ice at 100 K\nname: mine\n")
    assert re.search(r"mine +Ice at 100 K", help_page.help_page([SHIPPED, tmp_path]))


def test_every_configuration_opens_with_a_comment_that_fits_the_page():
    for path in SHIPPED.glob("*/*.yaml"):
        headline = config_files.headline(path)
        assert 4 < len(headline) <= 110, f"{path}: {headline!r}"


def test_help_fits_the_terminal(monkeypatch):
    for width in (60, 80, 140):
        monkeypatch.setenv("COLUMNS", str(width))
        lines = help_page.help_page([SHIPPED]).splitlines()
        long = [line for line in lines if len(line) > width and "=" not in line]
        assert not long
        assert max(map(len, lines)) > 0.9 * width
    assert any(line.startswith("  seed=0  ") for line in lines)
