"""Fenced blocks and commands of the README and of docs/, for the tests that execute them."""

import dataclasses
import doctest
import io
import itertools
import pathlib
import re
import shlex
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import hydra
import jax
import numpy as np
from hydra.core.override_parser import types as hydra_types
from omegaconf import OmegaConf

ROOT = pathlib.Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
EXAMPLES = ROOT / "docs" / "e3" / "examples"  # pages with a test of their own
DOCTEST_FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
# A file is shown as a line with its name, an empty line, and its contents.
_FENCE = re.compile(
    r"^(?:`(?P<title>[\w/.]+)`:\n\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
_INDENTED = re.compile(r"^    (equipot(?:-train)? .+)$", re.M)


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block: its language, the name of the file it is, and its lines."""

    language: str
    title: str | None
    text: str
    line: int


def blocks(page: pathlib.Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(m["language"], m["title"], m["text"], text[: m.start("text")].count("\n"))
        for m in _FENCE.finditer(text)
    ]


def execute(page: pathlib.Path, edit: Callable[[str], str] = str) -> dict[str, Any]:
    """Runs the Python of a page from top to bottom, and returns the names it defined.

    A block that begins with ``>>>`` is a doctest. The page may switch 64-bit numbers on and set the
    print options of NumPy; afterwards they are what they were.

    Args:
      page: The page.
      edit: Applied to the text of every block.

    Raises:
      AssertionError: A doctest printed something else.
    """
    module = types.ModuleType(f"page_{page.stem.lower()}")
    sys.modules[module.__name__] = module  # dataclasses look for it there
    had_x64 = jax.config.read("jax_enable_x64")
    try:
        with np.printoptions():
            for block in blocks(page):
                if block.language == "python":
                    _execute_block(edit(block.text), page.name, block.line, vars(module))
    finally:
        jax.config.update("jax_enable_x64", had_x64)
        del sys.modules[module.__name__]
    return vars(module)


def _execute_block(text: str, name: str, line: int, names: dict[str, Any]) -> None:
    if text.startswith(">>>"):
        test = doctest.DocTestParser().get_doctest(text, names, name, name, line)
        test.globs = names  # not a copy: blocks share their names
        report = io.StringIO()
        runner = doctest.DocTestRunner(optionflags=DOCTEST_FLAGS)
        failed = runner.run(test, out=report.write, clear_globs=False).failed
        assert not failed, report.getvalue()
        return
    source = "\n" * line + text  # so that a traceback names the line of the page
    exec(compile(source, name, "exec"), names)


def commands(page: pathlib.Path) -> list[list[str]]:
    """Every command line of a page that begins with equipot or equipot-train, as words."""
    fenced = [line for b in blocks(page) if b.language == "bash" for line in b.text.splitlines()]
    indented = _INDENTED.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
    lines = [
        line for line in (*fenced, *indented) if line.startswith("equipot") and "…" not in line
    ]
    return [shlex.split(line, comments=True) for line in lines]


def all_commands() -> list[tuple[str, list[str]]]:
    return [(page.name, words) for page in PAGES for words in commands(page)]


def compose(words: list[str]) -> list:
    """The checked configuration of every run of an equipot-train command, without reading data.

    Raises:
      ConfigError: At a key, a value, a group or an option that does not exist.
    """
    import equipot.cli.job  # noqa: F401, registers what names a run
    from equipot.cli import config_files, overrides
    from equipot.models import registry
    from equipot.training import config as training_config

    command_line = overrides.parse(words[1:])
    overrides.check(command_line)
    members = list(_members(command_line.overrides))
    assert len(members) == 1 or {"-m", "--multirun"} & set(words), "a sweep needs -m"
    own = [f"file://{folder}" for folder in command_line.folders[1:]]
    search = [f"hydra.searchpath=[{','.join(own)}]"] if own else []
    configs = []
    shipped = str(config_files.shipped_folder().resolve())
    with hydra.initialize_config_dir(shipped, version_base="1.3"):
        for member in members:
            mapping = OmegaConf.to_container(hydra.compose("train", member + search), resolve=True)
            configs.append(training_config.train_config(mapping))
            registry.config_from_mapping(configs[-1].model)
    return configs


def _members(given: Sequence[hydra_types.Override]) -> Iterator[list[str]]:
    """The overrides of every run of a sweep."""
    from equipot.cli import overrides

    choices = []
    for override in given:
        line = overrides.added(override)
        key, _, value = line.partition("=")
        if key.startswith(("hydra.", "hydra/")):
            continue  # settings of a launcher, not of a run
        swept = override.is_sweep_override()
        ends = re.search(r"interval\(([^)]*)\)", value)  # what a search may choose from
        values = (ends[1] if ends else value).split(",")
        choices.append([f"{key}={v}" for v in values] if swept else [line])
    return map(list, itertools.product(*choices))
