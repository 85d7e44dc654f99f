"""The page for users of mace-torch and nequip names all their options, and settings that exist."""

import json
import pathlib
import re
import subprocess

import pytest

from equipot.cli import config_files
from tests.docs_blocks import ROOT

PAGE = ROOT / "docs" / "coming_from.md"
KNOWN = json.loads((pathlib.Path(__file__).parent / "peer_options.json").read_text())
MACE_PYTHON = ROOT / ".venv-mace" / "bin" / "python"
LIST_OPTIONS = """
import json
from mace.tools import arg_parser
actions = arg_parser.build_default_arg_parser()._actions
print(json.dumps([max(a.option_strings, key=len) for a in actions if a.option_strings]))
"""


def rows(title):
    """The rows of all tables of a part of the page, as three cells."""
    part = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.M)
    text = next(own for own in part if own.startswith(title))
    found = re.findall(r"^\| (`.+?) \| (.+?) \| ?(.*?) ?\|$", text, re.M)
    assert len(found) > 50
    return found


def named(title):
    return [name for first, *_ in rows(title) for name in re.findall(r"`([^`]+)`", first)]


def test_every_option_of_mace_run_train_is_named_once():
    assert sorted(named("mace_run_train")) == KNOWN["mace_run_train 0.3.16"]


def test_every_option_of_nequip_train_is_named_once():
    known = KNOWN["nequip-train 0.19.1"] + KNOWN["lightning"]
    assert sorted(named("nequip-train")) == sorted(known)


@pytest.mark.skipif(not MACE_PYTHON.exists(), reason="needs mace-torch in .venv-mace")
def test_the_stored_options_are_those_of_the_installed_program():
    done = subprocess.run(
        [MACE_PYTHON, "-W", "ignore", "-c", LIST_OPTIONS],
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(json.loads(done.stdout.splitlines()[-1])) == KNOWN["mace_run_train 0.3.16"]


@pytest.mark.parametrize("title", ["mace_run_train", "nequip-train"])
def test_a_setting_that_the_page_names_exists(title):
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    settings = set(re.findall(r"^\| `([\w.]+)` \|", page, re.M))
    groups = config_files.groups([config_files.shipped_folder()])
    used = [
        word for row in rows(title) for cell in row[1:] for word in re.findall(r"`(.*?)`", cell)
    ]
    checked = 0
    for word in used:
        key, _, value = word.partition("=")
        if re.fullmatch(r"[a-z_]+(\.\w+)+", key) and key.split(".")[0] in groups:
            declared = re.sub(r"^data\.quantities\.\w+", "data.quantities.NAME", key)
            assert key in settings or declared in settings, word
            checked += 1
        elif value and key in groups:
            assert value in groups[key], word
            checked += 1
        elif re.fullmatch(r"[a-z_]+", key) and not value:
            assert key in settings or key in groups or key == "hydra" or key in _OTHERS, word
    assert checked > 40


_OTHERS = {"average", "charge"}


@pytest.mark.parametrize("title", ["mace_run_train", "nequip-train"])
def test_what_has_no_counterpart_says_why(title):
    without = [row for row in rows(title) if row[1] == "–"]
    assert without
    for first, _, remark in without:
        assert len(remark) >= 4, first
